"""Instances and deployments in the admin; and what holds for every table of the room."""

from __future__ import annotations

import json

import pytest
from django.contrib.admin.models import LogEntry

from deploys.models import Deployment, DeploymentItem, Host, MicroServiceInstance
from tests.factories import (
    DeploymentItemFactory,
    HostFactory,
    InstanceFactory,
    ServiceFactory,
    VersionFactory,
)
from tests.row_locks import written_meanwhile

from .test_admin import administrator, columns, errors_of, is_being_deployed, messages_of, opened, send, url

__all__ = ["administrator"]

pytestmark = pytest.mark.django_db


# --- Instances -----------------------------------------------------------------------------------------------


@pytest.fixture
def version():
    return VersionFactory()


def instance_of(version, /, **typed):
    """What is typed to put a version on a new host of its tenant."""
    if "host" not in typed:
        typed["host"] = HostFactory(tenant=version.service.information_system.tenant)
    rows = {"service": version.service, "version": version, **typed}
    typed = {name: str(getattr(value, "pk", value)) for name, value in rows.items()}
    return {"port": "8080", "weight": "100", **typed}


def test_an_instance_is_added_and_changed_and_nobody_says_that_it_runs(administrator, version):
    added = administrator.post(
        url(MicroServiceInstance, "add"), instance_of(version, status="running", locked="on")
    )

    assert added.status_code == 302, errors_of(added)
    instance = MicroServiceInstance.objects.get()
    assert (instance.status, instance.locked, instance.updated_by.is_superuser) == ("unknown", False, True)
    page = url(MicroServiceInstance, "change", instance.pk)
    other = VersionFactory(service=version.service)
    changed = send(
        administrator, page, weight="50", is_maintain="on", status="running", version=str(other.pk)
    )
    assert changed.status_code == 302, errors_of(changed)
    instance.refresh_from_db()
    assert (instance.weight, instance.is_maintain) == (50, True)
    assert (instance.status, instance.version) == ("unknown", version)


def test_an_instance_is_of_one_tenant_and_one_service(administrator, version):
    page = url(MicroServiceInstance, "add")
    foreign = {"host": HostFactory(), "version": VersionFactory()}

    answers = {
        field: administrator.post(page, instance_of(version, **{field: row}))
        for field, row in foreign.items()
    }

    assert {field: list(errors_of(answer)) for field, answer in answers.items()} == {
        "host": ["host"],
        "version": ["version"],
    }
    assert not MicroServiceInstance.objects.exists()


def test_a_folder_that_another_service_has_on_the_host_is_refused_with_a_message(administrator, version):
    other = ServiceFactory(
        information_system=version.service.information_system, folder=version.service.folder
    )
    taken = InstanceFactory(version=VersionFactory(service=other))

    answer = administrator.post(
        url(MicroServiceInstance, "add"), instance_of(version, host=taken.host), follow=True
    )

    assert other.name in " ".join(messages_of(answer))
    assert not version.service.instances.exists()


@pytest.mark.parametrize("typed", [{"port": "0"}, {"weight": "1001"}, {"port": ""}], ids=str)
def test_numbers_out_of_range_are_refused_by_field(administrator, version, typed):
    answer = administrator.post(url(MicroServiceInstance, "add"), instance_of(version, **typed))

    assert list(errors_of(answer)) == list(typed)


def test_a_service_is_on_a_host_once(administrator, version, monkeypatch):
    taken = InstanceFactory(version=version)
    page = url(MicroServiceInstance, "add")
    typed = instance_of(version, host=taken.host)

    assert "__all__" in errors_of(administrator.post(page, typed))
    # As if the other had been entered after the check.
    monkeypatch.setattr("deploys.models.MicroServiceInstance.validate_constraints", lambda *_, **__: None)
    quicker = administrator.post(page, typed)

    assert (quicker.status_code, quicker["Location"]) == (302, page)
    assert messages_of(quicker) == ["One of these values is already in use."]
    assert MicroServiceInstance.objects.count() == 1
    assert not LogEntry.objects.exists()


def test_what_a_deployment_holds_is_neither_changed_nor_deleted(administrator):
    instance = is_being_deployed(ServiceFactory())
    before = columns(instance)

    changed = send(
        administrator, url(MicroServiceInstance, "change", instance.pk), port="9", is_maintain="on"
    )
    deleted = administrator.post(url(MicroServiceInstance, "delete", instance.pk), {"post": "yes"})

    assert "deployment is in progress" in errors_of(changed)["__all__"][0]
    assert deleted.status_code == 403
    assert columns(instance) == before
    assert not LogEntry.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_deployment_that_is_just_beginning_is_waited_for(administrator):
    instance = InstanceFactory()
    page = url(MicroServiceInstance, "change", instance.pk)
    typed = opened(administrator, page) | {"port": "9"}

    with written_meanwhile(lambda: MicroServiceInstance.objects.update(locked=True)):
        answer = administrator.post(page, typed)

    assert "deployment is in progress" in errors_of(answer)["__all__"][0]
    assert columns(instance)["port"] == instance.port


def test_a_deployment_that_began_and_ended_meanwhile_stays_written(administrator):
    instance = InstanceFactory(status="unknown")
    page = url(MicroServiceInstance, "change", instance.pk)
    typed = opened(administrator, page) | {"weight": "50"}
    newer = VersionFactory(service=instance.service)
    MicroServiceInstance.objects.update(version=newer, status="running")

    answer = administrator.post(page, typed)

    assert answer.status_code == 302, errors_of(answer)
    instance.refresh_from_db()
    assert (instance.weight, instance.version, instance.status) == (50, newer, "running")


def test_maintenance_that_was_begun_meanwhile_is_not_ended(administrator):
    instance = InstanceFactory()
    page = url(MicroServiceInstance, "change", instance.pk)
    typed = opened(administrator, page) | {"weight": "50"}
    MicroServiceInstance.objects.update(is_maintain=True)

    assert (
        "Modified by someone else since you opened this page"
        in errors_of(administrator.post(page, typed))["__all__"][0]
    )
    assert columns(instance)["is_maintain"]


def test_the_history_of_an_instance_outlives_it(administrator):
    item = DeploymentItemFactory()

    answer = administrator.post(url(MicroServiceInstance, "delete", item.instance.pk), {"post": "yes"})

    assert answer.status_code == 302
    item.refresh_from_db()
    assert item.instance is None
    assert item.host_name


# --- All of them ---------------------------------------------------------------------------------------------


def test_rows_are_deleted_one_by_one_and_not_as_many_as_are_ticked(administrator):
    instance = InstanceFactory()
    rows = [instance, instance.host, instance.service, instance.version]

    for row in rows:
        ticked = {"action": "delete_selected", "_selected_action": [str(row.pk)], "post": "yes"}
        answer = administrator.post(url(type(row), "changelist"), ticked)
        assert answer.status_code == 200
        assert 'value="delete_selected"' not in answer.content.decode()

    assert all(type(row).objects.filter(pk=row.pk).exists() for row in rows)


def test_a_row_that_is_gone_is_a_message(administrator):
    instance = InstanceFactory()
    instance.delete()

    for page in ("change", "delete"):
        answer = administrator.post(url(MicroServiceInstance, page, instance.pk), {"post": "yes"})
        assert answer.status_code == 302
        assert "doesn’t exist" in messages_of(answer)[0]


@pytest.mark.parametrize("model", [Deployment, DeploymentItem])
def test_deployments_are_only_read(administrator, model):
    item = DeploymentItemFactory()
    row = item if model is DeploymentItem else item.deployment
    before = columns(row)

    shown = administrator.get(url(model, "change", row.pk)).content.decode()

    assert 'name="_save"' not in shown
    assert "deletelink" not in shown
    for page, args in (("add", ()), ("change", (row.pk,)), ("delete", (row.pk,))):
        assert administrator.post(url(model, page, *args), {"post": "yes"}).status_code == 403
    ticked = {"action": "delete_selected", "_selected_action": [str(row.pk)], "post": "yes"}
    administrator.post(url(model, "changelist"), ticked)
    assert columns(row) == before


def test_the_trail_names_what_was_changed(administrator):
    instance = InstanceFactory()

    send(administrator, url(Host, "change", instance.host.pk), known_hosts="web-1 ssh-ed25519 AAAA")
    send(administrator, url(MicroServiceInstance, "change", instance.pk), tag="blue")

    told = LogEntry.objects.order_by("pk").values_list("object_repr", "change_message")
    assert [(what, json.loads(message)) for what, message in told] == [
        (str(instance.host), [{"changed": {"fields": ["Host keys"]}}]),
        (str(instance), [{"changed": {"fields": ["Tag"]}}]),
    ]
