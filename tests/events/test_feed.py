"""The feed: numbers without gaps, nothing missed, nothing twice, and the walls around it."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.test import Client
from django.utils import timezone

from events.models import Event, EventChain
from events.numbering import find_breaks, number_events
from events.recording import record_event
from events.retention import remove_events
from tenants.models import Tenant
from tenants.scoping import Role
from tests.factories import MembershipFactory, TenantFactory, UserFactory

pytestmark = pytest.mark.django_db


def record(tenant: Tenant | None, count: int, code: str = "host.changed") -> None:
    for number in range(count):
        record_event(
            code, tenant_id=tenant.pk if tenant else None, object_type="host", object_name=f"h{number}"
        )


def client_of(tenant: Tenant, role: Role = Role.ADMIN) -> Client:
    client = Client(headers={"X-Tenant": tenant.slug})
    client.force_login(MembershipFactory(tenant=tenant, role=role).user)
    return client


def read_all(client: Client, limit: int = 2) -> list[dict[str, Any]]:
    """Read the feed as a program does that keeps the last number."""
    found: list[dict[str, Any]] = []
    while True:
        after = found[-1]["number"] if found else 0
        body = client.get(f"/api/v1/events/?after={after}&limit={limit}").json()
        found += body["results"]
        if found and found[-1]["number"] == body["last"]:
            return found


def test_a_reader_gets_every_event_once_in_the_order_of_numbers() -> None:
    tenant = TenantFactory()
    client = client_of(tenant)
    record(tenant, 5)

    events = read_all(client)

    assert [event["number"] for event in events] == list(range(1, len(events) + 1))
    assert [event["object"]["name"] for event in events[-5:]] == ["h0", "h1", "h2", "h3", "h4"]
    assert events[-1]["label"] == "Host changed"
    assert events[-1].keys() >= {
        "number",
        "code",
        "at",
        "actor",
        "tenant",
        "object",
        "parameters",
        "before",
        "after",
        "request_id",
    }
    last = events[-1]["number"]
    assert client.get(f"/api/v1/events/?after={last}").json() == {"results": [], "last": last}


@pytest.mark.django_db(transaction=True)
def test_a_transaction_that_commits_late_is_neither_missed_nor_leaves_a_gap() -> None:
    """The event of a long transaction has the lower id, and still gets the next number: it was not there before."""
    tenant = TenantFactory()
    numbered_before = number_events(tenant.pk)
    began, may_end = threading.Event(), threading.Event()

    def change_slowly() -> None:
        try:
            with transaction.atomic():
                record_event("host.changed", tenant_id=tenant.pk, object_name="slow")
                began.set()
                may_end.wait(20)
        finally:
            connection.close()

    slow = threading.Thread(target=change_slowly)
    slow.start()
    assert began.wait(20)
    record_event("host.changed", tenant_id=tenant.pk, object_name="quick")
    assert number_events(tenant.pk) == numbered_before + 1
    may_end.set()
    slow.join()

    assert number_events(tenant.pk) == numbered_before + 2
    names = Event.objects.filter(tenant=tenant, number__gt=numbered_before).order_by("number")
    assert list(names.values_list("object_name", flat=True)) == ["quick", "slow"]


@pytest.mark.django_db(transaction=True)
def test_simultaneous_numbering_gives_each_number_once() -> None:
    tenant = TenantFactory()
    record(tenant, 40)
    start = threading.Barrier(4)

    def number() -> None:
        try:
            start.wait()
            number_events(tenant.pk)
        finally:
            connection.close()

    threads = [threading.Thread(target=number) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    numbers = list(Event.objects.filter(tenant=tenant).order_by("number").values_list("number", flat=True))
    assert numbers == list(range(1, len(numbers) + 1))
    assert list(find_breaks(EventChain.objects.get(tenant=tenant))) == []


@pytest.mark.parametrize("path", ["events/", "events/stream/", "audit/", "audit/export/"])
def test_viewers_and_operators_and_staff_without_the_permission_are_refused(path: str) -> None:
    tenant = TenantFactory()
    staff = Client(headers={"X-Tenant": tenant.slug})
    staff.force_login(UserFactory(is_staff=True))

    answers = [client_of(tenant, role).get(f"/api/v1/{path}") for role in (Role.VIEWER, Role.OPERATOR)]
    answers.append(staff.get(f"/api/v1/{path}"))

    assert [answer.status_code for answer in answers] == [403, 403, 403]


def test_an_auditor_of_a_tenant_reads_its_events_alone() -> None:
    tenant, other = TenantFactory(), TenantFactory()
    record(tenant, 2)
    record(other, 1)
    auditor = client_of(tenant, Role.AUDITOR)

    events = auditor.get("/api/v1/events/").json()["results"]
    assert {event["tenant"] for event in events} == {str(tenant.pk)}
    assert auditor.get("/api/v1/audit/").json()["count"] >= 2
    assert auditor.get("/api/v1/audit/export/").status_code == 200
    assert auditor.get("/audit/").status_code == 200
    assert '/audit/"' in auditor.get("/vms/").content.decode()
    assert '/audit/"' not in client_of(tenant, Role.OPERATOR).get("/vms/").content.decode()


def test_an_auditor_of_all_tenants_reads_everything_and_changes_nothing() -> None:
    tenant = TenantFactory()
    record(tenant, 1)
    record(None, 1, "sign_in.failed")
    auditor = UserFactory(is_staff=True)
    auditor.user_permissions.add(Permission.objects.get(codename="view_event"))
    client = Client()
    client.force_login(auditor)

    codes = {event["code"] for event in client.get("/api/v1/audit/").json()["results"]}

    assert {"host.changed", "sign_in.failed"} <= codes
    of_tenant = client.get("/api/v1/events/", headers={"X-Tenant": tenant.slug}).json()["results"]
    assert {event["tenant"] for event in of_tenant} == {str(tenant.pk)}
    assert {event["tenant"] for event in client.get("/api/v1/events/").json()["results"]} == {None}
    assert client.post("/api/v1/events/").status_code == 405


def test_an_administrator_sees_no_event_of_another_tenant() -> None:
    tenant, other = TenantFactory(), TenantFactory()
    record(other, 3)
    client = client_of(tenant)

    feed = client.get("/api/v1/events/").json()["results"]
    audit = client.get("/api/v1/audit/").json()["results"]
    exported = b"".join(client.get("/api/v1/audit/export/")).decode()

    assert {event["tenant"] for event in [*feed, *audit]} == {str(tenant.pk)}
    assert "h0" not in exported
    assert other.name not in client.get("/audit/").content.decode()


@pytest.mark.parametrize(
    "query",
    ["after=-1", "after=x", "after=9999999999999999999999", "limit=0", "limit=1001", "after=1&after=2"],
)
def test_a_bad_number_is_refused_by_name(query: str) -> None:
    assert client_of(TenantFactory()).get(f"/api/v1/events/?{query}").status_code == 400


def test_the_stream_replays_from_a_number_and_goes_on(settings: Any) -> None:
    settings.JOB_EVENTS_SECONDS = 0
    tenant = TenantFactory()
    client = client_of(tenant)
    record(tenant, 3)
    last = number_events(tenant.pk)

    response = client.get("/api/v1/events/stream/", headers={"Last-Event-ID": str(last - 2)})
    text = b"".join(response).decode()  # type: ignore[arg-type] # It streams.

    assert text.startswith("retry: ")
    assert [line for line in text.splitlines() if line.startswith("id:")] == [
        f"id: {last - 1}",
        f"id: {last}",
    ]
    first = next(line for line in text.splitlines() if line.startswith("data:"))
    assert json.loads(first.removeprefix("data: "))["object"]["name"] == "h1"


# --- The audit log -----------------------------------------------------------------------------------------


def test_the_audit_log_is_filtered_and_exported_and_the_export_is_an_event() -> None:
    tenant = TenantFactory()
    client = client_of(tenant)
    record(tenant, 2)
    record(tenant, 1, "task.failed")

    failed = client.get("/api/v1/audit/?outcome=failed").json()["results"]
    lines = b"".join(
        client.get("/api/v1/audit/export/?code=host.changed", headers={"Accept": "application/jsonl"})
    )

    assert [event["code"] for event in failed] == ["task.failed"]
    assert [json.loads(line)["object_name"] for line in lines.decode().splitlines()] == ["h1", "h0"]
    exported = Event.objects.get(code="audit.exported")
    assert (exported.tenant_id, exported.parameters) == (tenant.pk, {"filters": {"code": "host.changed"}})
    assert client.get("/api/v1/audit/?nothing=1").status_code == 400


def tamper(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE events_event SET actor_name = 'nobody' WHERE number = 2", "event 2 was changed"),
        ('UPDATE events_event SET after = \'{"role": "viewer"}\' WHERE number = 3', "event 3 was changed"),
        ("DELETE FROM events_event WHERE number = 2", "events 2 to 2 are missing"),
        ("DELETE FROM events_event WHERE number = 4", "events 4 to 4 are missing"),
        ("UPDATE events_event SET digest = 'x' WHERE number = 4", "event 4 was changed"),
    ],
)
def test_a_change_behind_the_portals_back_is_found(statement: str, words: str, capsys: Any) -> None:
    tenant = TenantFactory()
    Event.objects.all().delete()
    record(tenant, 4)
    number_events(tenant.pk)
    call_command("verify_audit")

    tamper(statement)

    with pytest.raises(CommandError, match="breaks were found"):
        call_command("verify_audit")
    assert words in capsys.readouterr().err


def test_old_events_are_removed_and_the_rest_is_still_verified() -> None:
    tenant = TenantFactory()
    record(tenant, 6)
    number_events(tenant.pk)
    count = Event.objects.filter(tenant=tenant).count()
    old = timezone.now() - timedelta(days=500)
    # The time is part of the digest, so the chain is made anew as it would have been then.
    Event.objects.filter(tenant=tenant, number__lte=4).update(at=old, number=None, digest="")
    Event.objects.filter(tenant=tenant).update(number=None, digest="")
    EventChain.objects.filter(tenant=tenant).update(last_number=0, last_digest="")
    number_events(tenant.pk)

    removed = remove_events(older_than=timezone.now() - timedelta(days=400))

    assert removed == 4
    assert Event.objects.filter(tenant=tenant).count() == count - 4
    chain = EventChain.objects.get(tenant=tenant)
    assert list(find_breaks(chain)) == []
    record(tenant, 1)
    assert number_events(tenant.pk) == count + 1
    assert list(find_breaks(EventChain.objects.get(tenant=tenant))) == []
