"""Every change of a tracked table is an event with its actor, in the transaction of the change."""

from __future__ import annotations

import json

import pytest
from django.apps import apps
from django.contrib.auth.models import Group
from django.db import connection, transaction
from django.test import Client
from django.utils import timezone

from api.models import ApiToken
from events import refusals
from events.models import Event
from events.tracking import ALWAYS_IGNORED, list_tracked_tables
from tasks.models import Job
from tenants.models import InformationSystem, Membership, User
from tenants.scoping import Role
from tests.clock import set_clock
from tests.factories import HostFactory, MembershipFactory, UserFactory, VersionFactory, VirtualMachineFactory

pytestmark = pytest.mark.django_db


def events_of(object_type: str) -> list[Event]:
    return list(Event.objects.filter(object_type=object_type).order_by("id"))


def test_the_triggers_are_those_that_are_declared() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tgrelid::regclass::text, pg_get_triggerdef(oid) FROM pg_trigger WHERE tgname = 'events_record_row'"
        )
        found = {table: definition.partition("events_record_row(")[2] for table, definition in cursor}

    declared = {
        one.table: ", ".join(f"'{argument}'" for argument in one.arguments) + ")"
        for one in list_tracked_tables()
    }
    assert found == declared


def test_an_update_of_every_column_that_is_not_ignored_calls_the_trigger() -> None:
    limited = [one for one in list_tracked_tables() if one.updates_of]
    models = {model._meta.db_table: model for model in apps.get_models()}
    assert limited
    with connection.cursor() as cursor:
        for one in limited:
            cursor.execute(
                "SELECT attname FROM pg_trigger JOIN pg_attribute ON attrelid = tgrelid AND attnum = ANY (tgattr)"
                " WHERE tgname = 'events_record_row' AND tgrelid = %s::regclass",
                [one.table],
            )
            watched = {column for (column,) in cursor}
            columns = {field.column for field in models[one.table]._meta.concrete_fields}
            assert watched == columns - {"id", *ALWAYS_IGNORED, *one.ignored}


def test_a_change_by_a_token_has_its_actor_address_and_values() -> None:
    member = MembershipFactory(role=Role.ADMIN)
    system = InformationSystem.objects.create(tenant=member.tenant, name="Shop", owner="Ann")
    _token, secret = ApiToken.objects.create(user=member.user, name="pipeline", expiry=None)
    client = Client(
        headers={"Authorization": f"Token {secret}", "X-Request-ID": "r-1"}, REMOTE_ADDR="203.0.113.7"
    )

    response = client.patch(
        f"/api/v1/information-systems/{system.pk}/", {"owner": "Bob"}, content_type="application/json"
    )

    assert response.status_code == 200
    created, changed = events_of("information_system")
    assert (created.code, created.actor_type, created.before) == (
        "information_system.created",
        "system",
        None,
    )
    assert created.after["name"] == "Shop"
    assert (changed.code, changed.before, changed.after) == (
        "information_system.changed",
        {"owner": "Ann"},
        {"owner": "Bob"},
    )
    assert (changed.tenant_id, changed.object_id, changed.object_name) == (
        member.tenant.pk,
        str(system.pk),
        "Shop",
    )
    assert (changed.actor_type, changed.actor_id, changed.actor_name) == (
        "token",
        member.user.pk,
        member.user.username,
    )
    assert (changed.token_name, changed.address, changed.request_id) == ("pipeline", "203.0.113.7", "r-1")


def test_a_change_in_the_admin_is_an_event_with_its_differences(
    admin_client: Client, admin_user: User
) -> None:
    group = Group.objects.create(name="operators")

    admin_client.post(f"/admin/auth/group/{group.pk}/change/", {"name": "auditors"})

    event = Event.objects.get(code="group.changed")
    assert (event.before, event.after) == ({"name": "operators"}, {"name": "auditors"})
    assert (event.actor_type, event.actor_name, event.tenant) == ("user", admin_user.username, None)


def test_a_change_that_is_rolled_back_has_no_event() -> None:
    member = MembershipFactory()
    before = Event.objects.count()

    with pytest.raises(RuntimeError, match="undo"), transaction.atomic():
        Membership.objects.filter(pk=member.pk).update(role=Role.ADMIN)
        assert Event.objects.count() == before + 1
        raise RuntimeError("undo")

    assert Event.objects.count() == before


def test_bookkeeping_columns_are_no_event() -> None:
    host = HostFactory()
    before = Event.objects.count()

    host.save()
    User.objects.filter(pk=UserFactory().pk).update(last_login="2026-01-01T00:00:00Z", theme="dark")

    assert [event.code for event in Event.objects.order_by("id")[before:]] == ["user.created"]


def test_secrets_are_never_in_an_event() -> None:
    user = UserFactory()
    user.set_password("canary-password-1")
    user.save()
    token, secret = ApiToken.objects.create(user=user, name="ci", expiry=None)
    version = VersionFactory(artifact_url="https://artifacts.example.org/a.tar.gz?signature=canary-2")
    type(version.service).objects.filter(pk=version.service.pk).update(
        executor_settings={"password": "canary-3"}
    )

    written = json.dumps([[event.before, event.after] for event in Event.objects.all()])

    assert "(hidden)" in written
    for value in (user.password, token.digest, token.token_key, secret, "canary-2", "canary-3"):
        assert value not in written


def test_a_task_is_an_event_when_it_is_requested_and_when_it_ends() -> None:
    vm = VirtualMachineFactory()
    tenant = vm.information_system.tenant
    user = UserFactory()
    deadline = timezone.now()
    job = Job.objects.create(
        kind="vms.start",
        deadline=deadline,
        tenant=tenant,
        created_by=user,
        entity_type="vm",
        entity_id=str(vm.pk),
        subject=vm.name,
    )
    job.root_id = job.pk
    child = Job.objects.create(kind="vms.start", deadline=deadline, tenant=tenant, parent=job, root_id=job.pk)

    jobs = Job.objects.filter(pk__in=[job.pk, child.pk])
    jobs.update(status="waiting")
    jobs.update(status="succeeded", ended_at=deadline)

    requested, ended = events_of("vm")
    assert (requested.code, ended.code) == ("task.requested", "task.succeeded")
    assert ended.parameters == {"task": str(job.pk), "kind": "vms.start"}
    assert (ended.tenant_id, ended.actor_name, ended.object_name) == (tenant.pk, user.username, vm.name)


def test_a_task_that_is_requested_by_a_token_has_its_name_and_address() -> None:
    member = MembershipFactory(role=Role.OPERATOR)
    vm = VirtualMachineFactory(information_system__tenant=member.tenant, status="stopped")
    _token, secret = ApiToken.objects.create(user=member.user, name="pipeline", expiry=None)
    client = Client(headers={"Authorization": f"Token {secret}"}, REMOTE_ADDR="203.0.113.7")

    answer = client.post(
        f"/api/v1/vms/{vm.pk}/actions/", {"action": "start"}, content_type="application/json"
    )

    assert answer.status_code == 202
    event = Event.objects.get(code="task.requested")
    assert (event.actor_type, event.actor_id, event.token_name) == ("token", member.user.pk, "pipeline")
    assert (event.address, event.object_id) == ("203.0.113.7", str(vm.pk))


def test_signing_in_and_failing_to_are_events(client: Client) -> None:
    user = UserFactory()
    user.set_password("right")
    user.save()

    client.post("/login/", {"username": user.username, "password": "wrong"})
    client.post("/login/", {"username": user.username, "password": "right"})

    failed, succeeded = Event.objects.filter(code__startswith="sign_in.").order_by("id")
    assert (failed.code, failed.object_name, failed.actor_name) == ("sign_in.failed", user.username, "")
    assert (succeeded.code, succeeded.actor_id, succeeded.address) == (
        "sign_in.succeeded",
        user.pk,
        "127.0.0.1",
    )
    assert "wrong" not in json.dumps([failed.parameters, failed.object_name])


def test_a_change_that_the_role_does_not_allow_is_an_event_of_the_tenant() -> None:
    member = MembershipFactory(role=Role.VIEWER)
    client = Client(headers={"X-Tenant": member.tenant.slug})
    client.force_login(member.user)

    assert (
        client.post(
            "/api/v1/information-systems/", {"name": "x"}, content_type="application/json"
        ).status_code
        == 403
    )
    assert client.get("/api/v1/audit/").status_code == 403

    (event,) = Event.objects.filter(code="request.refused")
    assert (event.tenant_id, event.actor_id) == (member.tenant.pk, member.user.pk)
    assert (event.object_name, event.parameters) == ("/api/v1/information-systems/", {"method": "POST"})


def test_changes_of_a_vm_by_users_are_events_and_those_of_the_sync_are_not() -> None:
    vm = VirtualMachineFactory()
    before = Event.objects.count()

    type(vm).objects.filter(pk=vm.pk).update(status="stopped", ip_address="10.0.0.9", version=7)
    assert Event.objects.count() == before
    type(vm).objects.filter(pk=vm.pk).update(description="front", tags={"team": "web"}, version=8)

    event = Event.objects.get(code="vm.changed")
    assert (event.object_id, event.tenant_id) == (str(vm.pk), vm.information_system.tenant_id)
    assert event.after == {"description": "front", "tags": {"team": "web"}}


def test_refusals_of_a_user_are_bounded_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(refusals, "_counts", {})
    set_clock(monkeypatch, refusals, monotonic=lambda: now[0])
    member, other = MembershipFactory(role=Role.VIEWER), MembershipFactory(role=Role.VIEWER)

    def try_often(who: Membership, times: int) -> None:
        client = Client(headers={"X-Tenant": who.tenant.slug})
        client.force_login(who.user)
        for _time in range(times):
            client.post("/systems/new/", {"name": "x"})

    try_often(member, refusals.MOST + 3)
    try_often(other, 1)
    now[0] += refusals.PERIOD_SECONDS + 1
    try_often(member, 1)

    recorded = Event.objects.filter(code="request.refused", actor_id=member.user.pk).order_by("id")
    assert recorded.count() == refusals.MOST + 1
    assert [event.parameters.get("not_recorded_before") for event in recorded][-2:] == [None, 3]
    assert Event.objects.filter(code="request.refused", actor_id=other.user.pk).count() == 1
