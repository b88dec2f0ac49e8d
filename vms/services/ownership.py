"""Change who owns a VM: move it to another information system, or release it from the portal. The cloud is not changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from api.domain_errors import ConflictError, InvalidFieldsError
from api.messages import message as _
from cloudaccounts.models import CloudAccount, ReleasedObject
from networks.models import FloatingIp
from tasks import engine
from tenants.models import InformationSystem
from tenants.quotas import Needs, require_quota
from tenants.scoping import Role, Scope
from volumepool.models import GONE, Volume, VolumeSnapshot

from ..catalogue import list_missing_networks
from ..models import ConsoleReading, Resize, VirtualMachine, VMOperationLog, VmPort, VMSnapshot
from ..ownership_hooks import run_tenant_change_hooks
from ..removal_guards import collect_guard_refusals
from .interfaces import list_interfaces
from .locked_vms import lock_vm, update_locked_vm
from .logins import forget_login_secrets

# The most systems that a form offers.
MAX_TARGETS = 1000


@dataclass(frozen=True, slots=True)
class ReleaseResult:
    """A VM that was released, with the volumes that went with it. Their rows are gone."""

    vm: VirtualMachine
    volumes: list[Volume]


@dataclass(frozen=True, slots=True)
class _Belongings:
    """The locked rows that go where a VM goes."""

    volumes: list[Volume]
    volume_snapshots: list[VolumeSnapshot]
    vm_snapshots: list[VMSnapshot]

    def lock_keys(self, vm: VirtualMachine) -> list[str]:
        """Return the keys of the engine's locks on the VM and on all of these."""
        keys = [vm.lock_key, *(volume.lock_key for volume in self.volumes)]
        keys += [snapshot.lock_key for snapshot in self.volume_snapshots]
        return keys + [snapshot.lock_key for snapshot in self.vm_snapshots]


def move_vm(
    *, scope: Scope, vm_id: UUID, system_id: UUID, dry_run: bool = False
) -> tuple[VirtualMachine, bool]:
    """Move a VM to another information system, with its volumes and snapshots; return it, and whether it was moved.

    Within its tenant an operator may do that. To another tenant, administrators of both may, and staff; that tenant must be
    able to use the VM's cloud account, and its quota must have room. The history before stays with the tenant in which it
    happened: the new one sees what was done and when, but neither by whom nor the details (`VMOperationLogQuerySet.of_vm`).

    Raises `NotFoundError`, 403; 400 for a system that the caller does not see, or whose tenant can't use the account; 409
    `busy`, `not_bound`, `resize_pending`, `has_instances`, `network_not_granted`, `quota_exceeded`.
    Safe beside other requests: the rows are locked, and a job is only submitted under the lock of its row.
    """
    with transaction.atomic():
        vm = lock_vm(scope, vm_id, Role.OPERATOR)
        old = vm.information_system
        new = _find_target(scope, vm, system_id)
        if new.pk == old.pk:
            return vm, False
        belongings = _lock_belongings(vm)
        leaves_tenant = new.tenant_id != old.tenant_id
        _require_settled(vm, belongings)
        if leaves_tenant:
            _require_unused(vm)
            _require_granted_networks(scope, vm, new)
            _require_no_groups(vm)
            require_quota(new.tenant, _measure(vm, belongings))
        if dry_run:
            return vm, False
        _log_move(scope, vm, old, new)
        columns = {"created_by": None} if leaves_tenant else {}
        vm.information_system = new
        update_locked_vm(vm, information_system=new, **columns)
        for rows in (belongings.volumes, belongings.volume_snapshots, belongings.vm_snapshots):
            _give_to(new, rows, leaves_tenant=leaves_tenant)
        if leaves_tenant:
            # A console's URL grants access without a password.
            ConsoleReading.objects.filter(vm=vm).delete()
            run_tenant_change_hooks(vm.pk)
            forget_login_secrets(vm.pk)
            # The addresses by which the VM is reached go with it; its jobs hold them, so none is in flight.
            FloatingIp.objects.filter(vm=vm).update(tenant=new.tenant)
        return vm, True


def release_vm(*, scope: Scope, vm_id: UUID, dry_run: bool = False) -> ReleaseResult:
    """Forget a VM and its volumes, and leave them in the cloud as they are; they can be adopted again.

    The operation log stays, and so do snapshots that are images. `ReleasedObject` keeps the sweep for orphans from them.

    Raises `NotFoundError`, 403; 409 `busy`, `not_bound`, `resize_pending`, `has_instances`, `has_snapshots`.
    Safe beside other requests, as `move_vm`.
    """
    with transaction.atomic():
        vm = lock_vm(scope, vm_id, Role.ADMIN)
        belongings = _lock_belongings(vm)
        _require_settled(vm, belongings)
        _require_unused(vm)
        # Without its row, nobody would know why Cinder refuses to delete a volume: it has snapshots.
        if count := sum(snapshot.status != GONE for snapshot in belongings.volume_snapshots):
            message = _("Its volumes have %(count)s snapshots. Delete them first.")
            raise ConflictError("has_snapshots", message % {"count": count})
        if not dry_run:
            _forget(scope, vm, belongings)
        return ReleaseResult(vm, belongings.volumes)


def list_move_targets(scope: Scope, vm: VirtualMachine) -> list[InformationSystem]:
    """Return the systems that the caller may move a visible VM to, those of its own tenant first."""
    own = vm.information_system.tenant_id
    targets = InformationSystem.objects.visible_to(scope.user).filter(tenant__active=True)
    if not scope.allows(Role.ADMIN, VirtualMachine):
        targets = targets.filter(tenant=own)
    elif not VirtualMachine.objects.all().is_open_to(scope.user):
        administered = scope.user.active_memberships().filter(role=Role.ADMIN).values("tenant")
        targets = targets.filter(Q(tenant=own) | Q(tenant__in=administered))
    if vm.account.tenant_id is not None:
        targets = targets.filter(tenant=vm.account.tenant_id)
    found = targets.exclude(pk=vm.information_system_id).select_related("tenant")
    return sorted(
        found.order_by("tenant__name", "name", "pk")[:MAX_TARGETS], key=lambda one: one.tenant_id != own
    )


def _find_target(scope: Scope, vm: VirtualMachine, system_id: UUID) -> InformationSystem:
    """Return the system to move to, after requiring the caller's roles in both tenants."""
    visible = InformationSystem.objects.visible_to(scope.user).select_related("tenant")
    target: InformationSystem | None = visible.filter(pk=system_id, tenant__active=True).first()
    if target is None:
        message = _("Information system not found: %(id)s.") % {"id": system_id}
        raise InvalidFieldsError({"information_system": [message]})
    if target.tenant_id == vm.information_system.tenant_id:
        return target
    scope.require(Role.ADMIN, VirtualMachine)
    _build_target_scope(scope, target).require(Role.ADMIN, VirtualMachine)
    if not CloudAccount.objects.for_tenant(target.tenant).filter(pk=vm.account_id).exists():
        message = _(
            "The tenant of '%(system)s' can't use the cloud account '%(account)s', in which the VM is."
        )
        values = {"system": target.name, "account": vm.account.name}
        raise InvalidFieldsError({"information_system": [message % values]})
    return target


def _build_target_scope(scope: Scope, target: InformationSystem) -> Scope:
    """Return the caller's scope in the tenant of a system that they see."""
    membership = scope.user.active_memberships().filter(tenant=target.tenant_id).first()
    role = Role(membership.role) if membership is not None else None
    if scope.user.is_staff:
        return Scope(scope.user, target.tenant, Role.ADMIN, role)
    return Scope(scope.user, target.tenant, role or Role.VIEWER)


def _lock_belongings(vm: VirtualMachine) -> _Belongings:
    """Lock and return what goes with a VM. The order of the locks is the same in every request: VM, volumes, snapshots."""
    volumes = Volume.objects.filter(vm=vm).select_related("account").order_by("pk")
    locked = list(volumes.select_for_update(of=("self",)))
    snapshots = VolumeSnapshot.objects.filter(volume__in=locked).order_by("pk")
    images = VMSnapshot.objects.filter(vm_id=vm.pk, account=vm.account_id).order_by("pk")
    return _Belongings(
        locked,
        list(snapshots.select_for_update(of=("self",))),
        list(images.select_for_update(of=("self",))),
    )


def _require_settled(vm: VirtualMachine, belongings: _Belongings) -> None:
    """Refuse while a job holds the VM or something that goes with it, and while a resize waits to be confirmed."""
    for holder in engine.lock_holders(belongings.lock_keys(vm)).values():
        raise engine.BusyError(holder)
    if vm.openstack_id is None:
        raise ConflictError("not_bound", _("This VM has no server in the cloud yet."))
    if Resize.objects.filter(vm=vm).exists():
        raise ConflictError(
            "resize_pending", _("A resize waits to be confirmed. Confirm or revert it first.")
        )


def _require_granted_networks(scope: Scope, vm: VirtualMachine, new: InformationSystem) -> None:
    """Refuse a move that would lead a tenant into a network of a shared account that it was not granted; staff may do it."""
    if VirtualMachine.objects.all().is_open_to(scope.user):
        return
    if missing := list_missing_networks(vm, new.tenant):
        message = _(
            "%(tenant)s may not use these networks of the VM: %(names)s. Ask a platform administrator."
        )
        values = {"tenant": new.tenant.name, "names": ", ".join(sorted(missing))}
        raise ConflictError("network_not_granted", message % values)


def _require_unused(vm: VirtualMachine) -> None:
    """Refuse while a room above depends on the VM, as a deletion does."""
    if refusals := collect_guard_refusals([vm.pk])[vm.pk]:
        raise engine.NotValidError(refusals)


def _require_no_groups(vm: VirtualMachine) -> None:
    """Refuse while the VM has security groups of its tenant, whose rules the former tenant would go on to decide about."""
    groups = {
        group.name for one in list_interfaces(vm) for group in one.security_groups if group.row is not None
    }
    if groups and vm.account.tenant_id is None:
        message = _(
            "The VM has security groups of its tenant: %(names)s. Set none before it moves, and those of the other tenant afterwards."
        )
        raise ConflictError("has_security_groups", message % {"names": ", ".join(sorted(groups)[:10])})


def _measure(vm: VirtualMachine, belongings: _Belongings) -> Needs:
    """Return what a VM and its belongings count, as `tenants/quotas.py` counts them."""
    volumes = [volume for volume in belongings.volumes if not volume.is_boot and volume.status != GONE]
    snapshots = [snapshot for snapshot in belongings.volume_snapshots if snapshot.status != GONE]
    disk_gb = vm.disk_gb + sum(max(volume.size_gb, volume.extending_to_gb or 0) for volume in volumes)
    return Needs(1, vm.cpu_cores, vm.memory_gb, disk_gb + sum(snapshot.size_gb for snapshot in snapshots))


def _give_to(
    system: InformationSystem,
    rows: Sequence[Volume | VolumeSnapshot | VMSnapshot],
    *,
    leaves_tenant: bool,
) -> None:
    """Write the new system of rows of one model. Who created a snapshot is not told to another tenant."""
    if not rows:
        return
    names = ["information_system"]
    if leaves_tenant and hasattr(rows[0], "created_by_id"):
        names.append("created_by")
    for row in rows:
        row.information_system = system
        if "created_by" in names:
            row.created_by = None  # type: ignore[union-attr] # volumes have no such column, and are not written here.
    type(rows[0]).objects.bulk_update(rows, names)  # type: ignore[arg-type] # all rows are of one model.


def _log_move(scope: Scope, vm: VirtualMachine, old: InformationSystem, new: InformationSystem) -> None:
    """Append the move to the logs of both tenants; neither names the other one, nor its systems."""
    if old.tenant_id == new.tenant_id:
        entries = [(old.tenant_id, f"{old.name} -> {new.name}"[:2000])]
    else:
        entries = [
            (old.tenant_id, _("From %(system)s to another tenant.") % {"system": old.name}),
            (new.tenant_id, _("From another tenant to %(system)s.") % {"system": new.name}),
        ]
    VMOperationLog.objects.bulk_create(
        VMOperationLog(
            tenant_id=tenant_id,
            vm_id=vm.pk,
            vm_name=vm.name,
            operation=VMOperationLog.Operation.MOVE,
            operator=scope.user.get_username(),
            detail=detail,
            success=True,
        )
        for tenant_id, detail in entries
    )


def _forget(scope: Scope, vm: VirtualMachine, belongings: _Belongings) -> None:
    """Record the release, and delete the rows."""
    operator, tenant_id = scope.user.get_username(), vm.information_system.tenant_id
    bound = [volume for volume in belongings.volumes if volume.volume_id]
    kinds = ReleasedObject.Kind
    released = [(kinds.SERVER, str(vm.openstack_id), vm.name, vm.pk)]
    released += [(kinds.VOLUME, str(volume.volume_id), volume.name, volume.pk) for volume in bound]
    ports = VmPort.objects.filter(vm=vm, cloud_id__isnull=False)
    released += [(kinds.PORT, str(port.cloud_id), vm.name, port.pk) for port in ports]
    ReleasedObject.objects.bulk_create(
        [
            ReleasedObject(
                account_id=vm.account_id,
                region=vm.region,
                kind=kind,
                cloud_id=cloud_id,
                name=name,
                row_id=row_id,
                tenant_id=tenant_id,
                released_by=operator,
            )
            for kind, cloud_id, name, row_id in released
        ],
        update_conflicts=True,
        unique_fields=["cloud_id"],
        update_fields=["account", "region", "kind", "name", "row_id", "tenant", "released_by", "released_at"],
    )
    VMOperationLog.objects.create(
        tenant_id=tenant_id,
        vm_id=vm.pk,
        vm_name=vm.name,
        operation=VMOperationLog.Operation.RELEASE,
        operator=operator,
        detail=_("Server %(server)s of cloud account %(account)s, released with %(count)s volumes.")
        % {"server": vm.openstack_id, "account": vm.account.name, "count": len(bound)},
        success=True,
    )
    VolumeSnapshot.objects.filter(pk__in=[snapshot.pk for snapshot in belongings.volume_snapshots]).delete()
    Volume.objects.filter(pk__in=[volume.pk for volume in belongings.volumes]).delete()
    VirtualMachine.objects.filter(pk=vm.pk).delete()
