"""The rows that go where a VM goes, when it moves to another application or is released."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from api.domain_errors import ConflictError, DomainError
from api.messages import message as _
from tasks import engine
from tenants.quotas import Needs
from volumepool.models import GONE, Volume, VolumeSnapshot

from ..models import Resize, VirtualMachine, VMSnapshot
from ..removal_guards import collect_guard_refusals


@dataclass(frozen=True, slots=True)
class Belongings:
    """A locked VM, with the locked rows that go with it."""

    vm: VirtualMachine
    volumes: list[Volume] = field(default_factory=list)
    volume_snapshots: list[VolumeSnapshot] = field(default_factory=list)
    vm_snapshots: list[VMSnapshot] = field(default_factory=list)

    @property
    def lock_keys(self) -> list[str]:
        """Return the keys of the engine's locks on the VM and on all of these."""
        keys = [self.vm.lock_key, *(volume.lock_key for volume in self.volumes)]
        keys += [snapshot.lock_key for snapshot in self.volume_snapshots]
        return keys + [snapshot.lock_key for snapshot in self.vm_snapshots]

    def measure(self) -> Needs:
        """Return what the VM and these count, as `tenants/quotas.py` counts them."""
        volumes = [volume for volume in self.volumes if not volume.is_boot and volume.status != GONE]
        disk_gb = self.vm.disk_gb
        disk_gb += sum(max(volume.size_gb, volume.extending_to_gb or 0) for volume in volumes)
        disk_gb += sum(snapshot.size_gb for snapshot in self.volume_snapshots if snapshot.status != GONE)
        return Needs(1, self.vm.cpu_cores, self.vm.memory_gb, disk_gb)


def lock_belongings(vms: Sequence[VirtualMachine]) -> dict[UUID, Belongings]:
    """Lock and return what goes with some locked VMs, by the VM's id.

    The order of the locks is the same in every request: VMs, volumes, snapshots, each by their keys.
    """
    found = {vm.pk: Belongings(vm) for vm in vms}
    volumes = Volume.objects.filter(vm__in=found).select_related("account").order_by("pk")
    owners: dict[UUID, Belongings] = {}
    for volume in volumes.select_for_update(of=("self",)):
        assert volume.vm_id is not None
        owners[volume.pk] = found[volume.vm_id]
        owners[volume.pk].volumes.append(volume)
    snapshots = VolumeSnapshot.objects.filter(volume__in=owners).order_by("pk")
    for snapshot in snapshots.select_for_update(of=("self",)):
        owners[snapshot.volume_id].volume_snapshots.append(snapshot)
    images = VMSnapshot.objects.filter(vm_id__in=found).order_by("pk")
    for image in images.select_for_update(of=("self",)):
        if image.account_id == found[image.vm_id].vm.account_id:
            found[image.vm_id].vm_snapshots.append(image)
    return found


def find_unsettled(belongings: Mapping[UUID, Belongings]) -> dict[UUID, DomainError]:
    """Return the reasons against VMs that a job holds, or something that goes with them, and that wait for a resize's end."""
    holders = engine.lock_holders([key for one in belongings.values() for key in one.lock_keys])
    resizing = set(Resize.objects.filter(vm__in=belongings).values_list("vm_id", flat=True))
    refusals: dict[UUID, DomainError] = {}
    for pk, one in belongings.items():
        if held := [holders[key] for key in one.lock_keys if key in holders]:
            refusals[pk] = engine.BusyError(held[0])
        elif one.vm.openstack_id is None:
            message = _("This VM has no server in the cloud yet.")
            refusals[pk] = ConflictError("not_bound", message)
        elif pk in resizing:
            message = _("A resize waits to be confirmed. Confirm or revert it first.")
            refusals[pk] = ConflictError("resize_pending", message)
    return refusals


def find_used(vm_ids: Sequence[UUID]) -> dict[UUID, DomainError]:
    """Return the reasons against VMs on which a room above depends, as a deletion has them."""
    found = collect_guard_refusals(vm_ids)
    return {pk: engine.NotValidError(refusals) for pk, refusals in found.items() if refusals}
