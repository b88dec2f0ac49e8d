"""The pages of services: who sees and does what on the pages of deployments, the lists, a service, the cost."""

from __future__ import annotations

import re
import uuid
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from deploys.models import Deployment, MicroService
from deploys.pages.deployment_status import OUTCOME_LABELS
from tasks.models import Job
from tenants.scoping import Role
from tests.factories import TenantFactory
from tests.working import work

from .deploying import (
    a_service,
    committed,
    deployed,
    entries,
    form_of,
    live,
    nothing_was_written,
    operator,
    programs,
    rows_of,
    service,
    text,
    version,
    viewer,
)

pytestmark = pytest.mark.django_db


__all__ = ["operator", "programs", "service", "viewer"]

# --- Who may see and do what -------------------------------------------------------------------------------


@pytest.fixture
def pages(operator, service):
    deployment = deployed(operator, service)
    item = deployment.items.first()
    return [
        f"/services/{service.pk}/",
        f"/services/{service.pk}/versions/",
        f"/services/{service.pk}/deployments/",
        f"/services/{service.pk}/settings/",
        form_of(service, "upgrade"),
        form_of(service, "revert"),
        f"/deployments/{deployment.pk}/",
        f"/deployments/{deployment.pk}/items/{item.pk}/log/",
    ]


def test_pages_are_for_members_of_the_tenant(as_role, viewer, staff, pages):
    stranger = as_role(Role.ADMIN, of=TenantFactory())

    for page in pages:
        assert viewer.get(page).status_code == staff.get(page).status_code == 200, page
        assert stranger.get(page).status_code == 404, page
        assert Client().get(page)["Location"].startswith("/login/"), page


def test_lists_show_ones_own_alone(as_role, viewer, service, operator):
    deployed(operator, service)
    stranger = as_role(Role.ADMIN, of=TenantFactory())

    for page in ("/services/", "/deployments/", f"/deployments/?service={service.pk}"):
        assert ">cart<" in text(viewer.get(page))
        assert "cart" not in text(stranger.get(page))
        assert Client().get(page)["Location"].startswith("/login/")


def test_what_is_not_there_is_not_found(operator, service, tenant):
    other = a_service(tenant, name="other")
    nobody = uuid.uuid4()
    crossed = f"/services/{other.pk}/versions/{version(service, 2).pk}/upgrade/"

    for page in (f"/services/{nobody}/", f"/deployments/{nobody}/", crossed, form_of(service, "replace")):
        assert operator.get(page).status_code == 404, page
    assert operator.post(form_of(service, "replace")).status_code == 404
    assert operator.post(crossed, entries(service)).status_code == 404
    for verb in ("cancel", "retry"):
        assert operator.post(f"/deployments/{nobody}/{verb}/").status_code == 404


def test_a_log_is_found_under_its_own_deployment_alone(operator, service, tenant):
    mine = deployed(operator, service)
    other = deployed(operator, a_service(tenant, name="other", hosts=1))

    page = f"/deployments/{other.pk}/items/{mine.items.first().pk}/log/"
    assert operator.get(page).status_code == 404


def test_a_stranger_can_do_nothing(as_role, operator, service):
    stranger = as_role(Role.ADMIN, of=TenantFactory())

    assert stranger.post(form_of(service), entries(service)).status_code == 404
    assert nothing_was_written()
    deployment = deployed(operator, service)
    for verb in ("cancel", "retry"):
        assert stranger.post(f"/deployments/{deployment.pk}/{verb}/").status_code == 404
    assert Job.objects.get(pk=deployment.job_id).cancel_requested_at is None


def test_a_viewer_reads_and_cannot_deploy(viewer, service):
    shown = text(viewer.get(f"/services/{service.pk}/"))
    form = text(viewer.get(form_of(service)))
    refused = viewer.post(form_of(service), entries(service))
    planned = viewer.post(form_of(service), entries(service, dry_run="true"))

    assert "/upgrade/" not in shown
    assert 'id="deploy"' not in form
    assert "You need the Operator role to deploy." in form
    assert refused.status_code == planned.status_code == 403
    assert "You need the role" in text(refused)
    assert "the-plan" not in text(planned)
    assert nothing_was_written()


def test_a_viewer_can_neither_cancel_nor_retry(viewer, operator, service):
    deployment = deployed(operator, service)
    page = text(viewer.get(f"/deployments/{deployment.pk}/"))

    assert 'id="cancel"' not in page
    for verb in ("cancel", "retry"):
        answer = viewer.post(f"/deployments/{deployment.pk}/{verb}/", follow=True)
        assert "You need the role" in text(answer)
    assert Job.objects.get(pk=deployment.job_id).cancel_requested_at is None
    assert Deployment.objects.count() == 1


def test_buttons_are_posted_with_their_token(service, tenant, operator):
    deployment = deployed(operator, service)
    careful = Client(enforce_csrf_checks=True)
    careful.cookies = operator.cookies

    for page in (form_of(service), f"/deployments/{deployment.pk}/cancel/"):
        assert careful.post(page).status_code == 403
    for verb in ("cancel", "retry"):
        assert operator.get(f"/deployments/{deployment.pk}/{verb}/").status_code == 405


def test_the_pages_hold_nothing_that_the_csp_refuses(operator, service, pages):
    planned = operator.post(form_of(service), entries(service, dry_run="true"))

    for answer in (planned, *(operator.get(page) for page in ("/services/", "/deployments/", *pages))):
        assert not re.findall(r"<script(?![^>]*\bsrc=)|\son[a-z]+=|\sstyle=|<style", text(answer))


def test_the_navigation_knows_where_one_is(operator, service):
    for page in (
        "/services/",
        f"/services/{service.pk}/",
        f"/services/{service.pk}/versions/",
    ):
        assert 'href="/services/" aria-current="page"' in text(operator.get(page))
    assert 'href="/deployments/" aria-current="page"' in text(operator.get("/deployments/"))
    assert 'href="/services/" aria-current' not in text(operator.get("/volumes/"))


# --- The lists ---------------------------------------------------------------------------------------------


@committed
def test_the_list_says_what_runs_what_is_newest_and_how_the_last_deployment_ended(operator, service):
    first = service.instances.first()
    service.instances.filter(pk=first.pk).update(version=version(service, 1))
    [row] = rows_of(text(operator.get("/services/")))
    assert "System of cart" in row
    assert "cart-1.2 <small>× 2</small>" in row
    assert "cart-1.1 <small>× 1</small>" in row
    assert '<td class="latest">cart-1.3 ' in row

    service.instances.update(version=version(service, 2))
    deployment = deployed(operator, service)
    listed = text(operator.get("/services/"))
    assert "In progress</span>" in listed
    assert "<small>0 / 3 ·" in listed
    assert live(listed, "services")

    work()
    ended = text(operator.get("/services/"))
    assert "Succeeded</span>" in ended
    assert "<small>3 / 3 ·" in ended
    assert f"/deployments/{deployment.pk}/" in ended
    assert not live(ended, "services")


@pytest.mark.parametrize("search", ["CAR", "system of c", "go"])
def test_the_list_is_searched(operator, service, tenant, search):
    a_service(tenant, name="mailer", hosts=0)
    MicroService.objects.filter(name="mailer").update(language="Rust")

    html = text(operator.get("/services/", {"search": search}))

    assert ">cart<" in html
    assert ">mailer<" not in html
    assert "No results for these filters" in text(operator.get("/services/?search=%00nothing"))


@committed
def test_deployments_are_listed_newest_first_and_filtered(operator, service, tenant):
    old = deployed(operator, service)
    work()
    new = deployed(operator, a_service(tenant, name="mailer", hosts=1))

    def listed(query=""):
        html = text(operator.get(f"/deployments/{query}"))
        return re.findall(r'<td class="when"><a href="/deployments/([0-9a-f-]+)/"', html)

    assert listed() == [str(new.pk), str(old.pk)]
    assert listed("?outcome=running") == [str(new.pk)]
    assert listed("?outcome=succeeded") == [str(old.pk)]
    assert listed("?outcome=failed") == listed("?outcome=cancelled") == []
    assert listed(f"?service={service.pk}") == [str(old.pk)]
    assert listed("?search=mailer") == [str(new.pk)]
    assert listed("?ordering=created_at") == [str(old.pk), str(new.pk)]
    assert listed("?service=nonsense&outcome=nonsense&page=99") == [str(new.pk), str(old.pk)]
    refused = text(operator.get("/deployments/?service=nonsense"))
    assert "The filter “Service” has no value “nonsense”; it is not applied." in refused


def test_the_chart_counts_each_day_by_outcome_in_one_query(operator, as_role, service, tenant):
    """The outcome that is counted and filtered is the one that the badge shows."""
    deployment = deployed(operator, service)
    now = timezone.now()
    for outcome, results in {
        "succeeded": ["succeeded", "succeeded"],
        "failed": ["succeeded", "failed"],
        "cancelled": ["succeeded", "skipped"],
    }.items():
        job = Job.objects.create(kind="deploys.service", tenant=tenant, deadline=now, status="queued")
        Job.objects.filter(pk=job.pk).update(status=outcome, ended_at=now)
        made = Deployment.objects.create(
            service=service,
            action="upgrade",
            from_version=version(service, 2),
            to_version=version(service, 3),
            job=job,
            ended_at=now,
        )
        for result in results:
            made.items.create(host_name="x", batch=0, from_version=version(service, 2), result=result)
    Deployment.objects.filter(pk=deployment.pk).update(created_at=now - timedelta(days=3))
    Deployment.objects.filter(items__result="skipped").update(created_at=now - timedelta(days=40))

    html = text(operator.get("/deployments/"))
    chart = html.partition('<figure class="chart')[2].partition("</figure>")[0]
    days = re.findall(r'<th scope="row">([-0-9]{10}) 00:00 UTC</th>(.*?)</tr>', chart)
    counted = {
        day: [int(number) for number in re.findall(r'"number">([0-9]+)<', cells)] for day, cells in days
    }

    assert len(counted) == 30
    assert counted[f"{now:%Y-%m-%d}"] == [1, 1, 0, 0]
    assert counted[f"{now - timedelta(days=3):%Y-%m-%d}"] == [0, 0, 0, 1]
    assert sum(map(sum, counted.values())) == 3
    assert "<dt>Succeeded</dt><dd>50%</dd>" in html
    for outcome, label in OUTCOME_LABELS.items():
        [row] = rows_of(
            text(operator.get(f"/deployments/?outcome={outcome}")).partition('id="deployments"')[2]
        )
        assert f">{label}</span>" in row
    stranger = text(as_role(Role.ADMIN, of=TenantFactory()).get("/deployments/"))
    assert "No deployments yet" in stranger


# --- A service ---------------------------------------------------------------------------------------------


def test_a_service_shows_its_versions_and_leads_to_both_sides(operator, service):
    html = text(operator.get(f"/services/{service.pk}/versions/"))

    versions = html.partition('id="versions"')[2].partition("</table>")[0]
    rows = rows_of(versions)
    assert [re.search(r'scope="row">([^<]+)', row)[1] for row in rows] == [
        "cart-1.4",
        "cart-1.3",
        "cart-1.2",
        "cart-1.1",
    ]
    assert ">Failed<" in rows[0]
    assert form_of(service, "upgrade") in rows[2]
    assert form_of(service, "revert") in rows[2]
    assert "/upgrade/" not in rows[0] + rows[1] + rows[3]
    assert "artifacts.example.org" not in html


def test_a_version_leads_only_to_where_something_is_built(operator, service):
    service.instances.update(version=version(service, 3))
    html = text(operator.get(f"/services/{service.pk}/"))

    assert form_of(service, "upgrade", 3) not in html
    assert form_of(service, "revert", 3) in html
    assert "No newer build is available." in text(operator.get(form_of(service, "upgrade", 3)))


def test_old_versions_are_on_further_pages_and_what_runs_is_on_the_first(operator, tenant, programs):
    service = a_service(tenant, versions=40)

    overview = text(operator.get(f"/services/{service.pk}/"))
    html = text(operator.get(f"/services/{service.pk}/versions/"))

    assert 'scope="row">cart-1.2<' in overview
    assert 'scope="row">cart-1.3<' not in overview
    assert 'scope="row">cart-1.40<' in html
    assert 'scope="row">cart-1.3<' not in html
    assert 'scope="row">cart-1.3<' in text(operator.get(f"/services/{service.pk}/versions/?page=2"))
    found = text(operator.get(f"/services/{service.pk}/versions/?search=1.33&build_status=success"))
    assert [re.search(r'scope="row">([^<]+)', row)[1] for row in rows_of(found)] == ["cart-1.33"]


def test_instances_are_shown_and_filtered(operator, service):
    one, two, three = service.instances.order_by("host__hostname")
    service.instances.filter(pk=one.pk).update(is_maintain=True)
    service.instances.filter(pk=two.pk).update(status="failed", version=version(service, 1))
    service.instances.filter(pk=three.pk).update(locked=True)

    def listed(query=""):
        html = text(operator.get(f"/services/{service.pk}/{query}"))
        return rows_of(html.partition('id="instances"')[2].partition("</table>")[0])

    assert "app-01:127.0.0.1" in listed()[0]
    assert "Under maintenance" in listed()[0]
    assert "Locked" in listed()[2]
    assert "app-02" in "".join(listed("?status=failed"))
    assert len(listed("?status=failed")) == 1
    assert len(listed(f"?version={version(service, 2).pk}")) == 2
    assert len(listed("?version=nonsense&status=nonsense")) == 3
    assert len(listed("?search=app-02")) == 1
    none = text(operator.get(f"/services/{service.pk}/?version={version(service, 2).pk}&status=failed"))
    assert "No results for these filters" in none


def test_a_service_says_who_holds_its_instances_and_looks_again(operator, service):
    assert not live(text(operator.get(f"/services/{service.pk}/")), "instances")
    deployment = deployed(operator, service)

    html = text(operator.get(f"/services/{service.pk}/"))

    held = html.partition('id="instances"')[2].partition("</table>")[0]
    assert held.count(f'href="/deployments/{deployment.pk}/"') == 3
    assert deployment.operator.username in held
    assert ">Upgrading<" in held
    assert live(html, "instances")


# --- What it costs -----------------------------------------------------------------------------------------


def cost(client, page, **sent):
    with CaptureQueriesContext(connection) as queries:
        answer = client.post(page, sent) if sent else client.get(page)
        assert answer.status_code == 200
    return len(queries)


def test_many_cost_no_more_queries_than_few(operator, tenant, programs):
    def grow(first, count, hosts):
        for number in range(first, first + count):
            made = a_service(tenant, name=f"service-{number}", versions=4, hosts=hosts)
            deployed(operator, made)
        return made

    few, many = grow(0, 1, hosts=2), None
    pages = ["/services/", "/deployments/", "/hosts/", "/deploy-keys/"]
    operator.get("/services/")
    before = [cost(operator, page) for page in pages]
    many = grow(1, 5, hosts=9)

    assert [cost(operator, page) for page in pages] == before
    for pages_of in (
        lambda one: f"/services/{one.pk}/",
        lambda one: f"/services/{one.pk}/versions/",
        lambda one: f"/services/{one.pk}/deployments/",
        lambda one: f"/services/{one.pk}/settings/",
        form_of,
        lambda one: f"/deployments/{one.deployments.get().pk}/",
    ):
        assert cost(operator, pages_of(few)) == cost(operator, pages_of(many)) <= 14


def test_a_plan_costs_the_same_for_many_hosts(operator, tenant, programs):
    few = a_service(tenant, name="few", hosts=1)
    many = a_service(tenant, name="many", hosts=12)
    operator.get("/services/")

    assert cost(operator, form_of(few), **entries(few, dry_run="true")) == cost(
        operator, form_of(many), **entries(many, dry_run="true")
    )
