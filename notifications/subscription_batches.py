"""What is sent to a subscriber, and what becomes of the position afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta, tzinfo
from functools import partial
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from api.time_zones import find_time_zone
from events.access import may_read_events
from events.models import Event
from security.encryption import UnreadableSecretError, decrypt
from tenants.models import Membership
from tenants.scoping import Role, Scope

from .chat_robots import Robot
from .feed_positions import Prepared, Window, find_last_number, read_window
from .message_channels import Place, UndeliverableError
from .message_texts import LISTED_EVENTS, MessageText, write_message, write_test
from .models import Subscription, match_codes
from .single_lines import to_line
from .switching_off import SWITCH_OFF_AFTER, record_switching_off
from .timing import find_send_time

# A message is about at most so many events; the rest comes with the next one.
EVENTS_PER_MESSAGE = 500
# The pauses after failures, in seconds; the last one is repeated until the subscription is switched off.
BACK_OFF = (60, 300, 900, 3600)
# Events that every member may be told, whoever has caused them.
OPEN_CODES = ["quota.nearly_used", "vm.ends_soon", "cloud_resource.*"]


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a message. `error` is for all recipients; `remark` tells who of several did not get it."""

    error: str = ""
    remark: str = ""


def prepare(subscription: Subscription) -> Prepared | None:
    """Return what is to be sent to a subscriber, and how its result is recorded; None if there is nothing to send now.

    The subscription of a user who is not a member any more is deleted. A person without an address of mail is told nothing.
    """
    wanted = list_readable_events(subscription)
    if wanted is None:
        subscription.delete()
        return None
    try:
        place = find_place(subscription)
    except UnreadableSecretError as error:
        _record(subscription, None, Result(to_line(str(error))))
        return None
    if subscription.test_requested_at is not None:
        message = write_test(subscription.tenant, language=find_language(subscription))
        return partial(_send, place, message), partial(_record_test, subscription)
    if not place.mail and place.robot is None:
        last = find_last_number(subscription)
        Subscription.objects.filter(pk=subscription.pk, position=subscription.position).update(position=last)
        return None
    window = read_window(subscription, wanted, EVENTS_PER_MESSAGE)
    if not window.events:
        return None
    now, zone = timezone.now(), find_zone(subscription)
    send_at = now if subscription.failing_since else find_send_time(subscription, now, zone)
    if send_at > now:
        Subscription.objects.filter(pk=subscription.pk).update(due_at=send_at)
        return None
    message = write_message(
        subscription.tenant,
        window.events[:LISTED_EVENTS],
        len(window.events),
        language=find_language(subscription),
        zone=zone,
    )
    return partial(_send, place, message), partial(_record, subscription, window)


def list_readable_events(subscription: Subscription) -> Any:
    """Return the events that may be told to a subscriber, before the patterns; None if it may be told nothing any more.

    Administrators may be told all of their tenant; other members what they have done themselves, what became of their requests,
    requests that wait for their approval, and what is open to all.
    """
    events = Event.objects.all()
    user = subscription.user
    if user is None:
        return events
    if not user.is_active:
        return None
    member = Membership.objects.filter(user=user, tenant=subscription.tenant).first()
    if member is None and not user.is_staff:
        return None
    granted = Role(member.role) if member else None
    scope = Scope(user, subscription.tenant, Role.ADMIN if user.is_staff else granted or Role.VIEWER, granted)
    if may_read_events(scope) and not subscription.only_own:
        return events
    own = Q(actor_id=user.pk) | match_codes(OPEN_CODES)
    requested = Q(parameters__requested_by=str(user.pk))
    own |= Q(code__startswith="approval.") & ~Q(code="approval.waiting") & requested
    waits = Q(parameters__waits_for_users__contains=[str(user.pk)])
    if granted is not None:
        waits |= Q(parameters__waits_for_role__in=[role for role in Role if granted.covers(role)])
    own |= Q(code="approval.waiting") & waits & ~requested
    return events.filter(own)


def find_place(subscription: Subscription) -> Place:
    """Return where the messages of a subscription go. Raises `UnreadableSecretError`."""
    if subscription.channel == Subscription.Channel.CHAT:
        return Place(robot=Robot(subscription.decrypt_address(), decrypt(subscription.encrypted_secret)))
    if subscription.user is not None:
        return Place(mail=(subscription.user.email,) if subscription.user.email else ())
    addresses = (address.strip() for address in subscription.decrypt_address().split(","))
    return Place(mail=tuple(address for address in addresses if address))


def find_zone(subscription: Subscription) -> tzinfo:
    """Return the time zone of a subscriber."""
    own = subscription.user.time_zone if subscription.user else ""
    return find_time_zone(own, subscription.tenant.time_zone)


def find_language(subscription: Subscription) -> str:
    """Return the language of a subscriber; "" for the default one."""
    return subscription.user.language if subscription.user else subscription.language


def _send(place: Place, message: MessageText) -> Result:
    try:
        return Result(remark=place.send(message))
    except UndeliverableError as error:
        return Result(error=str(error))


def _record_test(subscription: Subscription, result: Result) -> None:
    rows = Subscription.objects.filter(pk=subscription.pk, test_requested_at=subscription.test_requested_at)
    rows.update(tested_at=timezone.now(), test_error=result.error or result.remark, test_requested_at=None)


def _record(subscription: Subscription, window: Window | None, result: Result) -> None:
    """Record the result of a message, unless the position has changed meanwhile."""
    now = timezone.now()
    columns: dict[str, Any]
    if not result.error and window is not None:
        columns = {
            "position": window.end,
            "delivered_at": now,
            "due_at": None,
            "attempts": 0,
            "failing_since": None,
            "last_error": result.remark,
        }
    else:
        failing_since = subscription.failing_since or now
        pause = BACK_OFF[min(subscription.attempts, len(BACK_OFF) - 1)]
        columns = {
            "attempts": subscription.attempts + 1,
            "due_at": now + timedelta(seconds=pause),
            "failing_since": failing_since,
            "last_error": result.error,
        }
        if failing_since < now - SWITCH_OFF_AFTER:
            columns |= {"active": False, "switched_off_at": now}
    with transaction.atomic():
        rows = Subscription.objects.filter(
            pk=subscription.pk, position=subscription.position, active=subscription.active
        )
        if rows.update(**columns) and "switched_off_at" in columns:
            record_switching_off(subscription, result.error)
