"""What the form of an upgrade proposes: which version, which hosts, and all hosts in one field."""

from __future__ import annotations

import re
import uuid
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from deploys.models import Deployment, Host, MicroService, MicroServiceInstance
from tasks.models import EntityLock, Job
from tenants.scoping import Role
from tests.factories import TenantFactory, VirtualMachineFactory
from tests.working import work

from .deploying import (
    a_service,
    committed,
    deployed,
    entries,
    form_of,
    nothing_was_written,
    operator,
    programs,
    service,
    text,
    version,
    viewer,
)

pytestmark = pytest.mark.django_db

__all__ = ["operator", "programs", "service", "viewer"]

BOTH = "Select either all available hosts or individual hosts"


def all_free(service, **changed):
    """The form as it is proposed: every host that is free, none of them named."""
    return entries(service, which="free", hosts=[]) | changed


def options_of(html):
    select = html.partition('id="dest-version"')[2].partition("</select>")[0]
    return {
        label: (tag, rest)
        for tag, label, rest in re.findall(r"<option ([^>]*)>([^ ]+) (.*?)</option>", select)
    }


def proposed_in(html):
    return [label for label, (tag, _rest) in options_of(html).items() if "selected" in tag]


# --- Which hosts -------------------------------------------------------------------------------------------


def test_the_form_proposes_every_free_host_and_ticks_none(operator, service):
    service.instances.filter(host__hostname="app-02").update(is_maintain=True)

    html = text(operator.get(form_of(service)))

    assert 'id="which-free" name="which" value="free" checked> All available hosts (2 of 3)' in html
    assert not re.search(r'name="hosts"[^>]* checked', html)


def test_all_that_are_free_are_deployed_to_and_the_others_told(operator, service):
    service.instances.filter(host__hostname="app-02").update(is_maintain=True)

    answer = operator.post(form_of(service), all_free(service), follow=True)

    deployment = Deployment.objects.get()
    assert [item.host_name for item in deployment.items.all()] == ["app-01:127.0.0.1", "app-03:127.0.0.3"]
    assert "1 host was left out: app-02:127.0.0.2 is under maintenance." in text(answer)


def test_a_plan_of_all_that_are_free_names_who_is_left_out(operator, service):
    service.instances.filter(host__hostname="app-02").update(is_maintain=True)

    html = text(operator.post(form_of(service), all_free(service, dry_run="true")))

    plan = html.partition('id="the-plan"')[2].partition("</section>")[0]
    assert "<li>app-02:127.0.0.2 is under maintenance.</li>" in plan
    assert 'value="free" checked' in html
    assert no_deployment()


def no_deployment():
    return not (Deployment.objects.exists() or Job.objects.exists())


def test_when_none_is_free_each_is_named(operator, service):
    service.instances.update(is_maintain=True)

    answer = operator.post(form_of(service), all_free(service))

    assert answer.status_code == 409
    assert "app-01:127.0.0.1 is under maintenance." in text(answer)
    assert no_deployment()


def test_all_and_some_at_once_is_refused(operator, service):
    """A browser without scripts sends both, if somebody ticks a host and forgets the choice above: he means one host."""
    one = service.instances.first()

    answer = operator.post(form_of(service), all_free(service, hosts=[str(one.host_id)]))

    beside = text(answer).partition('id="hosts"')[2].partition("<table>")[0]
    assert answer.status_code == 400
    assert BOTH in beside
    assert nothing_was_written()


def test_more_boxes_than_a_form_may_send_are_told_in_the_page(operator, service, settings):
    ids = [str(uuid.uuid4()) for _ in range(settings.DATA_UPLOAD_MAX_NUMBER_FIELDS)]

    answer = operator.post(form_of(service), entries(service, hosts=ids), follow=True)

    assert answer.redirect_chain == [(form_of(service), 302)]
    assert "more than 1000 hosts were selected" in text(answer)
    assert nothing_was_written()


def test_more_hosts_than_that_are_deployed_to_with_one_field(operator, service, tenant, settings):
    count = settings.DATA_UPLOAD_MAX_NUMBER_FIELDS
    hosts = Host.objects.bulk_create(
        Host(tenant=tenant, hostname=f"more-{number:04}", ip="10.0.0.1") for number in range(count)
    )
    MicroServiceInstance.objects.bulk_create(
        MicroServiceInstance(service=service, version=version(service, 2), host=host, port=8080)
        for host in hosts
    )

    answer = operator.post(form_of(service), all_free(service, batch="50%"))

    assert answer.status_code == 302
    assert Deployment.objects.get().items.count() == count + 3


def test_the_token_is_asked_for_although_the_form_is_looked_at_first(operator, service, settings):
    careful = Client(enforce_csrf_checks=True)
    careful.cookies = operator.cookies
    ids = [str(uuid.uuid4()) for _ in range(settings.DATA_UPLOAD_MAX_NUMBER_FIELDS)]

    assert careful.post(form_of(service), all_free(service)).status_code == 403
    assert careful.post(form_of(service), entries(service, hosts=ids)).status_code == 302
    assert nothing_was_written()


@pytest.mark.parametrize("dry_run", [{}, {"dry_run": "true"}])
def test_a_host_whose_vm_another_job_holds_is_named_when_it_is_ticked_and_left_out_when_not(
    operator, service, tenant, dry_run
):
    vm = VirtualMachineFactory(information_system=service.information_system, name="shop-7")
    Host.objects.filter(tenant=tenant, hostname="app-02").update(vm=vm)
    deadline = timezone.now() + timedelta(hours=1)
    job = Job.objects.create(kind="vms.stop", subject=vm.name, tenant=tenant, deadline=deadline)
    EntityLock.objects.create(key=vm.lock_key, job=job)

    answer = operator.post(form_of(service), entries(service, **dry_run))

    beside = text(answer).partition('id="hosts"')[2].partition("<table>")[0]
    assert answer.status_code == 409
    assert "app-02:127.0.0.2: " in beside and "is in progress" in beside
    assert '<p class="message' not in text(answer)
    assert not Deployment.objects.exists()
    free = operator.post(form_of(service), all_free(service, **dry_run), follow=True)
    assert "is in progress" in text(free)
    assert Deployment.objects.count() == (0 if dry_run else 1)
    assert not service.instances.filter(host__hostname="app-02", locked=True).exists()


# --- Which version -----------------------------------------------------------------------------------------


@committed
def test_a_version_that_failed_last_is_not_proposed_and_says_so(operator, tenant, programs):
    service = a_service(tenant, versions=6)
    MicroService.objects.update(executor_settings={"program": "bad"})
    deployed(operator, service, dest_version=str(version(service, 5).pk), hosts=[host_of(service)])
    work()

    html = text(operator.get(form_of(service)))

    assert "failed on 1 of 1 hosts at its last deployment" in options_of(html)["cart-1.5"][1]
    assert "failed on" not in options_of(html)["cart-1.4"][1]
    assert proposed_in(html) == ["cart-1.4"]

    MicroService.objects.update(executor_settings={"program": "ok"})
    operator.post(f"/deployments/{Deployment.objects.get().pk}/retry/")
    work()
    again = text(operator.get(form_of(service)))
    assert proposed_in(again) == ["cart-1.5"]
    assert "failed on" not in again


def test_when_all_have_failed_the_newest_is_proposed(operator, service):
    deployment = deployed(operator, service)
    deployment.items.filter(host_name__startswith="app-01").update(result="reverted")

    html = text(operator.get(form_of(service)))

    assert "failed on 1 of 3 hosts at its last deployment" in options_of(html)["cart-1.3"][1]
    assert proposed_in(html) == ["cart-1.3"]


def host_of(service):
    return str(service.instances.order_by("host__hostname").first().host_id)


# --- The history of an instance ----------------------------------------------------------------------------


def test_an_instance_leads_to_what_was_deployed_to_it(as_role, operator, viewer, service):
    one, two, _three = service.instances.order_by("host__hostname")
    deployment = deployed(operator, service, hosts=[str(one.host_id)])
    deployment.items.update(result="reverted", code="unhealthy", message="It burns.")
    page = f"/deployments/?instance={one.pk}"

    assert f'href="{page}"' in text(viewer.get(f"/services/{service.pk}/"))
    html = text(viewer.get(page))
    assert "Deployments to app-01:127.0.0.1, where cart-1.2 is now." in html
    assert f'href="/deployments/{deployment.pk}/"' in html
    assert "Failed, rolled back" in html
    assert "It burns." in html
    assert "No deployments yet" in text(viewer.get(f"/deployments/?instance={two.pk}"))

    stranger = as_role(Role.ADMIN, of=TenantFactory())
    assert stranger.get(page).status_code == 404
    assert viewer.get(f"/deployments/?instance={uuid.uuid4()}").status_code == 404
    assert viewer.get("/deployments/?instance=nonsense").status_code == 200
