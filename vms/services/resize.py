"""Resize VMs, and confirm resizes that nobody has confirmed."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from api.domain_errors import InvalidFieldsError
from cloudaccounts.models import CloudResource
from cloudaccounts.placements import Placement
from tasks import engine
from tasks.operations import operation
from tenants.quotas import Needs, require_quota
from tenants.scoping import Role, Scope
from volumepool.models import Volume

from ..catalogue import Catalogue, flavor_size_columns
from ..commands.resize import ConfirmResizeCommand, ResizeVmCommand
from ..models import Resize, VirtualMachine, VMStatus
from .bulk import ControlResult
from .locked_vms import build_specs, lock_vm, refuse_by_state, submit_vm_command, touch_submitted_vms


@operation("vms.resize", ResizeVmCommand)
def resize_vm(
    *,
    scope: Scope,
    vm_id: UUID,
    cpu_cores: int,
    memory_gb: int,
    disk_gb: int | None = None,
    dry_run: bool = False,
) -> ControlResult:
    """Resize a VM to the smallest flavor that fits; without `disk_gb`, to one with at least the present disk.

    Raises `NotFoundError`, and other domain errors: 403 `role_too_low`; 400 `invalid`, by field; 409 `busy`, `wrong_state`,
    `quota_exceeded`. While it waits to be confirmed, the tenant's quota counts the larger of the two sizes.
    """
    with transaction.atomic():
        vm = lock_vm(scope, vm_id, Role.ADMIN)
        command = ResizeVmCommand(str(vm.pk), flavor_id="")
        refuse_by_state(vm, command)
        boot = Volume.objects.filter(vm=vm, is_boot=True).first()
        catalogue = Catalogue(Placement(vm.account, vm.region), vm.information_system)
        flavor = choose_flavor(
            vm, catalogue, cpu_cores, memory_gb, disk_gb, boots_from_volume=boot is not None
        )
        command.flavor_id = flavor.cloud_id
        size = flavor_size_columns(flavor, boot_disk_gb=vm.disk_gb if boot else None)
        if engine.lock_holder(vm.lock_key) is None:
            require_quota(
                vm.information_system.tenant,
                Needs(
                    cpu_cores=max(0, size["cpu_cores"] - vm.cpu_cores),
                    memory_gb=max(0, size["memory_gb"] - vm.memory_gb),
                    disk_gb=max(0, size["disk_gb"] - vm.disk_gb),
                ),
            )
        result = submit_vm_command(scope, vm, command, dry_run=dry_run)
        if result.job is not None and result.changed:
            vm.resize = Resize.objects.create(vm=vm, flavor_id=flavor.cloud_id, **size)
        return result


def choose_flavor(
    vm: VirtualMachine,
    catalogue: Catalogue,
    cpu_cores: int,
    memory_gb: int,
    disk_gb: int | None,
    *,
    boots_from_volume: bool,
) -> CloudResource:
    """Return the smallest flavor that fits. Raises 400 `invalid`, by field."""
    if disk_gb is not None and boots_from_volume and disk_gb != vm.disk_gb:
        raise InvalidFieldsError(
            {"disk_gb": [_("The VM boots from a volume, whose size a resize does not change.")]}
        )
    if disk_gb is not None and disk_gb < vm.disk_gb:
        smaller = _("A disk can't shrink; it has %(now)s GiB.") % {"now": vm.disk_gb}
        raise InvalidFieldsError({"disk_gb": [smaller]})
    disk = 0 if boots_from_volume else disk_gb if disk_gb is not None else vm.disk_gb
    flavor = catalogue.find_smallest_flavor(cpu_cores, memory_gb, disk)
    if flavor is None:
        raise InvalidFieldsError(
            {"cpu_cores": [catalogue.describe_missing_flavor(cpu_cores, memory_gb, disk)]}
        )
    if flavor.name == vm.flavor_name:
        message = _("The VM already has '%(name)s', the smallest flavor that fits.")
        raise InvalidFieldsError({"cpu_cores": [message % {"name": flavor.name}]})
    return flavor


def confirm_due_resizes(limit: int = 500) -> int:
    """Confirm resizes whose confirmation period is over; return how many.

    Safe beside a person who confirms or reverts at the same moment: the rows are locked, and one that is busy is
    skipped.
    """
    with transaction.atomic():
        due = VirtualMachine.objects.for_display().filter(resize__confirms_at__lt=timezone.now())
        due = due.exclude(status__in=[VMStatus.REMOVED, VMStatus.ERROR])
        vms = list(due.order_by("pk").select_for_update(of=("self",), skip_locked=True)[:limit])
        answers = engine.submit_many(build_specs(ConfirmResizeCommand, vms), mode="valid")
        return touch_submitted_vms(vms, answers)
