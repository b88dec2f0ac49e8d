"""Add tags to many VMs, and remove tags from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from django.db.models import F
from django.db.models.functions import Now

from api.domain_errors import InvalidError
from api.tags import check_tag_count
from tenants.scoping import Role

from ..models import VirtualMachine
from .bulk import NOTHING_TO_DO, BulkAction, Plan


@dataclass(frozen=True, slots=True)
class TagRequest(BulkAction):
    """Tags to add to many VMs, which replace values of the same keys, and keys to remove."""

    add: Mapping[str, str] = field(default_factory=dict)
    remove: Sequence[str] = ()

    role: ClassVar[Role] = Role.OPERATOR

    def plan(self, vms: Sequence[VirtualMachine]) -> list[Plan]:
        """Plan the change of each VM whose tags would differ."""
        return [self._plan_one(vm) for vm in vms]

    def write(self, vms: Sequence[VirtualMachine]) -> None:
        """Write the tags of all VMs with one statement, and their versions with another."""
        for vm in vms:
            vm.tags = self.apply(vm.tags)
        VirtualMachine.objects.bulk_update(vms, ["tags"])
        VirtualMachine.objects.filter(pk__in=[vm.pk for vm in vms]).update(
            version=F("version") + 1, updated_at=Now()
        )

    def apply(self, tags: Mapping[str, str]) -> dict[str, str]:
        """Return tags with the added ones, without the removed ones."""
        kept = {key: value for key, value in tags.items() if key not in set(self.remove)}
        return kept | dict(self.add)

    def _plan_one(self, vm: VirtualMachine) -> Plan:
        tags = self.apply(vm.tags)
        if tags == vm.tags:
            return NOTHING_TO_DO
        if wrong := check_tag_count(tags):
            return Plan(refusal=InvalidError("too_many_tags", wrong[0], errors={"add_tags": wrong}))
        return Plan(changes_row=True)
