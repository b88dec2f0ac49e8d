"""How a resource hangs together with others: its neighbourhood, as nodes and edges."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.db import connection

from tenants.scoping import Scope

from ..models import CloudResource
from ..queries import SELECT_EDGES, SELECT_NEIGHBORS

DEEPEST = 4
# A network has thousands of ports. A picture of more than this tells nobody anything.
MOST_NODES = 300
Edge = tuple[UUID, UUID, str]


@dataclass(frozen=True, slots=True)
class Topology:
    """Resources, the nearest first, and the links between them. `truncated` when there are more than are shown."""

    nodes: list[CloudResource]
    edges: list[Edge]
    truncated: bool


def build_topology(*, scope: Scope, root: CloudResource, depth: int) -> Topology:
    """The neighbourhood of a resource, links followed both ways: one query a level, and two for all.

    What the scope does not show is no part of it, nor is what has expired; nothing behind such is reached through it.
    """
    reached: dict[UUID, None] = {root.pk: None}
    frontier = [root.pk]
    visible = CloudResource.objects.within(scope).present().filter(account=root.account_id)
    truncated = False
    for _level in range(depth):
        near = [found for found in _neighbours(frontier) if found not in reached]
        frontier = list(
            visible.filter(pk__in=near).order_by("type", "name", "pk").values_list("pk", flat=True)
        )
        if len(reached) + len(frontier) > MOST_NODES:
            frontier, truncated = frontier[: MOST_NODES - len(reached)], True
        reached.update(dict.fromkeys(frontier))
        if not frontier or truncated:
            break
    found = CloudResource.objects.select_related("account").in_bulk(list(reached))
    return Topology([found[pk] for pk in reached if pk in found], _edges(list(reached)), truncated)


def _neighbours(frontier: list[UUID]) -> list[UUID]:
    with connection.cursor() as cursor:
        cursor.execute(
            SELECT_NEIGHBORS,
            # Some of them may not be visible, or have been reached already; more than this is cut anyway.
            {"ids": frontier, "most": 4 * MOST_NODES},
        )
        return [found for (found,) in cursor.fetchall()]


def _edges(nodes: list[UUID]) -> list[Edge]:
    with connection.cursor() as cursor:
        cursor.execute(
            SELECT_EDGES,
            {"ids": nodes},
        )
        return [(source, target, kind) for source, target, kind in cursor.fetchall()]
