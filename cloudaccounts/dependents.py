"""What of the rooms above depends on servers: the VMs that they are, and the services that run on those.

A room above registers a finder (`apps.py`), so that the inventory can tell what a network, a disk or a zone carries.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tenants.scoping import Scope

from .models import CloudAccount

# Of each kind, this many are named; all of them are counted.
MAX_NAMED = 100


@dataclass(frozen=True, slots=True)
class Dependent:
    """An object of a room above: its id, name and page, and the information system and tenant that it belongs to."""

    id: str
    name: str
    url: str
    status: str = ""
    information_system: str = ""
    tenant: str = ""


@dataclass(frozen=True, slots=True)
class DependentGroup:
    """The objects of one kind that depend on something: how many there are, and the first of them by name."""

    kind: str
    label: str
    total: int
    named: list[Dependent] = field(default_factory=list)


# Gets the ids of servers in the cloud, all of one account and region, and returns what of them the scope may see.
DependentFinder = Callable[[Scope, CloudAccount, str, Sequence[str]], list[DependentGroup]]
_finders: list[DependentFinder] = []


def register_dependent_finder(finder: DependentFinder) -> None:
    """Register a finder of a room above. They are asked in the order in which they were registered."""
    if finder not in _finders:
        _finders.append(finder)


def find_dependents(
    scope: Scope, account: CloudAccount, region: str, server_ids: Sequence[str]
) -> list[DependentGroup]:
    """Return what of the rooms above depends on servers, as far as the scope may see it."""
    if not server_ids:
        return []
    return [group for finder in _finders for group in finder(scope, account, region, server_ids)]
