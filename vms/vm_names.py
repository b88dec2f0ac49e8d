"""The names of several VMs that are created at once."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

# As the column of the VM's name.
MAX_NAME_LENGTH = 200
PLACEHOLDER = "{n}"


def choose_names(pattern: str, count: int, taken: QuerySet[Any]) -> list[str]:
    """Return `count` names with the lowest numbers that no row of `taken` has in its name: one query.

    `{n}` in the pattern is replaced by the number; without it, the number follows after a hyphen: "shop" is "shop-{n}". A single VM
    without `{n}` keeps its name.
    """
    if PLACEHOLDER not in pattern:
        if count == 1:
            return [pattern]
        pattern = f"{pattern}-{PLACEHOLDER}"
    before, after = pattern.split(PLACEHOLDER, 1)[0], pattern.rsplit(PLACEHOLDER, 1)[1]
    similar = taken.filter(name__startswith=before, name__endswith=after).order_by()
    names = set(similar.values_list("name", flat=True))
    chosen: list[str] = []
    number = 0
    while len(chosen) < count:
        number += 1
        name = pattern.replace(PLACEHOLDER, str(number))
        if name not in names:
            chosen.append(name)
    return chosen
