"""Values of resources as text: attributes, and what changed about them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _

from .resource_labels import add_unit, label_attribute, label_field, label_status

# Attributes nested deeper than this are cut.
MAX_NESTING = 12


def describe_attributes(attributes: dict[str, Any]) -> list[dict[str, Any]]:
    """Describe attributes for people, by label; `name` is that of the API, and `at` is set for times."""
    described = [
        {
            "name": name,
            "label": label_attribute(name),
            "value": _format_attribute(name, value),
            "at": _parse_time(name, value),
        }
        for name, value in attributes.items()
    ]
    return sorted(described, key=lambda one: (one["label"].lower(), one["name"]))


def describe_changed_fields(fields: dict[str, Any], type_code: str) -> list[dict[str, str]]:
    """Describe the changed fields for people: `event` when the resource was deleted or came back, then field, before and after."""
    descriptions: list[dict[str, str]] = []
    for name, (was, is_now) in sorted(fields.items()):
        if name == "expired":
            descriptions.insert(0, {"event": _("Deleted in cloud") if is_now else _("Came back")})
        else:
            before, after = _leave_out_equal(name, was, is_now)
            descriptions.append(
                {
                    "field": label_field(name),
                    "was": _format_field(name, before, type_code),
                    "is_now": _format_field(name, after, type_code),
                }
            )
    return descriptions


def _leave_out_equal(name: str, was: Any, is_now: Any) -> tuple[Any, Any]:
    """Leave out what is the same before and after in links, in two objects, or in two lists of objects, as rules are."""
    if isinstance(was, dict) and isinstance(is_now, dict):
        return (
            {key: value for key, value in was.items() if key not in is_now or is_now[key] != value},
            {key: value for key, value in is_now.items() if key not in was or was[key] != value},
        )
    if name == "links" and isinstance(was, list) and isinstance(is_now, list):
        return (
            [link for link in was if link not in is_now],
            [link for link in is_now if link not in was],
        )
    if not (isinstance(was, list) and isinstance(is_now, list)) or not all(
        isinstance(member, dict) for member in [*was, *is_now]
    ):
        return was, is_now
    return (
        "\n".join(_format_member(member) for member in was if member not in is_now),
        "\n".join(_format_member(member) for member in is_now if member not in was),
    )


def _format_member(member: dict[str, Any]) -> str:
    """Return an object as one line, without its id and without what it does not have."""
    named = {
        name: value for name, value in member.items() if name != "id" and value not in (None, "", [], {})
    }
    return ", ".join(f"{name}: {format_json_value(value)}" for name, value in sorted(named.items()))


def format_json_value(value: Any) -> str:
    """Format a JSON value as text; members of lists and objects stand on lines of their own, indented."""
    if _is_nested(value):
        return "\n".join(_format_nested(value, 0))
    return _format_scalar(value)


def _format_attribute(name: str, value: Any) -> str:
    """Format an attribute; the members of a list of plain values, as addresses and tags, need no dashes."""
    if isinstance(value, list) and not any(map(_is_nested, value)):
        return ", ".join(map(_format_scalar, value)) or "—"
    if isinstance(value, list) and all(
        isinstance(member, list) and not any(map(_is_nested, member)) for member in value
    ):
        return "\n".join(", ".join(map(_format_scalar, member)) for member in value)
    return add_unit(name, value) or ("—" if value in ("", None) else format_json_value(value))


def _parse_time(name: str, value: Any) -> datetime | None:
    """Return the time that an attribute holds, in the time zone of the portal if it names none."""
    if not name.endswith("_at") or not isinstance(value, str):
        return None
    try:
        at = parse_datetime(value)
    except ValueError:
        return None
    return timezone.make_aware(at, UTC) if at and timezone.is_naive(at) else at


def _format_field(name: str, value: Any, type_code: str) -> str:
    if name == "status" and isinstance(value, str) and value:
        return label_status(value, type_code)
    return add_unit(name, value) or format_json_value(value)


def _format_nested(value: dict[str, Any] | list[Any], level: int) -> Iterator[str]:
    margin = "  " * level
    if level > MAX_NESTING:
        yield f"{margin}…"
        return
    labelled = (
        [(f"{name}:", member) for name, member in sorted(value.items())] if isinstance(value, dict) else None
    )
    for label, member in labelled or [("-", member) for member in value]:
        if isinstance(value, list) and isinstance(member, list) and not any(map(_is_nested, member)):
            yield f"{margin}- {', '.join(map(_format_scalar, member))}"
        elif _is_nested(member):
            yield f"{margin}{label}"
            yield from _format_nested(member, level + 1)
        else:
            yield f"{margin}{label} {_format_scalar(member)}"


def _is_nested(value: Any) -> bool:
    return isinstance(value, dict | list) and bool(value)


def _format_scalar(value: Any) -> str:
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    return "-" if value is None or value in ("", [], {}) else str(value)
