"""Webhooks: each event once per message ID, signed, in order, whatever the receiver does; and nothing of other tenants."""

from __future__ import annotations

import json
import socket
import threading
from datetime import timedelta
from typing import Any

import pytest
from django.test import override_settings
from django.utils import timezone
from standardwebhooks import Webhook as Verifier

from api.domain_errors import DomainError
from events.models import Event
from events.recording import record_event
from notifications import delivering, webhook_batches, webhook_requests
from notifications.models import Delivery, Webhook
from notifications.services import webhooks
from tenants.models import Tenant
from tenants.scoping import Role, Scope
from tests.factories import MembershipFactory, TenantFactory
from tests.notifications.receiver import Answer, Received, Receiver

pytestmark = pytest.mark.django_db


def scope_of(tenant: Tenant) -> Scope:
    return Scope(MembershipFactory(tenant=tenant, role=Role.ADMIN).user, tenant, Role.ADMIN)


def make_webhook(
    url: str, codes: list[str] | None = None, tenant: Tenant | None = None
) -> tuple[Webhook, str]:
    scope = scope_of(tenant or TenantFactory())
    fields = {"name": "deployer", "url": url, "codes": codes or ["host.*"]}
    return webhooks.create_webhook(scope=scope, fields=fields)


def record(webhook: Webhook, *names: str, code: str = "host.changed") -> None:
    for name in names:
        record_event(code, tenant_id=webhook.tenant_id, object_type="host", object_name=name)


def be_due(webhook: Webhook, **columns: Any) -> None:
    """Let the pause before the next attempt be over."""
    Webhook.objects.filter(pk=webhook.pk).update(due_at=timezone.now() - timedelta(seconds=1), **columns)


def names_of(received: list[Received]) -> list[str]:
    return [one.json["data"]["object"]["name"] for one in received]


def status_of(webhook: Webhook) -> list[tuple[str, int]]:
    return list(webhook.deliveries.order_by("number").values_list("status", "attempts"))


def test_each_wanted_event_is_posted_in_order_and_its_signature_verifies(receiver: Receiver) -> None:
    webhook, secret = make_webhook(receiver.url)
    record(webhook, "a", "b")
    record(webhook, "unwanted", code="vm.started")
    record(webhook, "c")

    delivering.deliver()

    assert names_of(receiver.received) == ["a", "b", "c"]
    for one in receiver.received:
        assert Verifier(secret).verify(one.body, one.headers) == one.json
        assert one.path == "/hook?token=t0ken"
    ids = [one.headers["webhook-id"] for one in receiver.received]
    numbers = list(
        Event.objects.filter(code="host.changed").order_by("number").values_list("number", flat=True)
    )
    assert ids == [f"{webhook.pk}.{number}" for number in numbers]
    assert status_of(webhook) == [("delivered", 1)] * 3
    delivering.deliver()
    assert len(receiver.received) == 3


def test_a_failing_receiver_gets_the_same_event_again_and_the_later_ones_after_it(receiver: Receiver) -> None:
    webhook, _secret = make_webhook(receiver.url)
    record(webhook, "a", "b")
    receiver.fail(503, b"out of order\x00\r\nX: y")

    delivering.deliver()
    delivering.deliver()
    assert names_of(receiver.received) == ["a"]  # The second run waits for the pause.
    webhook.refresh_from_db()
    assert webhook.last_error == "HTTP 503: out of order X: y"
    assert webhook.due_at is not None
    assert status_of(webhook) == [("retrying", 1)]

    receiver.work()
    be_due(webhook)
    delivering.deliver()

    assert names_of(receiver.received) == ["a", "a", "b"]
    first, second, _third = (one.headers["webhook-id"] for one in receiver.received)
    assert first == second
    assert status_of(webhook) == [("delivered", 2), ("delivered", 1)]
    webhook.refresh_from_db()
    assert (webhook.failing_since, webhook.last_error, webhook.due_at) == (None, "", None)


def test_after_a_day_an_event_is_given_up_and_can_be_sent_again_by_hand(receiver: Receiver) -> None:
    webhook, _secret = make_webhook(receiver.url)
    record(webhook, "a", "b")
    receiver.answer = lambda one: Answer(500 if one.json["data"]["object"]["name"] == "a" else 200)
    delivering.deliver()
    Delivery.objects.update(began_at=timezone.now() - timedelta(days=1, minutes=1))
    be_due(webhook)

    delivering.deliver()

    assert names_of(receiver.received) == ["a", "a", "b"]
    assert [status for status, _attempts in status_of(webhook)] == ["failed", "delivered"]

    receiver.work()
    scope = scope_of(webhook.tenant)
    assert webhooks.send_again(scope=scope, webhook_id=webhook.pk) == 1
    delivering.deliver()

    assert names_of(receiver.received) == ["a", "a", "b", "a"]
    assert [status for status, _attempts in status_of(webhook)] == ["delivered", "delivered"]
    with pytest.raises(DomainError) as refused:
        webhooks.send_again(scope=scope, webhook_id=webhook.pk)
    assert refused.value.code == "nothing_to_send"


def test_after_days_of_failures_a_webhook_is_switched_off_and_goes_on_where_it_stopped(
    receiver: Receiver,
) -> None:
    webhook, _secret = make_webhook(receiver.url)
    record(webhook, "a")
    receiver.fail()
    delivering.deliver()
    be_due(webhook, failing_since=timezone.now() - timedelta(days=3, minutes=1))

    delivering.deliver()

    webhook.refresh_from_db()
    assert not webhook.active
    event = Event.objects.get(code="webhook.switched_off")
    assert (event.tenant_id, event.object_id) == (webhook.tenant_id, str(webhook.pk))
    receiver.work()
    be_due(webhook)
    delivering.deliver()
    assert len(receiver.received) == 2

    webhooks.change_webhook(scope=scope_of(webhook.tenant), webhook_id=webhook.pk, fields={"active": True})
    delivering.deliver()
    assert names_of(receiver.received) == ["a", "a", "a"]


def test_a_receiver_that_is_gone_is_switched_off_at_once(receiver: Receiver) -> None:
    webhook, _secret = make_webhook(receiver.url)
    record(webhook, "a")
    receiver.fail(410, b"<!doctype html><title>Gone</title>")

    delivering.deliver()

    webhook.refresh_from_db()
    assert (webhook.active, webhook.last_error) == (False, "HTTP 410")
    assert webhook.switched_off_at is not None


def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    webhook, _secret = make_webhook(receiver.url)
    record(webhook, "a")
    receiver.answer = lambda _one: Answer(
        302, headers={"Location": f"http://{receiver.netloc}/latest/meta-data/"}
    )

    delivering.deliver()

    assert [one.path for one in receiver.received] == ["/hook?token=t0ken"]
    webhook.refresh_from_db()
    assert webhook.last_error == webhook_requests.REDIRECT


@override_settings(ALLOW_LOCAL_RECEIVERS=False)
def test_an_address_of_the_portals_own_machine_is_refused_when_it_is_entered_and_at_each_attempt(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DomainError) as refused:
        make_webhook(receiver.url)
    assert "url" in refused.value.errors

    # A name that leads elsewhere when it is entered, and here when it is connected to.
    answers = [[(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("203.0.113.9", 80))]]
    real = socket.getaddrinfo
    name = "rebinding.example"

    def resolve(host: str, port: Any, *arguments: Any, **options: Any) -> Any:
        if host != name:
            return real(host, port, *arguments, **options)
        return answers.pop() if answers else real("127.0.0.1", port, *arguments, **options)

    monkeypatch.setattr("security.addresses.AddressPolicy.resolve", staticmethod(resolve), raising=False)
    monkeypatch.setattr("security.policies._build_policy", _build_policy_with(resolve))
    webhook, _secret = make_webhook(f"http://{name}:{receiver.port}/")
    record(webhook, "a")

    delivering.deliver()

    assert receiver.received == []
    webhook.refresh_from_db()
    assert "127.0.0.1" in webhook.last_error


def _build_policy_with(resolve: Any) -> Any:
    from dataclasses import replace

    from security import policies

    build = policies._build_policy
    return lambda setting: replace(build(setting), resolve=resolve)


def test_an_endless_answer_and_a_huge_one_are_cut_off(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_requests, "REQUEST_SECONDS", 0.5)
    over = threading.Event()

    def drip(port: list[int]) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port.append(server.getsockname()[1])
            ready.set()
            connection, _address = server.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
                while not over.wait(0.1):
                    try:
                        connection.sendall(b"x")
                    except OSError:
                        return

    ready, port = threading.Event(), []
    thread = threading.Thread(target=drip, args=[port], daemon=True)
    thread.start()
    ready.wait(10)
    slow, _secret = make_webhook(f"http://127.0.0.1:{port[0]}/")
    huge, _secret = make_webhook(receiver.url)
    receiver.answer = lambda _one: Answer(500, b"x" * 10_000_000)
    record(slow, "a")
    record(huge, "a")

    delivering.deliver()
    over.set()
    thread.join(10)

    slow.refresh_from_db()
    huge.refresh_from_db()
    assert slow.last_error == "no complete answer within 0.5 seconds"
    assert huge.last_error.startswith("HTTP 500: xxx")
    assert len(huge.last_error) <= 500


def test_what_was_sent_but_not_recorded_is_sent_again_under_the_same_id(receiver: Receiver) -> None:
    webhook, _secret = make_webhook(receiver.url)
    record(webhook, "a", "b")
    delivering.number_all_events()
    prepared = webhook_batches.prepare(Webhook.objects.get(pk=webhook.pk))
    assert prepared is not None
    prepared[0]()  # The process is killed before it records what it has sent.

    delivering.deliver()

    ids = [one.headers["webhook-id"] for one in receiver.received]
    assert ids[:2] == ids[2:]
    assert names_of(receiver.received) == ["a", "b", "a", "b"]


def test_a_late_record_of_a_run_that_was_suspended_changes_nothing(receiver: Receiver) -> None:
    webhook, _secret = make_webhook(receiver.url)
    record(webhook, "a")
    delivering.number_all_events()
    prepared = webhook_batches.prepare(Webhook.objects.get(pk=webhook.pk))
    assert prepared is not None
    receiver.fail()
    late = prepared[0]()
    receiver.work()
    delivering.deliver()

    prepared[1](late)

    assert status_of(webhook) == [("delivered", 1)]
    webhook.refresh_from_db()
    assert webhook.failing_since is None


def test_events_of_other_tenants_never_arrive(receiver: Receiver) -> None:
    webhook, _secret = make_webhook(receiver.url, ["*"])
    other, _secret = make_webhook("http://127.0.0.1:9/", ["*"])
    record(other, "foreign")
    record(webhook, "own")

    delivering.deliver()

    assert {one.json["data"]["tenant"] for one in receiver.received} == {str(webhook.tenant_id)}
    assert "foreign" not in json.dumps([one.json for one in receiver.received])


def test_for_a_day_after_a_change_both_secrets_sign(receiver: Receiver) -> None:
    webhook, old = make_webhook(receiver.url)
    _webhook, new = webhooks.rotate_secret(scope=scope_of(webhook.tenant), webhook_id=webhook.pk)
    record(webhook, "a")
    delivering.deliver()
    Webhook.objects.update(secret_changed_at=timezone.now() - timedelta(days=1, minutes=1))
    record(webhook, "b")
    delivering.deliver()

    with_both, with_new = receiver.received
    for secret in (old, new):
        Verifier(secret).verify(with_both.body, with_both.headers)
    Verifier(new).verify(with_new.body, with_new.headers)
    assert len(with_new.headers["webhook-signature"].split()) == 1


def test_a_test_message_shows_its_result_and_moves_nothing(receiver: Receiver) -> None:
    webhook, _secret = make_webhook(receiver.url)
    scope = scope_of(webhook.tenant)
    receiver.fail(404, b"no such hook")
    webhooks.test_webhook(scope=scope, webhook_id=webhook.pk)
    delivering.deliver()
    webhook.refresh_from_db()
    assert (webhook.test_error, webhook.failing_since) == ("HTTP 404: no such hook", None)

    receiver.work()
    webhooks.test_webhook(scope=scope, webhook_id=webhook.pk)
    delivering.deliver()
    webhook.refresh_from_db()
    assert (webhook.test_error, webhook.test_requested_at) == ("", None)
    assert [one.json["type"] for one in receiver.received] == ["webhook.test", "webhook.test"]


def test_readers_who_want_nothing_delay_none_behind_them(receiver: Receiver) -> None:
    webhook, _secret = make_webhook(receiver.url)
    scope = scope_of(webhook.tenant)
    for number in range(delivering.THREADS + 8):
        fields = {"name": f"other {number}", "url": receiver.url, "codes": ["vm.*"]}
        webhooks.create_webhook(scope=scope, fields=fields)
    record(webhook, "a")

    delivering.deliver()

    assert names_of(receiver.received) == ["a"]
    assert len(set(Webhook.objects.values_list("position", flat=True))) == 1


@pytest.mark.django_db(transaction=True)
def test_a_slow_receiver_delays_no_other(receiver: Receiver) -> None:
    slow, _secret = make_webhook(receiver.url)
    quick, _secret = make_webhook(receiver.url)
    arrived, released = threading.Event(), threading.Event()

    def answer(one: Received) -> Answer:
        if one.json["data"]["tenant"] == str(slow.tenant_id):
            released.wait(30)
        elif one.json["data"]["object"]["name"] == "second":
            arrived.set()
        return Answer()

    receiver.answer = answer
    record(slow, "waits")
    record(quick, "first")
    run = threading.Thread(target=deliver_in_thread)
    run.start()
    try:
        record(quick, "second")  # While the slow one holds its thread.
        assert arrived.wait(20)
        assert status_of(slow) == []
    finally:
        released.set()
        run.join(30)
    assert status_of(slow) == [("delivered", 1)]
    assert status_of(quick) == [("delivered", 1)] * 2


def deliver_in_thread() -> None:
    from django.db import connection

    try:
        delivering.deliver()
    finally:
        connection.close()
