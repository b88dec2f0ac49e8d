"""Limits of wrong passwords: from a network, for a name, and for a name from one network.

Counted in PostgreSQL: without it nobody can sign in anyway, so there is no second place whose absence would leave the
door open or shut. Each count is one row with one time, `empty_at`: a try moves it on by the time that one try takes to
be forgotten, and is refused when that would lead further ahead than the limit allows. So a limit of 10 in 15 minutes
lets ten tries through at once, and afterwards one every 90 seconds.

Only wrong passwords count in the end. A company behind one address can sign in as often as it likes; thirty mistakes
within a minute are what it has in common. A name is refused from everywhere only after more mistakes than one network
can make, so one neighbour cannot lock a colleague out.
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
    """A limit under one key: `most` wrong passwords, forgotten evenly within `seconds`."""

    key: str
    most: int
    seconds: float
    # Whether the right password resets it.
    cleared_by_success: bool = False

    @property
    def one(self) -> float:
        """Return the seconds in which one try is forgotten."""
        return self.seconds / self.most

    @property
    def others(self) -> float:
        """Return the seconds of all other tries that the limit allows."""
        return self.seconds - self.one


def limits_for(network: str, username: str) -> list[FailureLimit]:
    """Return the limits of a try, the narrowest first: a try that it refuses does not count in the wider ones."""
    name = normalize_name(username)
    most, seconds = parse_rate(settings.LOGIN_NETWORK_RATE)
    cool_off = settings.LOGIN_COOLOFF_HOURS * 3600
    return [
        FailureLimit(
            _key("name and network", f"{network} {name}"),
            settings.LOGIN_FAILURE_LIMIT,
            cool_off,
            cleared_by_success=True,
        ),
        FailureLimit(_key("network", network), most, seconds),
        FailureLimit(_key("name", name), settings.LOGIN_NAME_LIMIT, cool_off),
    ]


def normalize_name(username: str) -> str:
    """Return one spelling of a name for counting: width, case and surrounding space do not make another name."""
    return unicodedata.normalize("NFKC", username).strip().casefold()


def charge(limits: list[FailureLimit]) -> int | None:
    """Count a try; when a limit is reached count nothing, and return the seconds after which it may be repeated.

    Every request locks its rows in the same order of kinds, and commits before anything is hashed.
    """
    with transaction.atomic():
        for limit in limits:
            if not queries.charge_login(limit.key, one=limit.one, others=limit.others):
                wait = queries.fetch_login_wait(limit.key, others=limit.others)
                transaction.set_rollback(True)
                return max(1, math.ceil(wait or 0))
    return None


def refund(limits: list[FailureLimit]) -> None:
    """Uncount a try that was not a wrong password."""
    with transaction.atomic():
        for limit in limits:
            LoginCount.objects.filter(key=limit.key).update(
                empty_at=F("empty_at") - timedelta(seconds=limit.one)
            )


def forgive(limits: list[FailureLimit]) -> None:
    """Uncount a try that was the right password, and with it the user's own mistakes from this network."""
    with transaction.atomic():
        cleared = [limit.key for limit in limits if limit.cleared_by_success]
        LoginCount.objects.filter(key__in=cleared).delete()
        refund([limit for limit in limits if not limit.cleared_by_success])


def delete_empty_counts() -> int:
    """Delete the counts that are empty, and return how many. To be called now and then by a schedule."""
    deleted, _by_model = LoginCount.objects.filter(empty_at__lt=Now() - timedelta(minutes=1)).delete()
    return deleted


def _key(kind: str, text: str) -> str:
    return salted_hmac(f"portal.api.login_throttle.{kind}", text, algorithm="sha256").hexdigest()
