"""The rows of the rooms above that are objects in a cloud: found by their ids there.

A room above registers its models (`apps.py`), so that the inventory can tell which tasks worked on an object, and whose it is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class _CloudRows:
    """A model with its columns: the id in the cloud, the id by which jobs name the row, and the tenant."""

    model: Any
    cloud_id: str
    tenant: str
    row_id: str


_registered: list[_CloudRows] = []


def register_cloud_rows(model: Any, cloud_id: str, tenant: str, row_id: str = "pk") -> None:
    """Register a model whose rows are objects in a cloud."""
    rows = _CloudRows(model, cloud_id, tenant, row_id)
    if rows not in _registered:
        _registered.append(rows)


def find_row_ids(cloud_ids: Iterable[str]) -> dict[str, set[str]]:
    """Return the ids of the portal's rows by the ids of their objects in the cloud."""
    found: dict[str, set[str]] = defaultdict(set)
    for cloud_id, row_id, _tenant in _find(cloud_ids):
        found[cloud_id].add(row_id)
    return found


def find_tenants(cloud_ids: Iterable[str]) -> dict[str, UUID]:
    """Return the tenants of objects by their ids in the cloud, without those that no row stands for."""
    return {cloud_id: tenant for cloud_id, _row_id, tenant in _find(cloud_ids)}


def _find(cloud_ids: Iterable[str]) -> Iterable[tuple[str, str, UUID]]:
    wanted = list(cloud_ids)
    for rows in _registered if wanted else ():
        found = rows.model.objects.filter(**{f"{rows.cloud_id}__in": wanted}).order_by()
        for cloud_id, row_id, tenant in found.values_list(rows.cloud_id, rows.row_id, rows.tenant):
            yield str(cloud_id), str(row_id), tenant
