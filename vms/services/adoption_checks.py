"""The reasons against the adoption of a server or volume, and the rows that the others become."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from api.domain_errors import ConflictError, DomainError, NotFoundError
from cloudaccounts.models import CloudResource
from tenants.models import Tenant
from tenants.quotas import Needs
from tenants.scoping import Scope

from ..actions import IN_BIN
from ..models import VM_STATUS_BY_SERVER_STATUS, VirtualMachine, VMStatus, size_columns
from .adoption_inventory import Candidate, Inventory, read_marks, read_size
from .unmanaged import SERVER, VOLUME

# Nova is changing a server in these, or a person has yet to confirm a resize that the portal knows nothing of.
_CHANGING_SERVERS = frozenset(
    {"BUILD", "REBUILD", "RESIZE", "VERIFY_RESIZE", "REVERT_RESIZE", "MIGRATING", "PASSWORD"}
)
_DELETED_SERVERS = frozenset({"DELETED", "SOFT_DELETED"})
_DELETING_TASKS = frozenset({"deleting", "soft-deleting"})
_DELETING_VOLUMES = frozenset({"deleting", "error_deleting"})
# Cinder is working on volumes in any other status.
_SETTLED_VOLUMES = frozenset({"available", "in-use", "error"})
# The first disk of a server, under the names that hypervisors give it.
_FIRST_DEVICES = frozenset({"/dev/vda", "/dev/sda", "/dev/xvda", "/dev/hda"})
# What a VM and a volume of the portal may have (`VirtualMachine.Meta.constraints`, `Volume.Meta.constraints`).
_MAX_CORES, _MAX_MEMORY_MB, _MAX_DISK_GB = 64, 512 * 1024, 10_000


class CandidateChecker:
    """Checks candidates one after another, and plans the rows of those that pass. It sends no statement."""

    def __init__(self, scope: Scope, tenant: Tenant, inventory: Inventory) -> None:
        self.scope, self.tenant, self.inventory = scope, tenant, inventory
        self._planned: dict[str, Candidate] = {}
        self._shows_owners = VirtualMachine.objects.all().is_open_to(scope.user)

    def check(self, candidate: Candidate) -> None:
        """Write the refusal of a candidate into it, or the volumes that go with it and what it needs of the quota."""
        resource = candidate.resource
        if resource is None:
            candidate.refusal = NotFoundError(
                "not_found", _("The cloud account has no such object: '%(id)s'.") % {"id": candidate.id[:100]}
            )
            return
        planned = self._planned.get(resource.cloud_id)
        if planned is not None and resource.type == VOLUME and planned.type == SERVER:
            candidate.server = planned
            return
        if planned is not None:
            candidate.refusal = _refuse("listed_twice", _("It is listed twice."))
            return
        check = self._check_server if resource.type == SERVER else self._check_volume
        candidate.refusal = self._check_presence(resource) or check(candidate, resource)
        if candidate.refusal is None:
            self._planned[resource.cloud_id] = candidate
            self._planned |= {volume.cloud_id: candidate for volume, _is_boot in candidate.new_volumes}

    def _check_presence(self, resource: CloudResource) -> DomainError | None:
        if resource.expired_at is not None or resource.missing_count:
            return _refuse(
                "expired",
                _("The last sync did not find it in the cloud. Sync the cloud account and try again."),
            )
        if read_marks(resource) & self.inventory.creating:
            return _refuse("busy", _("A task is creating it. Wait for it to end."))
        orphan = self.inventory.orphans.get(resource.cloud_id)
        if orphan is not None and f"orphan:{orphan.pk}" in self.inventory.held_keys:
            return _refuse("being_removed", _("It is being deleted."))
        return None

    def _check_server(self, candidate: Candidate, server: CloudResource) -> DomainError | None:
        vm = self.inventory.vms.get(server.cloud_id)
        if vm is not None:
            return self._refuse_managed(vm.name, vm.information_system.tenant)
        task = str(server.attributes.get("task") or "")
        status = server.status.upper()
        if status in _DELETED_SERVERS or task in _DELETING_TASKS:
            return _refuse("being_removed", _("It is being deleted."))
        if task or status in _CHANGING_SERVERS:
            message = _("The cloud is still changing it (%(status)s). Wait until it has finished, and sync.")
            return _refuse("wrong_state", message % {"status": task or status})
        if refusal := self._check_size(server):
            return refusal
        boot_id = self._find_boot_volume(server)
        for volume_id, volume in self.inventory.attached[server.pk]:
            refusal = self._plan_attached(candidate, volume_id, volume, is_boot=volume_id == boot_id)
            if refusal is not None:
                return _refuse(
                    refusal.code,
                    _("Its volume %(name)s: %(reason)s")
                    % {"name": (volume.name if volume else "") or volume_id, "reason": refusal.detail},
                )
        candidate.needs = self._measure_server(candidate, server)
        return None

    def _check_size(self, server: CloudResource) -> DomainError | None:
        attributes = server.attributes
        flavor = str(attributes.get("flavor") or "")
        cores, memory_mb, disk_gb = (attributes.get(name) for name in ("vcpus", "memory_mb", "disk_gb"))
        figures = (cores, memory_mb, disk_gb)
        if (server.region, flavor) not in self.inventory.flavors or not all(
            isinstance(figure, int) for figure in figures
        ):
            message = _(
                "Its flavor '%(name)s' is not in the account's catalog any more. Resize the server to another flavor first."
            )
            return _refuse("flavor_unknown", message % {"name": flavor[:100]})
        if cores > _MAX_CORES or memory_mb > _MAX_MEMORY_MB or disk_gb > _MAX_DISK_GB:
            return _refuse(
                "too_large",
                _(
                    "It is larger than the portal manages: at most 64 vCPUs, 512 GiB of memory and 10000 GiB of disk."
                ),
            )
        return None

    def _find_boot_volume(self, server: CloudResource) -> str:
        """Return the id of the volume that a server boots from; "" for a server that boots from its image."""
        if server.pk in self.inventory.boots_from_image:
            return ""
        attached = [volume for _id, volume in self.inventory.attached[server.pk] if volume is not None]
        by_device = [one for one in attached if one.attributes.get("device") in _FIRST_DEVICES]
        bootable = [one for one in attached if one.attributes.get("is_bootable") is True]
        for found in (by_device, bootable, attached):
            if len(found) == 1:
                return found[0].cloud_id
        return ""

    def _plan_attached(
        self, candidate: Candidate, volume_id: str, volume: CloudResource | None, *, is_boot: bool
    ) -> DomainError | None:
        """Plan a volume of a server, or return the reason against it."""
        row = self.inventory.volumes.get(volume_id)
        if row is not None:
            if row.information_system.tenant_id != self.tenant.pk:
                return self._refuse_managed(row.name, row.information_system.tenant)
            if row.lock_key in self.inventory.held_keys:
                return _refuse("busy", _("A task is changing it. Wait for it to end."))
            if row.is_in_bin:
                return _refuse("in_bin", _("The volume is in the bin. Restore it first."))
            # A row that is on another VM is left to the sync, which compares Nova with Cinder.
            if row.vm_id is None:
                candidate.linked_volumes.append((row, is_boot))
            return None
        if volume is None:
            message = _(
                "the inventory does not have it. Sync the volumes of the cloud account and try again."
            )
            return _refuse("volume_unknown", message)
        if volume_id in self._planned:
            return _refuse("volume_shared", _("it is attached to another server as well."))
        if refusal := self._check_presence(volume) or self._check_free_volume(volume):
            return refusal
        candidate.new_volumes.append((volume, is_boot))
        return None

    def _check_volume(self, candidate: Candidate, volume: CloudResource) -> DomainError | None:
        row = self.inventory.volumes.get(volume.cloud_id)
        if row is not None:
            return self._refuse_managed(row.name, row.information_system.tenant)
        if refusal := self._check_free_volume(volume):
            return refusal
        server_id = self.inventory.servers_of_volumes.get((volume.region, volume.cloud_id))
        if server_id is not None:
            vm = self.inventory.vms.get(server_id)
            if vm is None or vm.information_system.tenant_id != self.tenant.pk:
                message = _(
                    "It is attached to the server %(server)s. Adopt the server, its volumes go with it."
                )
                return _refuse("attached", message % {"server": server_id})
            if vm.lock_key in self.inventory.held_keys:
                return _refuse("busy", _("A task is changing its VM. Wait for it to end."))
            if vm.is_in_bin:
                # The bin may delete a VM's volumes with it, and nobody has decided that about this one.
                return _refuse("in_bin", IN_BIN)
            candidate.vm = vm
        candidate.new_volumes.append((volume, False))
        candidate.needs = Needs(disk_gb=read_size(volume))
        return None

    def _check_free_volume(self, volume: CloudResource) -> DomainError | None:
        """Return the reason against a row for a volume that no tenant has."""
        attributes = volume.attributes
        metadata = attributes.get("metadata")
        is_pools = isinstance(metadata, dict) and metadata.get("portal_pool") == settings.CLOUD_TAG
        has_left_pool = volume.cloud_id in {*self.inventory.released, *self.inventory.taken_ids}
        if volume.cloud_id in self.inventory.spare_ids or (is_pools and not has_left_pool):
            return _refuse(
                "in_pool", _("It is a spare volume of a pool. Claim a volume of the pool instead.")
            )
        if volume.cloud_id in self.inventory.pool_source_ids:
            return _refuse("in_pool", _("A volume pool copies a snapshot of it. Change the pool first."))
        if volume.status in _DELETING_VOLUMES:
            return _refuse("being_removed", _("It is being deleted."))
        if volume.status not in _SETTLED_VOLUMES:
            message = _("The cloud is still changing it (%(status)s). Wait until it has finished, and sync.")
            return _refuse("wrong_state", message % {"status": volume.status})
        if not 1 <= read_size(volume) <= _MAX_DISK_GB:
            message = _("Its size of %(size)s GiB is not one that the portal manages: 1 to 10000 GiB.")
            return _refuse("too_large", message % {"size": read_size(volume)})
        return None

    def _measure_server(self, candidate: Candidate, server: CloudResource) -> Needs:
        """Return what the rows of a server and its volumes add to the quota, as `tenants/quotas.py` counts them."""
        columns = candidate_size_columns(candidate, server)
        disk_gb = columns["disk_gb"]
        disk_gb += sum(read_size(volume) for volume, is_boot in candidate.new_volumes if not is_boot)
        for row, is_boot in candidate.linked_volumes:
            # It has counted as a data volume until now, and counts as the VM's disk then.
            if is_boot:
                disk_gb -= max(row.size_gb, row.extending_to_gb or 0)
        return Needs(1, columns["cpu_cores"], columns["memory_gb"], disk_gb)

    def _refuse_managed(self, name: str, tenant: Tenant) -> DomainError:
        """Refuse what is managed. Only staff, and the tenant itself, learn as what and by whom."""
        if self._shows_owners:
            message = _("The portal manages it already: %(name)s of %(tenant)s.")
            return _refuse("managed", message % {"name": name, "tenant": tenant.name})
        if tenant.pk == self.tenant.pk:
            return _refuse("managed", _("The portal manages it already: %(name)s.") % {"name": name})
        return _refuse("managed", _("The portal manages it already."))


def candidate_size_columns(candidate: Candidate, server: CloudResource) -> dict[str, Any]:
    """Return the size of a server as the columns of a VM. The disk of one that boots from a volume is that volume."""
    attributes = server.attributes
    boot_gb = [read_size(volume) for volume, is_boot in candidate.new_volumes if is_boot]
    boot_gb += [row.size_gb for row, is_boot in candidate.linked_volumes if is_boot]
    disk_gb = boot_gb[0] if boot_gb else attributes["disk_gb"]
    return size_columns(attributes["vcpus"], attributes["memory_mb"], disk_gb, attributes["flavor"])


def sum_needs(candidates: Iterable[Candidate]) -> Needs:
    """Return what some candidates need together."""
    all_needs = [candidate.needs for candidate in candidates]
    return Needs(*(sum(getattr(needs, name) for needs in all_needs) for name in Needs.__dataclass_fields__))


def status_of_server(server: CloudResource) -> VMStatus:
    """Return the status of a server in the inventory as that of a VM."""
    return VM_STATUS_BY_SERVER_STATUS.get(server.status.upper(), VMStatus.UNKNOWN)


def _refuse(code: str, message: str | Promise) -> ConflictError:
    return ConflictError(code, message)
