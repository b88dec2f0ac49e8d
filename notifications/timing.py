"""When a subscriber may be sent a message: at once, every hour or once a day, and not in the quiet hours."""

from __future__ import annotations

from datetime import datetime, time, timedelta, tzinfo

from .models import Subscription

# Daily messages are sent at this time of the subscriber's day.
DAILY_AT = time(8)


def find_send_time(subscription: Subscription, now: datetime, zone: tzinfo) -> datetime:
    """Return the first time from now on at which a message may be sent; `now` itself when it may be sent now.

    A digest waits from the first event that it has. `due_at` of the subscription holds that time while it waits, so once it
    is reached the digest is sent.
    """
    send_at = now
    if subscription.due_at is None and subscription.timing != Subscription.Timing.AT_ONCE:
        send_at = _find_digest_time(subscription.timing, now, zone)
    return _skip_quiet_hours(subscription, send_at, zone)


def _find_digest_time(timing: str, now: datetime, zone: tzinfo) -> datetime:
    if timing == Subscription.Timing.HOURLY:
        return now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    local = now.astimezone(zone)
    day = local.date() if local.time() < DAILY_AT else local.date() + timedelta(days=1)
    return datetime.combine(day, DAILY_AT, zone)


def _skip_quiet_hours(subscription: Subscription, at: datetime, zone: tzinfo) -> datetime:
    """Return the end of the quiet hours that a time is in, else the time. Hours that end before they begin last over midnight."""
    begin, end = subscription.quiet_from, subscription.quiet_to
    if begin is None or end is None or begin == end:
        return at
    local = at.astimezone(zone)
    clock = local.time()
    is_quiet = begin <= clock < end if begin < end else clock >= begin or clock < end
    if not is_quiet:
        return at
    day = local.date() if clock < end else local.date() + timedelta(days=1)
    return datetime.combine(day, end, zone)
