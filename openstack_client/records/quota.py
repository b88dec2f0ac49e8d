"""A project's limits and usage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..translation import malformed_answer
from .json_values import MAX_MEMBERS, MAX_TEXT, integer


@dataclass(frozen=True, slots=True)
class Quota:
    """One limit of a project. `service` is OpenStack's type ("compute"), `name` the service's name of the limit ("cores").

    A `limit` of -1 is none. `reserved` belongs to requests in progress. `in_use` and `reserved` are None where the service
    does not report the usage.
    """

    service: str
    name: str
    limit: int
    in_use: int | None = None
    reserved: int | None = None


def quotas_from_json(service: str, raw: Any) -> list[Quota]:
    """Return the quotas of a service's object of limits by name, with or without usage. Sorted by name.

    Members that are no limits, such as the project's id, are left out. Raises `CloudUnavailableError` for any other value.
    """
    if not isinstance(raw, dict):
        raise malformed_answer("it holds no quota")
    found = []
    for name, value in sorted(raw.items())[:MAX_MEMBERS]:
        figures = value if isinstance(value, dict) else {"limit": value}
        limit = integer(figures.get("limit"))
        if limit is None or len(name) > MAX_TEXT:
            continue
        # Neutron has `used`, Nova and Cinder `in_use`.
        used = figures.get("used") if "used" in figures else figures.get("in_use")
        found.append(Quota(service, name, limit, integer(used), integer(figures.get("reserved"))))
    return found
