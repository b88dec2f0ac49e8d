"""What is sent to a webhook, and what becomes of its position afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from time import monotonic
from typing import Any

from django.db import transaction
from django.utils import timezone, translation

from events.models import Event
from events.serializers import EventSerializer
from security.encryption import UnreadableSecretError, decrypt

from .feed_positions import Prepared, Window, read_window
from .models import OLD_SECRET_VALID, Delivery, Webhook
from .single_lines import to_line
from .switching_off import SWITCH_OFF_AFTER, record_switching_off
from .webhook_requests import Attempt, Message, encode_message, send

EVENTS_PER_BATCH = 25
# A batch sends no further message after this time, so that what it has sent is soon recorded.
BATCH_SECONDS = 5.0
# The pauses after the first failures, in seconds, as Standard Webhooks proposes; the last one is repeated.
BACK_OFF = (5, 30, 120, 600, 1800, 3600, 7200, 14400)
# An event is given up when its first attempt was so long ago.
GIVE_UP_AFTER = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Sending:
    """What a thread needs to send messages of one webhook, in order."""

    url: str
    secrets: tuple[str, ...]
    messages: tuple[Message, ...]

    def send(self) -> list[Attempt]:
        """Send the messages until one fails or the time is over; return the attempts that were made."""
        attempts: list[Attempt] = []
        deadline = monotonic() + BATCH_SECONDS
        for message in self.messages:
            attempts.append(send(self.url, self.secrets, message))
            if attempts[-1].error or monotonic() > deadline:
                break
        return attempts


def prepare(webhook: Webhook) -> Prepared | None:
    """Return what is to be sent to a webhook, and how its result is recorded; None if there is nothing to send.

    First a test, then what a person wants sent again, then the feed.
    """
    try:
        sending = Sending(webhook.decrypt_url(), _list_secrets(webhook), ())
    except UnreadableSecretError as error:
        attempt = Attempt(to_line(str(error)))
        if webhook.test_requested_at is not None:
            _record_test(webhook, [attempt])
        _record(webhook, None, [], [attempt])
        return None
    if webhook.test_requested_at is not None:
        return replace(sending, messages=(_build_test(webhook),)).send, partial(_record_test, webhook)
    queued = list(
        webhook.deliveries.filter(status=Delivery.Status.QUEUED).order_by("number")[:EVENTS_PER_BATCH]
    )
    if queued:
        return _prepare_again(webhook, sending, queued)
    window = read_window(webhook, Event.objects.all(), EVENTS_PER_BATCH)
    if not window.events:
        return None
    messages = tuple(_build_message(webhook, event) for event in window.events)
    return replace(sending, messages=messages).send, partial(_record, webhook, window, window.events)


def _prepare_again(webhook: Webhook, sending: Sending, queued: list[Delivery]) -> Prepared | None:
    events = Event.objects.filter(tenant=webhook.tenant_id, number__in=[one.number for one in queued])
    kept = {event.number: event for event in events}
    gone = [one.pk for one in queued if one.number not in kept]
    if gone:
        Delivery.objects.filter(pk__in=gone).update(
            status=Delivery.Status.FAILED,
            error="The event is not kept any more.",
            attempted_at=timezone.now(),
        )
    found = [kept[one.number] for one in queued if one.number in kept]
    if not found:
        return None
    messages = tuple(_build_message(webhook, event) for event in found)
    return replace(sending, messages=messages).send, partial(_record_again, webhook, found)


def _list_secrets(webhook: Webhook) -> tuple[str, ...]:
    changed_at = webhook.secret_changed_at
    secrets = [webhook.encrypted_secret]
    if changed_at is not None and changed_at > timezone.now() - OLD_SECRET_VALID:
        secrets.append(webhook.encrypted_old_secret)
    return tuple(decrypt(secret) for secret in secrets if secret)


def _build_message(webhook: Webhook, event: Event) -> Message:
    with translation.override("en"):
        data = dict(EventSerializer(event).data)
    return Message(f"{webhook.pk}.{event.number}", encode_message(event.code, _format_time(event.at), data))


def _build_test(webhook: Webhook) -> Message:
    requested_at = webhook.test_requested_at or timezone.now()
    data = {"webhook": str(webhook.pk), "tenant": str(webhook.tenant_id)}
    key = f"{webhook.pk}.test.{int(requested_at.timestamp())}"
    return Message(key, encode_message("webhook.test", _format_time(requested_at), data))


def _format_time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _record_test(webhook: Webhook, attempts: list[Attempt]) -> None:
    """Record a test, unless another one was requested meanwhile. A test that has arrived lets a waiting webhook go on at once."""
    rows = Webhook.objects.filter(pk=webhook.pk, test_requested_at=webhook.test_requested_at)
    error = attempts[0].error
    rows.update(
        tested_at=timezone.now(),
        test_error=error,
        test_requested_at=None,
        due_at=webhook.due_at if error else None,
    )


def _record_again(webhook: Webhook, events: Sequence[Event], attempts: list[Attempt]) -> None:
    """Record what was sent again by hand. A failure is not repeated: the person sees it, and decides."""
    now = timezone.now()
    for event, attempt in zip(events, attempts, strict=False):
        rows = Delivery.objects.filter(webhook=webhook.pk, number=event.number or 0)
        rows.update(**_describe(attempt, now), status=_status_of(attempt, Delivery.Status.FAILED))


def _record(
    webhook: Webhook, window: Window | None, events: Sequence[Event], attempts: list[Attempt]
) -> None:
    """Record the attempts of events and the new position in one transaction, unless the position has changed meanwhile."""
    now = timezone.now()
    columns: dict[str, Any] = {}
    failed = attempts[-1] if attempts and attempts[-1].error else None
    delivered = len(attempts) - (failed is not None)
    position = webhook.position
    if window is not None and delivered == len(events):
        position = window.end
    elif delivered:
        position = events[delivered - 1].number or position
    if delivered:
        columns |= {
            "delivered_at": now,
            "failing_since": None,
            "last_error": "",
            "attempts": 0,
            "due_at": None,
        }
    given_up = False
    if failed is not None:
        failing_since = now if delivered else (webhook.failing_since or now)
        count = (0 if delivered else webhook.attempts) + 1
        if events:
            given_up = _find_beginning(webhook, events[delivered], now) < now - GIVE_UP_AFTER
        if given_up:
            # The next event is tried at once: perhaps the receiver refuses this one only.
            position, count = events[delivered].number or position, 0
        columns |= {
            "failing_since": failing_since,
            "last_error": failed.error,
            "attempts": count,
            "due_at": None if given_up else now + timedelta(seconds=BACK_OFF[min(count, len(BACK_OFF)) - 1]),
        }
        if failed.is_gone or failing_since < now - SWITCH_OFF_AFTER:
            columns |= {"active": False, "switched_off_at": now}
    with transaction.atomic():
        rows = Webhook.objects.filter(pk=webhook.pk, position=webhook.position, active=webhook.active)
        if not rows.update(position=position, **columns):
            return
        _write_deliveries(webhook, events, attempts, now, given_up=given_up)
        if "switched_off_at" in columns and failed is not None:
            record_switching_off(webhook, failed.error)


def _find_beginning(webhook: Webhook, event: Event, now: datetime) -> datetime:
    """Return when the delivery of an event was attempted first."""
    first = Delivery.objects.filter(webhook=webhook.pk, number=event.number or 0).values_list(
        "began_at", flat=True
    )
    return first.first() or now


def _write_deliveries(
    webhook: Webhook, events: Sequence[Event], attempts: list[Attempt], now: datetime, *, given_up: bool
) -> None:
    """Write one row an event; a row of an earlier attempt keeps when that was."""
    rows = []
    for event, attempt in zip(events, attempts, strict=False):
        failure = Delivery.Status.FAILED if given_up else Delivery.Status.RETRYING
        row = Delivery(webhook_id=webhook.pk, number=event.number or 0, code=event.code, began_at=now)
        for name, value in _describe(attempt, now).items():
            setattr(row, name, value)
        row.status = _status_of(attempt, failure)
        row.attempts = webhook.attempts + 1 if event is events[0] else 1
        rows.append(row)
    Delivery.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["webhook", "number"],
        update_fields=["status", "attempts", "response_status", "error", "milliseconds", "attempted_at"],
    )


def _describe(attempt: Attempt, now: datetime) -> dict[str, Any]:
    return {
        "response_status": attempt.status,
        "error": attempt.error,
        "milliseconds": attempt.milliseconds,
        "attempted_at": now,
    }


def _status_of(attempt: Attempt, failure: Delivery.Status) -> Delivery.Status:
    return failure if attempt.error else Delivery.Status.DELIVERED
