"""The actions on many VMs that `POST vms/actions/` requests, by name, with the fields that each takes.

To add one, write its `BulkAction` and an entry of `BULK_ACTIONS`; the endpoint and the page need nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal
from uuid import UUID

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from api.domain_errors import InvalidFieldsError
from cloudaccounts.placements import Placement
from tasks.operations import operation
from tenants.quotas import Needs, require_quota
from tenants.row_limits import require_row_limit
from tenants.scoping import Role, Scope
from volumepool.models import Volume

from ..actions import ACTIONS
from ..catalogue import Catalogue, flavor_size_columns
from ..commands.resize import ResizeVmCommand
from ..commands.snapshots import SnapshotVmCommand
from ..models import Resize, VirtualMachine, VMSnapshot
from .bulk import BulkAction, ControlResult, Plan, name_first_error, run_bulk_action
from .control import PowerRequest, build_unknown_action_error
from .locked_vms import touch_vms
from .moves import MoveRequest
from .protection import ProtectionRequest
from .removal import RemovalRequest
from .resize import choose_flavor
from .tags import TagRequest
from .vm_bin import RestoreRequest


@dataclass(slots=True)
class ResizeRequest(BulkAction):
    """The resize of VMs to the smallest flavor that fits."""

    cpu_cores: int
    memory_gb: int
    disk_gb: int | None = None
    # The new size of each VM, and its flavor.
    sizes: dict[UUID, dict[str, Any]] = field(default_factory=dict, init=False)
    flavors: dict[UUID, str] = field(default_factory=dict, init=False)

    role: ClassVar[Role] = Role.ADMIN

    def plan(self, vms: Sequence[VirtualMachine]) -> list[Plan]:
        """Choose the flavor of each VM: one query for the catalogue of each account and region."""
        boots = set(Volume.objects.filter(vm__in=vms, is_boot=True).values_list("vm_id", flat=True))
        catalogues: dict[tuple[Any, ...], Catalogue] = {}
        plans = []
        for vm in vms:
            key = (vm.account_id, vm.region, vm.information_system_id)
            if key not in catalogues:
                catalogues[key] = Catalogue(Placement(vm.account, vm.region), vm.information_system)
            plans.append(self._plan_one(vm, catalogues[key], boots_from_volume=vm.pk in boots))
        return plans

    def require_capacity(self, vms: Sequence[VirtualMachine]) -> None:
        """Refuse the whole request when a tenant's quota has no room for what its VMs would grow by."""
        tenants = {vm.information_system.tenant_id: vm.information_system.tenant for vm in vms}
        for tenant_id, tenant in sorted(tenants.items()):
            growing = [
                vm for vm in vms if vm.pk in self.sizes and vm.information_system.tenant_id == tenant_id
            ]
            require_quota(
                tenant,
                Needs(
                    **{
                        name: sum(max(0, self.sizes[vm.pk][name] - getattr(vm, name)) for vm in growing)
                        for name in ("cpu_cores", "memory_gb", "disk_gb")
                    }
                ),
            )

    def write(self, vms: Sequence[VirtualMachine]) -> None:
        """Write the pending resizes."""
        resizes = Resize.objects.bulk_create(
            Resize(vm=vm, flavor_id=self.flavors[vm.pk], **self.sizes[vm.pk]) for vm in vms
        )
        for vm, resize in zip(vms, resizes, strict=True):
            vm.resize = resize
        touch_vms(vms)

    def _plan_one(self, vm: VirtualMachine, catalogue: Catalogue, *, boots_from_volume: bool) -> Plan:
        command = ResizeVmCommand(str(vm.pk), flavor_id="")
        command.vm = vm
        if command.validate():
            return Plan(command)  # Its refusal comes before that of the size.
        try:
            flavor = choose_flavor(
                vm,
                catalogue,
                self.cpu_cores,
                self.memory_gb,
                self.disk_gb,
                boots_from_volume=boots_from_volume,
            )
        except InvalidFieldsError as refused:
            return Plan(refusal=name_first_error(refused))
        command.flavor_id = self.flavors[vm.pk] = flavor.cloud_id
        self.sizes[vm.pk] = flavor_size_columns(
            flavor, boot_disk_gb=vm.disk_gb if boots_from_volume else None
        )
        return Plan(command)


@dataclass(slots=True)
class SnapshotRequest(BulkAction):
    """Snapshots of VMs, all with the same name: their VM tells them apart."""

    scope: Scope
    name: str
    snapshots: dict[UUID, VMSnapshot] = field(default_factory=dict, init=False)

    role: ClassVar[Role] = Role.OPERATOR

    def plan(self, vms: Sequence[VirtualMachine]) -> list[Plan]:
        """Plan a snapshot of each VM."""
        boots = set(Volume.objects.filter(vm__in=vms, is_boot=True).values_list("vm_id", flat=True))
        return [self._plan_one(vm, boots_from_volume=vm.pk in boots) for vm in vms]

    def require_capacity(self, vms: Sequence[VirtualMachine]) -> None:
        """Refuse the whole request when a tenant may not have that many snapshots."""
        tenants = {vm.information_system.tenant_id: vm.information_system.tenant for vm in vms}
        for tenant_id, tenant in sorted(tenants.items()):
            count = sum(vm.information_system.tenant_id == tenant_id for vm in vms)
            of_tenant = VMSnapshot.objects.filter(information_system__tenant=tenant)
            require_row_limit(tenant, "vm_snapshots", of_tenant, count)

    def write(self, vms: Sequence[VirtualMachine]) -> None:
        """Write the snapshots' rows, together with their jobs."""
        VMSnapshot.objects.bulk_create(self.snapshots[vm.pk] for vm in vms)
        touch_vms(vms)

    def _plan_one(self, vm: VirtualMachine, *, boots_from_volume: bool) -> Plan:
        snapshot = self.snapshots[vm.pk] = VMSnapshot(
            min_disk_gb=vm.disk_gb if boots_from_volume else 0,
            information_system=vm.information_system,
            account=vm.account,
            region=vm.region,
            vm_id=vm.pk,
            vm_name=vm.name,
            name=self.name,
            created_by=self.scope.user,
        )
        command = SnapshotVmCommand(str(vm.pk), str(snapshot.pk))
        command.vm, command.snapshot = vm, snapshot
        return Plan(command)


@dataclass(frozen=True, slots=True)
class UnknownRequest(BulkAction):
    """An action that does not exist. It is refused after the VMs were looked up, as an action on one VM is."""

    name: str

    role: ClassVar[Role] = Role.OPERATOR

    def check(self) -> None:
        """Raise 400 `unknown_action`."""
        raise build_unknown_action_error(self.name, BULK_ACTIONS)

    def plan(self, vms: Sequence[VirtualMachine]) -> list[Plan]:
        """Plan nothing: there are no VMs, or `check` has raised."""
        return []

    def write(self, vms: Sequence[VirtualMachine]) -> None:
        """Write nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkActionKind:
    """A kind of action: its title, its role, the fields that it needs and those that it may have."""

    title: str | Promise
    role: Role
    build: Callable[[Scope, Mapping[str, Any]], BulkAction]
    needs: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()


def _build_power_kind(name: str) -> BulkActionKind:
    return BulkActionKind(
        title=ACTIONS[name].title,
        role=Role.OPERATOR,
        takes=("hard",),
        build=lambda _scope, fields: PowerRequest(name, **fields),
    )


BULK_ACTIONS: dict[str, BulkActionKind] = {
    **{name: _build_power_kind(name) for name in ACTIONS},
    "resize": BulkActionKind(
        title=_("Resize"),
        role=Role.ADMIN,
        needs=("cpu_cores", "memory_gb"),
        takes=("disk_gb",),
        build=lambda _scope, fields: ResizeRequest(**fields),
    ),
    "move": BulkActionKind(
        title=_("Move"),
        role=Role.OPERATOR,
        needs=("information_system",),
        build=lambda scope, fields: MoveRequest(scope, **fields),
    ),
    "snapshot": BulkActionKind(
        title=_("Create snapshot"),
        role=Role.OPERATOR,
        needs=("name",),
        build=lambda scope, fields: SnapshotRequest(scope, **fields),
    ),
    "tag": BulkActionKind(
        title=_("Edit tags"),
        role=Role.OPERATOR,
        takes=("add_tags", "remove_tags"),
        build=lambda _scope, fields: TagRequest(fields.get("add_tags", {}), fields.get("remove_tags", ())),
    ),
    "protect": BulkActionKind(
        title=_("Turn on deletion protection"),
        role=Role.OPERATOR,
        build=lambda scope, _fields: ProtectionRequest(scope, is_on=True),
    ),
    "unprotect": BulkActionKind(
        title=_("Turn off deletion protection"),
        role=Role.ADMIN,
        build=lambda scope, _fields: ProtectionRequest(scope, is_on=False),
    ),
    "remove": BulkActionKind(
        title=_("Delete"),
        role=Role.ADMIN,
        takes=("volumes", "force", "permanent"),
        build=lambda _scope, fields: RemovalRequest(**fields),
    ),
    "restore": BulkActionKind(
        title=_("Restore"), role=Role.ADMIN, build=lambda _scope, _fields: RestoreRequest()
    ),
}


@operation("vms.control_many", ResizeVmCommand, SnapshotVmCommand)
def control_many(
    *,
    scope: Scope,
    vm_ids: Sequence[UUID],
    action: str,
    fields: Mapping[str, Any],
    mode: Literal["all", "valid"] = "all",
    dry_run: bool = False,
) -> list[ControlResult]:
    """Request an action of `BULK_ACTIONS` on many VMs, as `run_bulk_action` does. `fields` are those that the action takes.

    Raises 400 `unknown_action` and `hard_not_known` too, for a resize, a move and snapshots 409 `quota_exceeded` and
    `limit_reached`, and for a move 400 `invalid`.
    """
    kind = BULK_ACTIONS.get(action)
    request = kind.build(scope, fields) if kind else UnknownRequest(action)
    return run_bulk_action(scope=scope, vm_ids=vm_ids, action=request, mode=mode, dry_run=dry_run)
