"""Warnings about clouds whose clock differs from the portal's."""

from __future__ import annotations

from django.conf import settings

from api.messages import message as _

from .models import CloudAccount


def find_worst_clock_offset(account: CloudAccount) -> float | None:
    """Return how many seconds the clock of the account's worst region is ahead, or None when no sync has read one."""
    known = [offset for offset in account.clock_offsets.values() if isinstance(offset, int | float)]
    return max(known, key=abs, default=None)


def build_account_clock_warning(account: CloudAccount) -> str:
    """Return the warning about the clocks of an account, or "" when they agree with the portal's."""
    return build_clock_warning(find_worst_clock_offset(account))


def build_clock_warning(offset: float | None) -> str:
    """Return the warning about a clock that is `offset` seconds ahead, or "" below `CLOUD_CLOCK_WARN_SECONDS`."""
    if offset is None or abs(offset) < settings.CLOUD_CLOCK_WARN_SECONDS:
        return ""
    minutes, seconds = divmod(round(abs(offset)), 60)
    figures = {"minutes": minutes, "seconds": seconds}
    if offset < 0:
        message = _(
            "The cloud's clock is %(minutes)s min %(seconds)s s behind the portal's. Correct one of them."
        )
    else:
        message = _(
            "The cloud's clock is %(minutes)s min %(seconds)s s ahead of the portal's. Correct one of them."
        )
    return message % figures
