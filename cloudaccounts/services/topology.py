"""The topology around a resource, as nodes and edges."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.db import connection

from tenants.scoping import Scope

from ..models import CloudResource
from ..queries import SELECT_EDGES, SELECT_NEIGHBORS

MAX_DEPTH = 4
# A network has thousands of ports. A diagram with more nodes than this is unreadable.
MAX_NODES = 300
Edge = tuple[UUID, UUID, str]


@dataclass(frozen=True, slots=True)
class Topology:
    """Resources, the nearest first, and the links between them. `truncated` when some are left out."""

    nodes: list[CloudResource]
    edges: list[Edge]
    truncated: bool


def build_topology(*, scope: Scope, root: CloudResource, depth: int) -> Topology:
    """Build the topology around a resource, following links both ways: two queries a level, and two more.

    Resources outside the scope and expired ones are left out, and nothing is reached through them.
    """
    reached: dict[UUID, None] = {root.pk: None}
    frontier = [root.pk]
    visible = CloudResource.objects.within(scope).present().filter(account=root.account_id)
    truncated = False
    for _level in range(depth):
        near = [found for found in _select_neighbors(frontier) if found not in reached]
        frontier = list(
            visible.filter(pk__in=near).order_by("type", "name", "pk").values_list("pk", flat=True)
        )
        if len(reached) + len(frontier) > MAX_NODES:
            frontier, truncated = frontier[: MAX_NODES - len(reached)], True
        reached.update(dict.fromkeys(frontier))
        if not frontier or truncated:
            break
    found = CloudResource.objects.select_related("account").in_bulk(list(reached))
    return Topology([found[pk] for pk in reached if pk in found], _select_edges(list(reached)), truncated)


def _select_neighbors(frontier: list[UUID]) -> list[UUID]:
    with connection.cursor() as cursor:
        cursor.execute(
            SELECT_NEIGHBORS,
            # More than MAX_NODES, because some may be invisible or reached already.
            {"ids": frontier, "most": 4 * MAX_NODES},
        )
        return [found for (found,) in cursor.fetchall()]


def _select_edges(nodes: list[UUID]) -> list[Edge]:
    with connection.cursor() as cursor:
        cursor.execute(
            SELECT_EDGES,
            {"ids": nodes},
        )
        return [(source, target, kind) for source, target, kind in cursor.fetchall()]
