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
from django.db import connection, transaction
from django.db.models.functions import Now
from django.utils.crypto import salted_hmac

from .models import LoginCount
from .throttling import parse_rate

# One statement, so that a crowd that comes at once is counted one by one: the row is locked by its own update.
CHARGE = """
INSERT INTO portal_api_logincount AS counted (key, empty_at)
VALUES (%(key)s, clock_timestamp() + %(one)s * interval '1 second')
ON CONFLICT (key) DO UPDATE
SET empty_at = greatest(counted.empty_at, clock_timestamp()) + %(one)s * interval '1 second'
WHERE counted.empty_at <= clock_timestamp() + %(others)s * interval '1 second'
RETURNING 1
"""
WAIT = """
SELECT extract(epoch FROM empty_at - clock_timestamp()) - %(others)s FROM portal_api_logincount WHERE key = %(key)s
"""
REFUND = """
UPDATE portal_api_logincount SET empty_at = empty_at - %(one)s * interval '1 second' WHERE key = %(key)s
"""


@dataclass(frozen=True, slots=True)
class Count:
    """What is counted under one key: `most` wrong passwords, forgotten evenly within `seconds`."""

    key: str
    most: int
    seconds: float
    # Whether the right password clears it.
    cleared_by_success: bool = False

    @property
    def parameters(self) -> dict[str, str | float]:
        """Return the statements' parameters: the seconds of one try, and of all others that the limit allows."""
        one = self.seconds / self.most
        return {"key": self.key, "one": one, "others": self.seconds - one}


def counts_for(network: str, username: str) -> list[Count]:
    """Return the counts that a try belongs to, the narrowest first: a try that it refuses does not count in the wider ones."""
    name = normalize_name(username)
    most, seconds = parse_rate(settings.LOGIN_NETWORK_RATE)
    cool_off = settings.LOGIN_COOLOFF_HOURS * 3600
    return [
        Count(
            _key("name and network", f"{network} {name}"),
            settings.LOGIN_FAILURE_LIMIT,
            cool_off,
            cleared_by_success=True,
        ),
        Count(_key("network", network), most, seconds),
        Count(_key("name", name), settings.LOGIN_NAME_LIMIT, cool_off),
    ]


def normalize_name(username: str) -> str:
    """Return one spelling of a name for counting: width, case and surrounding space do not make another name."""
    return unicodedata.normalize("NFKC", username).strip().casefold()


def charge(counts: list[Count]) -> int | None:
    """Count a try; when a limit is reached count nothing, and return the seconds after which it may be repeated.

    Every request locks its rows in the same order of kinds, and commits before anything is hashed.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        for count in counts:
            cursor.execute(CHARGE, count.parameters)
            if cursor.fetchone() is None:
                cursor.execute(WAIT, count.parameters)
                row = cursor.fetchone()
                transaction.set_rollback(True)
                return max(1, math.ceil(row[0])) if row else 1
    return None


def refund(counts: list[Count]) -> None:
    """Take a try back that was no wrong password."""
    with transaction.atomic(), connection.cursor() as cursor:
        for count in counts:
            cursor.execute(REFUND, count.parameters)


def forgive(counts: list[Count]) -> None:
    """Take a try back that was the right password, and with it the user's own mistakes from this network."""
    with transaction.atomic():
        cleared = [count.key for count in counts if count.cleared_by_success]
        LoginCount.objects.filter(key__in=cleared).delete()
        refund([count for count in counts if not count.cleared_by_success])


def delete_empty_counts() -> int:
    """Delete the counts that are empty, and return how many. To be called now and then by a schedule."""
    deleted, _by_model = LoginCount.objects.filter(empty_at__lt=Now() - timedelta(minutes=1)).delete()
    return deleted


def _key(kind: str, text: str) -> str:
    return salted_hmac(f"portal.api.login_throttle.{kind}", text, algorithm="sha256").hexdigest()
