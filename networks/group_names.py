"""The names of security groups that rules refer to by their ids in the cloud: one query, however many groups are shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from .models import SecurityGroup

_Place = tuple[Any, int, str]


class GroupNames:
    """Finds groups of a tenant by their ids in the cloud. Groups of other tenants stay unknown."""

    def __init__(self) -> None:
        self._groups: dict[_Place, dict[str, tuple[UUID, str]]] | None = None

    def load(self, shown: Iterable[SecurityGroup]) -> None:
        """Read the groups that the rules of some groups name, unless that was done before."""
        if self._groups is not None:
            return
        self._groups = {}
        listed = list(shown)
        named = {rule.get("remote_group") for group in listed for rule in group.rules} - {None}
        if not named:
            return
        found = SecurityGroup.objects.filter(
            cloud_id__in=named, tenant__in={group.tenant_id for group in listed}
        )
        columns = ("tenant", "account", "region", "cloud_id", "pk", "name")
        for tenant, account, region, cloud_id, pk, name in found.values_list(*columns):
            self._groups.setdefault((tenant, account, region), {})[cloud_id] = (pk, name)

    def _known(self, group: SecurityGroup) -> dict[str, tuple[UUID, str]]:
        return (self._groups or {}).get((group.tenant_id, group.account_id, group.region), {})

    def of(self, group: SecurityGroup) -> Mapping[str, str]:
        """Return the names of groups of the same tenant and place, by their ids in the cloud."""
        return {cloud_id: name for cloud_id, (_pk, name) in self._known(group).items()}

    def find_id(self, group: SecurityGroup, cloud_id: str | None) -> UUID | None:
        """Return the key of a group that a rule names; None for none, and for a group of another owner."""
        return self._known(group).get(cloud_id or "", (None, ""))[0]
