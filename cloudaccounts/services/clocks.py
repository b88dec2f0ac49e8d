"""Accounts whose clouds' clocks are far from the portal's."""

from __future__ import annotations

from ..clock_words import clock_warning
from ..models import CloudAccount


def worst_clock_offset(account: CloudAccount) -> float | None:
    """Return how many seconds the clock of the account's worst region is ahead, or None when nothing is known."""
    known = [offset for offset in account.clock_offsets.values() if isinstance(offset, int | float)]
    return max(known, key=abs, default=None)


def account_clock_warning(account: CloudAccount) -> str:
    """Return what to tell people of an account's clocks, or ""."""
    return clock_warning(worst_clock_offset(account))
