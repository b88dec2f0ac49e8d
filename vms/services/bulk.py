"""The one mechanism for requests about many VMs: lock, plan, submit and write, with a result for each VM."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from api.domain_errors import ConflictError, DomainError, InvalidError, InvalidFieldsError, NotFoundError
from tasks import engine
from tasks.engine import Spec
from tasks.models import Job
from tenants.scoping import Role, Scope

from ..actions import IN_BIN
from ..commands.server import ServerCommand
from ..models import VirtualMachine


@dataclass(frozen=True, slots=True)
class ControlResult:
    """The result of a request for an action on a VM.

    `refusal` is the reason against it; `vm` is None when the scope has no such VM. `job` carries the action out; None when
    there was nothing to do, on a dry run, and when another VM's refusal stopped all. `holder` is the job that holds the VM now.
    """

    vm: VirtualMachine | None
    changed: bool = False
    job: Job | None = None
    holder: Job | None = None
    refusal: DomainError | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What an action does about one VM: a command to submit, a change of its row, or neither when there is nothing to do."""

    command: ServerCommand | None = None
    changes_row: bool = False
    refusal: DomainError | None = None


NOTHING_TO_DO = Plan()


class BulkAction(ABC):
    """An action on many VMs, with its parameters. Every method uses a number of statements that does not depend on theirs."""

    __slots__ = ()

    role: ClassVar[Role]
    # Whether it is also for VMs in the bin. The others refuse those before they plan.
    works_in_bin: ClassVar[bool] = False

    def check(self) -> None:  # noqa: B027 - most actions refuse nothing.
        """Refuse the request as a whole, once it is known that the caller may see and change one of the VMs."""

    @abstractmethod
    def plan(self, vms: Sequence[VirtualMachine]) -> list[Plan]:
        """Return the plan for each of the locked VMs."""

    def require_capacity(self, vms: Sequence[VirtualMachine]) -> None:  # noqa: B027 - most need no room.
        """Refuse the request as a whole when quotas or limits do not allow the action for all these VMs."""

    @abstractmethod
    def write(self, vms: Sequence[VirtualMachine]) -> None:
        """Write the rows of the VMs that the action was accepted for, and of what it creates."""

    def plan_all(self, vms: Sequence[VirtualMachine]) -> dict[UUID, Plan]:
        """Return the plan for each of the locked VMs, by its id; the refusal for those in the bin, unless it works there."""
        in_bin = [] if self.works_in_bin else [vm for vm in vms if vm.is_in_bin]
        plans = {vm.pk: Plan(refusal=ConflictError("in_bin", IN_BIN)) for vm in in_bin}
        others = [vm for vm in vms if vm.pk not in plans]
        return plans | {vm.pk: plan for vm, plan in zip(others, self.plan(others), strict=True)}


def name_first_error(refused: InvalidFieldsError) -> DomainError:
    """Return the refusal with its first sentence as the detail: a result of many has no errors by field."""
    texts = [text for found in (refused.errors or {}).values() for text in found]
    return InvalidError("invalid", str(texts[0]) if texts else refused.detail, errors=refused.errors)


def run_bulk_action(
    *,
    scope: Scope,
    vm_ids: Sequence[UUID],
    action: BulkAction,
    mode: Literal["all", "valid"] = "all",
    dry_run: bool = False,
) -> list[ControlResult]:
    """Request the same action on many VMs; return the results in their order. A fixed number of statements.

    With `all`, nothing is done unless every VM allows the action; with `valid`, it is done for those that do.
    Raises `DomainError` for the request as a whole: 403 `role_too_low`, and what `check` and `require_capacity` raise.

    The rows are locked in the order of their keys, so two such requests never wait for each other.
    """
    with transaction.atomic():
        rows = VirtualMachine.objects.within(scope).for_display().filter(pk__in=vm_ids).order_by("pk")
        vms = {vm.pk: vm for vm in rows.select_for_update(of=("self",))}
        if vms:
            scope.require(action.role, VirtualMachine)
            action.check()
        in_order = [vms[pk] for pk in dict.fromkeys(vm_ids) if pk in vms]
        plans = action.plan_all(in_order)
        results: dict[UUID, ControlResult] = {
            pk: ControlResult(None, refusal=NotFoundError("not_found", _("VM not found.")))
            for pk in vm_ids
            if pk not in vms
        }
        commands = []
        for vm in in_order:
            plan = plans[vm.pk]
            results[vm.pk] = ControlResult(vm, changed=plan.changes_row, refusal=plan.refusal)
            if plan.command is not None:
                commands.append((vm, plan.command))
        is_stopped = mode == "all" and any(result.refusal for result in results.values())
        accepted = [vm for vm in in_order if plans[vm.pk].refusal is None]
        if not is_stopped and accepted:
            action.require_capacity([vm for vm in accepted if plans[vm.pk] != NOTHING_TO_DO])
        submissions = engine.submit_many(
            [Spec(command, vm.information_system.tenant) for vm, command in commands],
            user=scope.user,
            mode=mode,
            dry_run=dry_run or is_stopped,
        )
        for (vm, _command), submission in zip(commands, submissions, strict=True):
            is_new = (
                submission.refusal is None
                and not submission.joined
                and (dry_run or submission.job is not None)
            )
            job = None if dry_run else submission.job
            results[vm.pk] = ControlResult(
                vm, changed=is_new, job=job, holder=submission.job, refusal=submission.refusal
            )
        if not dry_run:
            is_stopped = mode == "all" and any(result.refusal for result in results.values())
            changed = [] if is_stopped else [vm for vm in in_order if results[vm.pk].changed]
            if changed:
                action.write(changed)
            if is_stopped:
                results = {
                    pk: ControlResult(result.vm, refusal=result.refusal, holder=result.holder)
                    for pk, result in results.items()
                }
        return [results[pk] for pk in vm_ids]
