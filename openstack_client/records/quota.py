"""A project's limits and usage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..translation import malformed_answer
from .json_values import MAX_MEMBERS, MAX_TEXT, integer


@dataclass(frozen=True, slots=True)
class Quota:
    """One limit of a project. `service` is OpenStack's type ("compute"), `name` the service's own word ("cores").

    A `limit` of -1 is none. `reserved` is promised to requests under way. Where the service does not say what is in use,
    `in_use` and `reserved` are None.
    """

    service: str
    name: str
    limit: int
    in_use: int | None = None
    reserved: int | None = None


def quotas_from_json(service: str, raw: Any) -> list[Quota]:
    """Return the quotas in a service's object of limits by name, with usage or without. Sorted by name.

    What is no limit, such as the project's id among them, is left out. Raises `CloudUnavailableError` for what is no object.
    """
    if not isinstance(raw, dict):
        raise malformed_answer("it holds no quota")
    found = []
    for name, said in sorted(raw.items())[:MAX_MEMBERS]:
        figures = said if isinstance(said, dict) else {"limit": said}
        limit = integer(figures.get("limit"))
        if limit is None or len(name) > MAX_TEXT:
            continue
        # Neutron says `used`, Nova and Cinder `in_use`.
        used = figures.get("used") if "used" in figures else figures.get("in_use")
        found.append(Quota(service, name, limit, integer(used), integer(figures.get("reserved"))))
    return found
