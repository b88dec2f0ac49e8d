"""The reasons against deleting a VM that do not depend on its power state: for its deletion, and for its way into the bin."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from django.db.models import Count

from api.messages import message as _
from tasks.command import Refusal
from volumepool.models import Volume, VolumeSnapshot

from .models import VirtualMachine, VMSnapshot
from .removal_guards import collect_guard_refusals

MAX_NAMED_VOLUMES = 10


@dataclass(frozen=True, slots=True)
class RemovalCheck:
    """The reasons against deleting a VM, and those against deleting its volumes with it."""

    of_vm: list[Refusal] = field(default_factory=list)
    of_volumes: list[Refusal] = field(default_factory=list)


def check_removals(vms: Sequence[VirtualMachine]) -> dict[UUID, RemovalCheck]:
    """Check the deletion of locked VMs. The number of statements does not depend on their number."""
    ids = [vm.pk for vm in vms]
    guarded = collect_guard_refusals(ids)
    snapshots = _count_snapshots(ids)
    protected: dict[UUID, list[str]] = defaultdict(list)
    volumes = Volume.objects.filter(vm__in=ids, deletion_protection=True).order_by("name")
    for vm_id, name in volumes.values_list("vm_id", "name"):
        protected[vm_id].append(name)
    return {
        vm.pk: RemovalCheck(
            [*_list_protection_refusals(vm), *guarded[vm.pk]],
            [*_list_snapshot_refusals(snapshots.get(vm.pk, 0)), *_list_volume_refusals(protected[vm.pk])],
        )
        for vm in vms
    }


def list_disk_refusals(vm: VirtualMachine) -> list[Refusal]:
    """Return the reasons against the loss of a VM's root disk.

    Deletion protection keeps the data of the disk too, that of the VM and that of the volume that it boots from. What runs on
    the VM would be lost with the disk.
    """
    boot = Volume.objects.filter(vm=vm, is_boot=True, deletion_protection=True).order_by("name")
    message = _("Deletion protection is on for its boot volume '%(name)s'. Turn it off first.")
    return [
        *_list_protection_refusals(vm),
        *(Refusal("protected", message % {"name": name}) for name in boot.values_list("name", flat=True)),
        *collect_guard_refusals([vm.pk])[vm.pk],
    ]


def _count_snapshots(ids: Iterable[UUID]) -> dict[UUID, int]:
    """Return the number of snapshots of each VM's volumes, by VM."""
    counts: dict[UUID, int] = defaultdict(int)
    of_vms = VMSnapshot.objects.filter(vm_id__in=ids).exclude(volume_snapshots=[])
    of_volumes = VolumeSnapshot.objects.filter(volume__vm__in=ids)
    for vm_id, count in of_vms.order_by().values_list("vm_id").annotate(Count("pk")):
        counts[vm_id] += count
    for vm_id, count in of_volumes.order_by().values_list("volume__vm").annotate(Count("pk")):
        counts[vm_id] += count
    return counts


def _list_protection_refusals(vm: VirtualMachine) -> list[Refusal]:
    if not vm.deletion_protection:
        return []
    message = _("Deletion protection is on for VM '%(name)s'. Turn it off first.")
    return [Refusal("protected", message % {"name": vm.name})]


def _list_snapshot_refusals(count: int) -> list[Refusal]:
    if not count:
        return []
    message = _("Its volumes have %(count)s snapshots. Delete them first, or keep the volumes.")
    return [Refusal("has_snapshots", message % {"count": count}, field="volumes")]


def _list_volume_refusals(names: list[str]) -> list[Refusal]:
    if not names:
        return []
    message = _(
        "Deletion protection is on for its volumes: %(names)s. Turn it off first, or keep the volumes."
    )
    shown = ", ".join(names[:MAX_NAMED_VOLUMES]) + (" …" if len(names) > MAX_NAMED_VOLUMES else "")
    return [Refusal("protected", message % {"names": shown}, field="volumes")]
