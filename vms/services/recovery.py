"""Rescue VMs, and rebuild them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from api.domain_errors import InvalidFieldsError
from cloudaccounts.models import CloudResource
from cloudaccounts.placements import Placement
from tasks.operations import operation
from tenants.scoping import Role, Scope
from volumepool.models import Volume

from ..catalogue import Catalogue
from ..commands.rebuild import RebuildVmCommand
from ..models import VirtualMachine
from .bulk import ControlResult, run_bulk_action
from .control import PowerRequest
from .locked_vms import lock_vm, refuse_by_state, submit_vm_command


@operation("vms.rescue")
def rescue_vm(*, scope: Scope, vm_id: UUID, image: str = "", dry_run: bool = False) -> ControlResult:
    """Boot a VM from a rescue image, by default from the image that its server was built from.

    Raises `NotFoundError`, and other domain errors: 403 `role_too_low`; 409 as `control_vm`; 400 `invalid` for an image that the tenant is not
    granted, and for none where the VM has none of its own.
    """
    with transaction.atomic():
        vm = lock_vm(scope, vm_id, Role.OPERATOR)
        request = PowerRequest("rescue", image_id=image)
        (plan,) = request.plan([vm])
        if plan.refusal is not None:
            raise plan.refusal
        if plan.command is not None:
            refuse_by_state(vm, plan.command)
            _choose_rescue_image(vm, image)
        (result,) = run_bulk_action(scope=scope, vm_ids=[vm.pk], action=request, dry_run=dry_run)
        if result.refusal is not None:
            raise result.refusal
        return result


@operation("vms.rebuild", RebuildVmCommand)
def rebuild_vm(
    *,
    scope: Scope,
    vm_id: UUID,
    image: str = "",
    keep_key: bool = True,
    keep_user_data: bool = True,
    dry_run: bool = False,
) -> ControlResult:
    """Write a VM's root disk anew from an image, by default from the one that its server has. The disk's content is lost.

    Raises `NotFoundError`, and other domain errors: 403 `role_too_low`; 409 `busy`, `in_bin`, `not_bound`, `wrong_state`, `protected`, `has_instances`;
    400 `invalid` for an image that the tenant is not granted, or that does not fit the VM.
    """
    with transaction.atomic():
        vm = lock_vm(scope, vm_id, Role.ADMIN)
        command = RebuildVmCommand(str(vm.pk), image, keep_key=keep_key, keep_user_data=keep_user_data)
        refuse_by_state(vm, command)
        if (chosen := _choose_image_to_rebuild(vm, image)) is not None:
            command.columns = build_image_columns(chosen)
        return submit_vm_command(scope, vm, command, dry_run=dry_run)


def build_image_columns(image: CloudResource) -> dict[str, Any]:
    """Return the VM's columns of the image on its disk."""
    attributes = image.attributes
    return {
        "image_name": image.name[:255],
        "os_type": str(attributes.get("os_distro") or attributes.get("os_type") or "")[:50],
        "os_version": str(attributes.get("os_version") or "")[:50],
    }


def _choose_rescue_image(vm: VirtualMachine, image_id: str) -> None:
    """Raise 400 for an image that cannot rescue the VM."""
    if not image_id:
        if Volume.objects.filter(vm=vm, is_boot=True).exists():
            raise _image_error(_("The VM boots from a volume. Choose an image to rescue it with."))
        return
    catalogue = Catalogue(Placement(vm.account, vm.region), vm.information_system)
    image = _find_image(catalogue, image_id)
    if _is_volume_backed(catalogue, image):
        raise _image_error(
            _("The image '%(image)s' is a snapshot of a volume, which can't rescue a VM.")
            % {"image": image.name}
        )


def _choose_image_to_rebuild(vm: VirtualMachine, image_id: str) -> CloudResource | None:
    """Return the image to rebuild a VM from; None for the one that it has. Raises 400 by field."""
    if not image_id:
        if Volume.objects.filter(vm=vm, is_boot=True).exists():
            raise _image_error(_("The VM boots from a volume and has no image of its own. Choose an image."))
        return None
    catalogue = Catalogue(Placement(vm.account, vm.region), vm.information_system)
    image = _find_image(catalogue, image_id)
    if _is_volume_backed(catalogue, image):
        message = _(
            "The image '%(image)s' is a snapshot of a volume, which can't be written to another disk."
        )
        raise _image_error(message % {"image": image.name})
    snapshot = catalogue.find_snapshot(image)
    least_disk = max(image.attributes.get("min_disk_gb", 0), snapshot.min_disk_gb if snapshot else 0)
    if least_disk > vm.disk_gb:
        message = _("The image '%(image)s' needs a disk of at least %(least)s GiB; the VM has %(now)s GiB.")
        raise _image_error(message % {"image": image.name, "least": least_disk, "now": vm.disk_gb})
    least_memory = -(-image.attributes.get("min_memory_mb", 0) // 1024)
    if least_memory > vm.memory_gb:
        message = _("The image '%(image)s' needs at least %(least)s GiB of memory; the VM has %(now)s GiB.")
        raise _image_error(message % {"image": image.name, "least": least_memory, "now": vm.memory_gb})
    return image


def list_images(vm: VirtualMachine) -> list[CloudResource]:
    """Return the images that a VM can be rescued or rebuilt with, for a form."""
    catalogue = Catalogue(Placement(vm.account, vm.region), vm.information_system)
    return [image for image in catalogue.images() if not _is_volume_backed(catalogue, image)]


def _find_image(catalogue: Catalogue, image_id: str) -> CloudResource:
    found = next((image for image in catalogue.images() if image.cloud_id == image_id), None)
    if found is None:
        raise _image_error(_("Image not found: %(id)s.") % {"id": image_id})
    return found


def _is_volume_backed(catalogue: Catalogue, image: CloudResource) -> bool:
    snapshot = catalogue.find_snapshot(image)
    return bool(image.attributes.get("is_volume_backed") or (snapshot and snapshot.volume_snapshots))


def _image_error(message: str | Promise) -> InvalidFieldsError:
    return InvalidFieldsError({"image": [message]})
