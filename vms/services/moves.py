"""Move VMs to another application, of their tenant or of another one. The cloud is not changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar
from uuid import UUID

from django.db import models, transaction
from django.db.models import Q

from api.domain_errors import ConflictError, DomainError, InvalidFieldsError
from api.messages import message as _
from api.replica.positions import remember_position_for_all
from api.replica.routing import read_primary
from cloudaccounts.models import CloudAccount
from networks.models import FloatingIp
from tenants.models import InformationSystem
from tenants.quotas import Needs, require_quota
from tenants.scoping import Role, Scope
from volumepool.models import Volume, VolumeSnapshot

from ..catalogue import find_missing_networks
from ..models import ConsoleReading, VirtualMachine, VMOperationLog, VMSnapshot
from ..ownership_hooks import run_tenant_change_hooks
from .belongings import Belongings, find_unsettled, find_used, lock_belongings
from .bulk import NOTHING_TO_DO, BulkAction, Plan, name_first_error, run_bulk_action
from .interfaces import find_tenant_groups
from .locked_vms import lock_vm, touch_vms
from .logins import forget_login_secrets

# The most applications that a form offers.
MAX_TARGETS = 1000


@dataclass(slots=True)
class MoveRequest(BulkAction):
    """The move of VMs to an application, with their volumes and snapshots.

    Within their tenant an operator may do that. To another tenant, administrators of both may, and staff; that tenant must be
    able to use the VMs' cloud accounts, and its quota must have room for all that move. The history before stays with the
    tenant in which it happened: the new one sees what was done and when, but neither by whom nor the details
    (`VMOperationLogQuerySet.of_vm`).
    """

    scope: Scope
    information_system: UUID
    target: InformationSystem = field(init=False)
    belongings: dict[UUID, Belongings] = field(init=False, default_factory=dict)

    role: ClassVar[Role] = Role.OPERATOR

    def check(self) -> None:
        """Raise 400 for an application that the caller does not see."""
        visible = InformationSystem.objects.visible_to(self.scope.user).select_related("tenant")
        target = visible.filter(pk=self.information_system, tenant__active=True).first()
        if target is None:
            message = _("Information system not found: %(id)s.") % {"id": self.information_system}
            raise InvalidFieldsError({"information_system": [message]})
        self.target = target

    def plan(self, vms: Sequence[VirtualMachine]) -> list[Plan]:
        """Plan the move of each VM that is not there already. Raises 403 when one would leave its tenant and the caller may not do that."""
        moving = [vm for vm in vms if vm.information_system_id != self.target.pk]
        if not moving:
            return [NOTHING_TO_DO for _vm in vms]
        leaving = self._select_leaving(moving)
        if leaving:
            self.scope.require(Role.ADMIN, VirtualMachine)
            _build_target_scope(self.scope, self.target).require(Role.ADMIN, VirtualMachine)
        self.belongings = lock_belongings(moving)
        # The first reason of a VM counts: the later mappings come first.
        refusals = {**self._find_refusals_to_leave(leaving), **find_unsettled(self.belongings)}
        refusals |= self._find_unusable_accounts(leaving)
        return [
            Plan(changes_row=vm.pk not in refusals, refusal=refusals.get(vm.pk))
            if vm.pk in self.belongings
            else NOTHING_TO_DO
            for vm in vms
        ]

    def require_capacity(self, vms: Sequence[VirtualMachine]) -> None:
        """Refuse the whole request when the quota of another tenant has no room for all that would come to it."""
        if leaving := self._select_leaving(vms):
            needs = [self.belongings[vm.pk].measure() for vm in leaving]
            names = Needs.__dataclass_fields__
            require_quota(
                self.target.tenant, Needs(*(sum(getattr(one, name) for one in needs) for name in names))
            )

    def write(self, vms: Sequence[VirtualMachine]) -> None:
        """Write the new application of the VMs and of what goes with them, and both operation logs."""
        VMOperationLog.objects.bulk_create(entry for vm in vms for entry in self._build_log(vm))
        leaving = self._select_leaving(vms)
        gone = {vm.pk for vm in leaving}
        staying = [vm for vm in vms if vm.pk not in gone]
        for rows, leaves_tenant in ((staying, False), (leaving, True)):
            if rows:
                self._give(rows, leaves_tenant=leaves_tenant)
        if leaving:
            # A console's URL grants access without a password.
            ConsoleReading.objects.filter(vm__in=gone).delete()
            run_tenant_change_hooks(list(gone))
            forget_login_secrets(gone)
            # The addresses by which the VMs are reached go with them; the VMs' jobs hold them, so none is in flight.
            FloatingIp.objects.filter(vm__in=gone).update(tenant=self.target.tenant)
            # Their former tenant must not see what they are from now on.
            transaction.on_commit(remember_position_for_all, robust=True)

    def _select_leaving(self, vms: Sequence[VirtualMachine]) -> list[VirtualMachine]:
        return [vm for vm in vms if vm.information_system.tenant_id != self.target.tenant_id]

    def _find_unusable_accounts(self, leaving: Sequence[VirtualMachine]) -> dict[UUID, DomainError]:
        """Return the reason against VMs whose cloud account the other tenant can't use."""
        if not leaving:
            return {}
        usable = set(CloudAccount.objects.for_tenant(self.target.tenant).values_list("pk", flat=True))
        message = _(
            "The tenant of '%(system)s' can't use the cloud account '%(account)s', in which the VM is."
        )
        return {
            vm.pk: name_first_error(
                InvalidFieldsError(
                    {
                        "information_system": [
                            message % {"system": self.target.name, "account": vm.account.name}
                        ]
                    }
                )
            )
            for vm in leaving
            if vm.account_id not in usable
        }

    def _find_refusals_to_leave(self, leaving: Sequence[VirtualMachine]) -> dict[UUID, DomainError]:
        """Return the reasons against VMs that leave their tenant: services, networks, security groups."""
        if not leaving:
            return {}
        refusals: dict[UUID, DomainError] = {}
        # The rules of its groups would go on to be the former tenant's to decide about.
        shared = [vm for vm in leaving if vm.account.tenant_id is None]
        for pk, groups in find_tenant_groups(shared).items():
            message = _(
                "The VM has security groups of its tenant: %(names)s. Set none before it moves, and those of the other tenant afterwards."
            )
            values = {"names": ", ".join(sorted(groups)[:10])}
            refusals[pk] = ConflictError("has_security_groups", message % values)
        # A move must not lead a tenant into a network of a shared account that it was not granted; staff may do it.
        if not VirtualMachine.objects.all().is_open_to(self.scope.user):
            for pk, names in find_missing_networks(leaving, self.target.tenant).items():
                message = _(
                    "%(tenant)s may not use these networks of the VM: %(names)s. Ask a platform administrator."
                )
                values = {"tenant": self.target.tenant.name, "names": ", ".join(sorted(names))}
                refusals[pk] = ConflictError("network_not_granted", message % values)
        return refusals | find_used([vm.pk for vm in leaving])

    def _give(self, vms: Sequence[VirtualMachine], *, leaves_tenant: bool) -> None:
        """Write the new application. Who created a VM or a snapshot is not told to another tenant."""
        columns: dict[str, Any] = {"information_system": self.target}
        without_creator = {"created_by": None} if leaves_tenant else {}
        for vm in vms:
            vm.information_system = self.target
            if leaves_tenant:
                vm.created_by = None
        touch_vms(vms, **columns, **without_creator)
        given = [self.belongings[vm.pk] for vm in vms]
        rows: list[tuple[type[models.Model], list[UUID], dict[str, None]]] = [
            (Volume, [row.pk for one in given for row in one.volumes], {}),
            (VolumeSnapshot, [row.pk for one in given for row in one.volume_snapshots], without_creator),
            (VMSnapshot, [row.pk for one in given for row in one.vm_snapshots], without_creator),
        ]
        for model, keys, more in rows:
            if keys:
                model._default_manager.filter(pk__in=keys).update(**columns, **more)  # noqa: SLF001 - Django's documented API.

    def _build_log(self, vm: VirtualMachine) -> list[VMOperationLog]:
        """Return the entries for the logs of both tenants; neither names the other one, nor its applications."""
        old, new = vm.information_system, self.target
        if old.tenant_id == new.tenant_id:
            details: list[tuple[UUID, str]] = [(old.tenant_id, f"{old.name} -> {new.name}"[:2000])]
        else:
            details = [
                (old.tenant_id, _("From %(system)s to another tenant.") % {"system": old.name}),
                (new.tenant_id, _("From another tenant to %(system)s.") % {"system": new.name}),
            ]
        move, user = VMOperationLog.Operation.MOVE, self.scope.user
        return [
            VMOperationLog.of(vm, move, user=user, detail=detail, tenant_id=tenant_id)
            for tenant_id, detail in details
        ]


def move_vm(
    *, scope: Scope, vm_id: UUID, system_id: UUID, dry_run: bool = False
) -> tuple[VirtualMachine, bool]:
    """Move a VM to another application, as `MoveRequest` moves many; return it, and whether it was moved.

    Raises `NotFoundError`, 403; 400 for an application that the caller does not see, or whose tenant can't use the account; 409
    `busy`, `in_bin`, `not_bound`, `resize_pending`, `has_instances`, `has_security_groups`, `network_not_granted`, `quota_exceeded`.
    Safe beside other requests: the rows are locked, and a job is only submitted under the lock of its row.
    """
    with transaction.atomic():
        vm = lock_vm(scope, vm_id, Role.OPERATOR)
        request = MoveRequest(scope, system_id)
        (result,) = run_bulk_action(scope=scope, vm_ids=[vm.pk], action=request, dry_run=dry_run)
        if result.refusal is not None:
            raise result.refusal
        return result.vm or vm, result.changed and not dry_run


@read_primary()
def list_move_targets(scope: Scope, vm: VirtualMachine | None = None) -> list[InformationSystem]:
    """Return the applications that the caller may move a visible VM to, those of its own tenant first.

    Without a VM, those to which VMs of the scope may be moved.
    """
    tenant_id = scope.tenant.pk if scope.tenant is not None else None
    own = vm.information_system.tenant_id if vm is not None else tenant_id
    targets = InformationSystem.objects.visible_to(scope.user).filter(tenant__active=True)
    if not scope.allows(Role.ADMIN, VirtualMachine):
        targets = targets.filter(tenant=own)
    elif not VirtualMachine.objects.all().is_open_to(scope.user):
        administered = scope.user.active_memberships().filter(role=Role.ADMIN).values("tenant")
        targets = targets.filter(Q(tenant=own) | Q(tenant__in=administered))
    if vm is not None:
        targets = targets.exclude(pk=vm.information_system_id)
        if vm.account.tenant_id is not None:
            targets = targets.filter(tenant=vm.account.tenant_id)
    named = targets.select_related("tenant").only("name", "tenant__name")
    found = named.order_by("tenant__name", "name", "pk")[:MAX_TARGETS]
    return sorted(found, key=lambda one: one.tenant_id != own)


def _build_target_scope(scope: Scope, target: InformationSystem) -> Scope:
    """Return the caller's scope in the tenant of an application that they see."""
    membership = scope.user.active_memberships().filter(tenant=target.tenant_id).first()
    role = Role(membership.role) if membership is not None else None
    if scope.user.is_staff:
        return Scope(scope.user, target.tenant, Role.ADMIN, role)
    return Scope(scope.user, target.tenant, role or Role.VIEWER)
