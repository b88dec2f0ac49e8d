"""Convert values of a service's raw JSON, with checks of their types and bounds.

A value of another type counts as missing. Only an object without a valid id raises: `UnreadableRecordError`, which a
listing reports while it reads the others.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from ipaddress import ip_address, ip_network
from socket import AF_INET, AF_INET6, inet_pton
from typing import Any

from ..errors import UnreadableRecordError

# The length of texts with a column of their own; longer ones are cut.
MAX_TEXT = 255
# The length of reasons, descriptions and properties.
MAX_LONG_TEXT = 10_000
# The number of members of a list or an object: tags, metadata, addresses, rules.
MAX_MEMBERS = 1000
# PostgreSQL's integer, for counts and sizes in MB or GB; its bigint, for bytes.
MAX_COUNT = 2**31 - 1
MAX_BYTES = 2**63 - 1
# Ids of OpenStack are UUIDs or hex; those of flavors may be any of these.
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\- ]{0,254}")
_MAC = re.compile(r"(?:[0-9A-Fa-f]{2}[:\-]){5}[0-9A-Fa-f]{2}")
# Years outside these are invalid, and those at the ends of the calendar overflow when a time zone is converted.
_FIRST_YEAR, _LAST_YEAR = 1970, 2200

_fromisoformat = datetime.fromisoformat


def require_id(raw: Any, what: str) -> str:
    """Return the object's id. Raises `UnreadableRecordError` when it has none, or an invalid one."""
    if not isinstance(raw, dict):
        raise UnreadableRecordError(f"{what} that is not a JSON object")
    found = raw.get("id")
    if not isinstance(found, str) or not found:
        raise UnreadableRecordError(f"{what} without an id", name=text(raw.get("name")))
    if not is_id(found):
        raise UnreadableRecordError(f"{what} with an invalid id: {found[:40]!r}", name=text(raw.get("name")))
    return found


def is_id(found: Any) -> bool:
    """Return whether a value is a valid id, which becomes part of paths and queries."""
    return isinstance(found, str) and _ID.fullmatch(found) is not None and ".." not in found


def text(value: Any, max_length: int = MAX_TEXT) -> str | None:
    """Return a text that is not empty, cut to `max_length` characters, or None."""
    if not isinstance(value, str) or not value:
        return None
    return value if len(value) <= max_length else value[:max_length]


def long_text(value: Any) -> str | None:
    """Return a text of several sentences, or None."""
    return text(value, MAX_LONG_TEXT)


def reference(value: Any) -> str | None:
    """Return another object's id, or None for an invalid one."""
    return value if value and is_id(value) else None


def references(value: Any) -> tuple[str, ...]:
    """Return the ids in a list."""
    if not isinstance(value, list):
        return ()
    return tuple([member for member in value[:MAX_MEMBERS] if is_id(member)])


def integer(value: Any) -> int | None:
    """Return a whole number that fits 64 bits, or None."""
    if isinstance(value, int) and not isinstance(value, bool) and -MAX_BYTES <= value <= MAX_BYTES:
        return value
    return None


def count(value: Any, maximum: int = MAX_COUNT) -> int | None:
    """Return a whole number that is not negative and not more than `maximum`, or None."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= maximum else None


def texts(value: Any) -> tuple[str, ...]:
    """Return the texts of a list; () for any other value."""
    if not isinstance(value, list):
        return ()
    return tuple([member[:MAX_TEXT] for member in value[:MAX_MEMBERS] if isinstance(member, str)])


def mapping(value: Any) -> Mapping[str, str]:
    """Return an object of texts, or an empty one. Values of other types are left out."""
    if not isinstance(value, dict):
        return {}
    if len(value) <= MAX_MEMBERS:
        for key, member in value.items():
            if not isinstance(member, str) or len(member) > MAX_LONG_TEXT or len(key) > MAX_TEXT:
                break
        else:
            return value
    kept = [
        (key, member) for key, member in value.items() if isinstance(member, str) and len(key) <= MAX_TEXT
    ]
    return {key: member[:MAX_LONG_TEXT] for key, member in kept[:MAX_MEMBERS]}


def get_project_id(raw: Mapping[str, Any]) -> str | None:
    """Return the id of an object's project, which older services call a tenant."""
    return reference(raw.get("project_id")) or reference(raw.get("tenant_id"))


def timestamp(value: Any) -> datetime | None:
    """Return a time, aware, or None. OpenStack writes UTC, sometimes without an offset."""
    if not isinstance(value, str) or len(value) > 64:
        return None
    try:
        found = _fromisoformat(value)
    except ValueError:
        return None
    if not _FIRST_YEAR <= found.year <= _LAST_YEAR:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def address(value: Any) -> str | None:
    """Return an IPv4 or IPv6 address, or None. The zone of a scoped one (`fe80::1%eth0`) is dropped, because it has no meaning here."""
    if not isinstance(value, str) or len(value) > 100:
        return None
    try:
        # Ten times as fast as `ipaddress`, which then parses the unusual forms.
        inet_pton(AF_INET6 if ":" in value else AF_INET, value)
    except (OSError, ValueError):
        return _parse_unusual_address(value)
    return value


@lru_cache(maxsize=1024)
def _parse_unusual_address(value: str) -> str | None:
    try:
        return str(ip_address(value.strip().partition("%")[0]))
    except ValueError:
        return None


@lru_cache(maxsize=4096)
def _address_range(value: str) -> str | None:
    try:
        ip_network(value, strict=False)
    except ValueError:
        return None
    return value


def address_range(value: Any) -> str | None:
    """Return a range of addresses as the cloud writes it (`10.0.0.0/24`), or None for an invalid one."""
    return _address_range(value) if isinstance(value, str) and len(value) <= 100 else None


def mac_address(value: Any) -> str | None:
    """Return a MAC address, or None."""
    return value if isinstance(value, str) and _MAC.fullmatch(value) else None
