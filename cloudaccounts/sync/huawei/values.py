"""The values that services of Huawei Cloud write differently: tags, numbers, ends of paid times, references."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...registry import Link

# An end of a paid time in this year or later means that there is none.
_ENDLESS_YEAR = "2099"


def read_tags(tags: Any) -> dict[str, str]:
    """Return tags sorted by name. Services write them as an object, as pairs of key and value, or as texts `key=value`."""
    pairs: dict[str, str] = {}
    if isinstance(tags, Mapping):
        pairs = {str(name): str(value or "") for name, value in tags.items()}
    elif isinstance(tags, list):
        for tag in tags:
            if isinstance(tag, Mapping) and tag.get("key"):
                pairs[str(tag["key"])] = str(tag.get("value") or "")
            elif isinstance(tag, str) and not tag.startswith("__type_"):
                # Elastic IPs separate them by an asterisk, which no key may have.
                key, sign, value = tag.partition("=")
                if not sign:
                    key, _sign, value = tag.partition("*")
                pairs[key] = value
    return dict(sorted(pairs.items()))


def get_object(found: Mapping[str, Any], member: str) -> Mapping[str, Any]:
    """Return a member that is an object; {} for anything else."""
    value = found.get(member)
    return value if isinstance(value, Mapping) else {}


def read_number(value: Any) -> int | float | None:
    """Return a number, which some services write as a text; None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return value
    try:
        return float(value) if "." in value else int(value)
    except (TypeError, ValueError):
        return None


def read_paid_until(moment: Any) -> str:
    """Return the end of a paid time, in the vendor's own writing; "" without an end."""
    text = moment if isinstance(moment, str) else ""
    return text if text[:4] < _ENDLESS_YEAR else ""


def build_links(*targets: tuple[str, Any]) -> tuple[Link, ...]:
    """Return a link for each type and id, without those that an object lacks, and each once."""
    found = dict.fromkeys(
        (kind, cloud_id) for kind, cloud_id in targets if isinstance(cloud_id, str) and cloud_id
    )
    return tuple(Link(kind, cloud_id) for kind, cloud_id in found)
