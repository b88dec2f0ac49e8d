"""How Tencent Cloud writes tags, times and ends of prepaid resources."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from ...registry import Link

# Times without a zone are those of Beijing, in all regions.
_BEIJING = timezone(timedelta(hours=8))
# What never ends is sometimes said to end in this year, or later.
_NEVER_YEAR = 2099


def read_tags(found: Mapping[str, Any], member: str) -> dict[str, str]:
    """Return the tags of an object, sorted by name; one half of the services calls their parts Key and Value."""
    tags = {}
    for tag in found.get(member) or ():
        name = tag.get("Key", tag.get("TagKey"))
        value = tag.get("Value", tag.get("TagValue"))
        if name is not None:
            tags[str(name)] = "" if value is None else str(value)
    return dict(sorted(tags.items()))


def read_time(text: Any) -> str:
    """Return a time as ISO text with its zone; "" for none, and for one of zeros, which stands for none."""
    moment = _parse_time(text)
    return moment.isoformat() if moment else ""


def read_paid_until(text: Any, *, is_prepaid: bool) -> str:
    """Return when a prepaid resource ends; "" for one that is paid as it is used, or never ends."""
    moment = _parse_time(text) if is_prepaid else None
    return moment.isoformat() if moment and moment.year < _NEVER_YEAR else ""


def make_links(type_code: str, ids: Any) -> list[Link]:
    """Return links to the objects of one type, sorted; empty ids are left out."""
    known = {cloud_id for cloud_id in ids or () if isinstance(cloud_id, str) and cloud_id}
    return [Link(type_code, cloud_id) for cloud_id in sorted(known)]


def read_word(words: Mapping[int, str], number: Any) -> str:
    """Return the documented word for a number of a status; the number itself for one that is not documented."""
    if number is None:
        return ""
    known = words.get(number) if isinstance(number, int) else None
    return known or str(number)


def _parse_time(text: Any) -> datetime | None:
    if not isinstance(text, str) or not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=_BEIJING)
