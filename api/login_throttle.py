"""Limit wrong passwords: from a network, for a username, and for a username from one network.

They are counted in PostgreSQL, without which nobody can sign in anyway: a second store could fail alone, and leave the limits
open or every login closed. Each count is a row with one time, `empty_at` (a leaky bucket). An attempt moves it by the time
after which one attempt is forgotten, and is refused when that exceeds the limit. So a limit of 10 in 15 minutes allows ten
attempts at once, and then one every 90 seconds.

In the end only wrong passwords count: a company behind one address can sign in as often as it likes, and shares the limit of
wrong passwords from a network. A username is refused from everywhere only after more wrong passwords than one network can
send, so no single attacker can lock a colleague out.
"""

from __future__ import annotations

import math
import unicodedata
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils.crypto import salted_hmac

from . import queries
from .models import LoginCount
from .throttling import parse_rate


@dataclass(frozen=True, slots=True)
class FailureLimit:
    """A limit under one key: `max_failures` wrong passwords, which are forgotten evenly within `seconds`."""

    key: str
    max_failures: int
    seconds: float
    # True when a correct password resets the count.
    cleared_by_success: bool = False

    @property
    def seconds_per_attempt(self) -> float:
        """Return the seconds after which one attempt is forgotten."""
        return self.seconds / self.max_failures

    @property
    def seconds_of_others(self) -> float:
        """Return the seconds of all other attempts that the limit allows."""
        return self.seconds - self.seconds_per_attempt


def build_limits(network: str, username: str) -> list[FailureLimit]:
    """Return the limits of an attempt, the narrowest first: an attempt that it refuses does not count in the wider ones."""
    name = normalize_username(username)
    cool_off = settings.LOGIN_COOLOFF_HOURS * 3600
    return [
        FailureLimit(
            _key("name and network", f"{network} {name}"),
            settings.LOGIN_FAILURE_LIMIT,
            cool_off,
            cleared_by_success=True,
        ),
        build_network_limit(network),
        FailureLimit(_key("name", name), settings.LOGIN_NAME_LIMIT, cool_off),
    ]


def build_network_limit(network: str) -> FailureLimit:
    """Return the limit of all attempts from a network, whatever name they are for."""
    most, seconds = parse_rate(settings.LOGIN_NETWORK_RATE)
    return FailureLimit(_key("network", network), most, seconds)


def normalize_username(username: str) -> str:
    """Return the spelling of a username for counting, without differences of width, case and surrounding space."""
    return unicodedata.normalize("NFKC", username).strip().casefold()


def charge_attempt(limits: list[FailureLimit]) -> int | None:
    """Count an attempt; when a limit is reached, count nothing and return the seconds until the next attempt is allowed.

    Every request locks its rows in the same order, and commits before a password is hashed.
    """
    with transaction.atomic():
        for limit in limits:
            if not queries.charge_login(
                limit.key, seconds=limit.seconds_per_attempt, max_seconds=limit.seconds_of_others
            ):
                wait = queries.fetch_login_wait(limit.key, max_seconds=limit.seconds_of_others)
                transaction.set_rollback(True)
                return max(1, math.ceil(wait or 0))
    return None


def refund_attempt(limits: list[FailureLimit]) -> None:
    """Uncount an attempt that did not end in a wrong password."""
    with transaction.atomic():
        for limit in limits:
            LoginCount.objects.filter(key=limit.key).update(
                empty_at=F("empty_at") - timedelta(seconds=limit.seconds_per_attempt)
            )


def clear_failures(limits: list[FailureLimit]) -> None:
    """Uncount an attempt with the correct password, and reset the count of the username from this network."""
    with transaction.atomic():
        cleared = [limit.key for limit in limits if limit.cleared_by_success]
        LoginCount.objects.filter(key__in=cleared).delete()
        refund_attempt([limit for limit in limits if not limit.cleared_by_success])


def delete_empty_counts() -> int:
    """Delete empty counts; return their number. A schedule calls it."""
    deleted, _by_model = LoginCount.objects.filter(empty_at__lt=Now() - timedelta(minutes=1)).delete()
    return deleted


def _key(kind: str, text: str) -> str:
    return salted_hmac(f"portal.api.login_throttle.{kind}", text, algorithm="sha256").hexdigest()
