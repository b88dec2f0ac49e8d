"""The forms that add a service to hosts, and change its instances: bad input, changed meanwhile, maintenance, removal."""

from __future__ import annotations

import pytest

from deploys.models import Deployment, Host, MicroService, MicroServiceInstance
from tests.factories import TenantFactory

from .deploying import a_service, operator, programs, service, text, version
from .test_deploy_forms import admin, error_of, version_in

pytestmark = pytest.mark.django_db

__all__ = ["admin", "operator", "programs", "service"]


def instance_form(service, on, **changed):
    return {
        "hosts": [str(host.pk) for host in on],
        "version": str(version(service, 2).pk),
        "port": "8081",
        "tag": "green",
        "weight": "50",
        "description": "",
    } | changed


@pytest.fixture
def hosts(tenant, service):
    return [Host.objects.create(tenant=tenant, hostname=f"new-{n}", ip=f"10.0.0.{n}") for n in (1, 2)]


def test_a_service_is_added_to_hosts(admin, service, hosts):
    page = f"/services/{service.pk}/instances/new/"
    html = text(admin.get(page))

    assert all(str(host.pk) in html for host in hosts)
    assert str(service.instances.first().host_id) not in html
    answer = admin.post(page, instance_form(service, hosts), follow=True)
    assert "The service was added to 2 hosts." in text(answer)
    made = MicroServiceInstance.objects.filter(host__in=hosts)
    assert {(one.port, one.tag, one.weight, one.status) for one in made} == {(8081, "green", 50, "unknown")}


def test_it_is_added_to_all_or_none(admin, service, hosts, tenant):
    other = a_service(tenant, name="other", hosts=0)
    MicroService.objects.filter(pk=other.pk).update(folder=service.folder)
    MicroServiceInstance.objects.create(service=other, version=version(other, 2), host=hosts[1], port=1)
    foreign = Host.objects.create(tenant=TenantFactory(), hostname="foreign", ip="10.0.0.9")
    page = f"/services/{service.pk}/instances/new/"
    wrong = [
        ({}, "belongs to the service"),
        ({"hosts": []}, "Select at least one host."),
        ({"hosts": ["nonsense"]}, "A selected host no longer exists."),
        ({"hosts": [str(hosts[0].pk), str(foreign.pk)]}, "A selected host no longer exists."),
    ]
    for changed, words in wrong:
        answer = admin.post(page, instance_form(service, hosts, **changed))
        assert answer.status_code == 400
        assert words in error_of(text(answer), "hosts")
        assert 'value="green"' in text(answer)
    assert service.instances.count() == 3


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("version", "", "Select a version."),
        ("version", "00000000-0000-0000-0000-000000000000", "Select a version."),
        ("port", "", "valid integer"),
        ("port", "0", "greater than or equal to 1"),
        ("weight", "1001", "less than or equal to 1000"),
        ("tag", "x" * 51, "no more than 50"),
        ("description", "x" * 501, "no more than 500"),
    ],
)
def test_what_is_wrong_with_an_instance_is_said_at_its_field(admin, service, hosts, field, value, words):
    answer = admin.post(
        f"/services/{service.pk}/instances/new/", instance_form(service, hosts, **{field: value})
    )

    assert answer.status_code == 400
    assert words in error_of(text(answer), field)
    assert service.instances.count() == 3


def test_an_instance_is_changed_unless_somebody_else_has(admin, service):
    instance = service.instances.first()
    page = f"/services/{service.pk}/instances/{instance.pk}/edit/"
    form = {
        "port": "9000",
        "tag": "green",
        "weight": "1",
        "description": "Hot.",
        "version": version_in(text(admin.get(page))),
    }

    assert "Changes saved." in text(admin.post(page, form, follow=True))
    instance.refresh_from_db()
    assert (instance.port, instance.tag, instance.weight) == (9000, "green", 1)
    outdated = admin.post(page, form | {"tag": "red"})
    assert outdated.status_code == 412
    assert "Saved by someone else meanwhile: green." in text(outdated)
    service.instances.update(locked=True)
    locked = admin.post(page, form)
    assert locked.status_code == 409
    assert "is locked by a deployment" in text(locked)


def test_maintenance_is_begun_and_ended_in_place(operator, service):
    instance = service.instances.first()
    page = f"/services/{service.pk}/instances/{instance.pk}/maintenance/"

    answer = operator.post(page, {"is_maintain": "true"}, headers={"HX-Request": "true"})
    assert "is under maintenance: deployments leave it out." in text(answer)
    assert "<html" not in text(answer)
    instance.refresh_from_db()
    assert instance.is_maintain
    panel = text(operator.get(f"/services/{service.pk}/", headers={"X-Panel": "instances"}))
    assert "End maintenance" in panel
    assert "csrfmiddlewaretoken" not in panel
    ended = operator.post(page, {"is_maintain": "false"}, follow=True)
    assert "The maintenance of" in text(ended)
    service.instances.update(locked=True)
    assert "is locked by a deployment" in text(operator.post(page, {"is_maintain": "true"}, follow=True))
    assert not service.instances.filter(is_maintain=True).exists()


def test_an_instance_is_removed_unless_it_is_locked(admin, service):
    one, two, _three = service.instances.order_by("pk")
    service.instances.filter(pk=two.pk).update(locked=True)
    base = f"/services/{service.pk}/instances/"

    assert "The service was removed from" in text(admin.post(f"{base}{one.pk}/remove/", follow=True))
    assert "is locked by a deployment" in text(admin.post(f"{base}{two.pk}/remove/", follow=True))
    assert admin.post(f"{base}{one.pk}/remove/").status_code == 404
    assert service.instances.count() == 2
    assert not Deployment.objects.exists()
