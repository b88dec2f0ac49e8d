"""What is known about the servers and volumes that are to be adopted, and the reasons against it.

Everything is read from the portal's own tables, in a number of statements that does not depend on the number of objects.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.conf import settings
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from api.domain_errors import ConflictError, DomainError, NotFoundError
from cloudaccounts.models import CloudAccount, CloudResource, ReleasedObject, ResourceLink
from tasks.models import EntityLock
from tenants.models import Tenant
from tenants.quotas import Needs
from tenants.scoping import Scope
from volumepool.models import OrphanVolume, SpareVolume, Volume

from ..models import VM_STATUS_BY_SERVER_STATUS, Orphan, VirtualMachine, VMStatus, size_columns
from .unmanaged import SERVER, VOLUME

# The tag of a server that the portal has created, before the id of its VM (`commands/server.py`).
_VM_TAG = "portal-vm-"
# Nova is changing a server in these, or a person has yet to confirm a resize that the portal knows nothing of.
_CHANGING_SERVERS = frozenset(
    {"BUILD", "REBUILD", "RESIZE", "VERIFY_RESIZE", "REVERT_RESIZE", "MIGRATING", "PASSWORD"}
)
# The metadata by which servers, volumes and spares are found again.
_MARKS = ("portal_vm", "portal_volume", "portal_spare")
_DELETED_SERVERS = frozenset({"DELETED", "SOFT_DELETED"})
_DELETING_TASKS = frozenset({"deleting", "soft-deleting"})
_DELETING_VOLUMES = frozenset({"deleting", "error_deleting"})
# Cinder is working on volumes in any other status.
_SETTLED_VOLUMES = frozenset({"available", "in-use", "error"})
# The first disk of a server, under the names that hypervisors give it.
_FIRST_DEVICES = frozenset({"/dev/vda", "/dev/sda", "/dev/xvda", "/dev/hda"})
# What a VM and a volume of the portal may have (`VirtualMachine.Meta.constraints`, `Volume.Meta.constraints`).
_MAX_CORES, _MAX_MEMORY_MB, _MAX_DISK_GB = 64, 512 * 1024, 10_000


@dataclass(slots=True)
class Candidate:
    """A server or volume that is to be adopted. `id` is that of the request; `resource` is None when there is none.

    `new_volumes` are to become rows, each with whether the server boots from it. `linked_volumes` are rows of the tenant's
    already, which the VM gets. `server` is the candidate that a volume goes with, if that is in the same request.
    """

    type: str
    id: str
    resource: CloudResource | None = None
    refusal: DomainError | None = None
    new_volumes: list[tuple[CloudResource, bool]] = field(default_factory=list)
    linked_volumes: list[tuple[Volume, bool]] = field(default_factory=list)
    needs: Needs = field(default_factory=Needs)
    server: Candidate | None = None
    vm: VirtualMachine | None = None
    volumes: list[Volume] = field(default_factory=list)

    @property
    def found(self) -> CloudResource:
        """Return the resource of a candidate that was not refused for having none."""
        assert self.resource is not None
        return self.resource


class Inventory:
    """The portal's rows about some servers and volumes of one account."""

    def __init__(self, account: CloudAccount, candidates: Sequence[Candidate]) -> None:
        self.account = account
        resources = [candidate.resource for candidate in candidates if candidate.resource is not None]
        self._read_links(resources)
        self._read_rows()
        self._read_locks()

    def _read_links(self, resources: Sequence[CloudResource]) -> None:
        servers = [resource for resource in resources if resource.type == SERVER]
        by_pk = {server.pk: server for server in servers}
        links = ResourceLink.objects.filter(source__in=list(by_pk), target_type__in=[VOLUME, "image"])
        attached: dict[UUID, list[str]] = {}
        image_ids: dict[UUID, str] = {}
        for source_id, kind, target in links.order_by("pk").values_list(
            "source_id", "target_type", "target_cloud_id"
        ):
            if kind == VOLUME:
                attached.setdefault(source_id, []).append(target)
            else:
                image_ids[source_id] = target
        asked = [resource for resource in resources if resource.type == VOLUME]
        volume_ids = {volume_id for ids in attached.values() for volume_id in ids}
        related = CloudResource.objects.present().filter(
            account=self.account,
            type__in=[VOLUME, "image"],
            cloud_id__in=[*volume_ids, *image_ids.values()],
        )
        found = {(one.type, one.region, one.cloud_id): one for one in [*asked, *related]}
        self.volume_ids = {one.cloud_id for one in asked} | volume_ids
        self.attached: dict[UUID, list[tuple[str, CloudResource | None]]] = {
            pk: [
                (volume_id, found.get((VOLUME, by_pk[pk].region, volume_id)))
                for volume_id in attached.get(pk, [])
            ]
            for pk in by_pk
        }
        self.boots_from_image = frozenset(image_ids)
        self.images = {
            pk: found.get(("image", by_pk[pk].region, image_id)) for pk, image_id in image_ids.items()
        }
        self.server_ids = {server.cloud_id for server in servers}
        # The servers that the volumes of the request are attached to.
        self.servers_of_volumes: dict[tuple[str, str], str] = {
            (region, volume_id): server_id
            for region, volume_id, server_id in ResourceLink.objects.filter(
                account=self.account,
                target_type=VOLUME,
                target_cloud_id__in=[one.cloud_id for one in asked],
                source__type=SERVER,
                source__expired_at=None,
            ).values_list("region", "target_cloud_id", "source__cloud_id")
        }
        self.marked_ids = {mark for one in [*resources, *related] for mark in _read_marks(one)}
        self.flavors = {
            (region, name)
            for region, *names in CloudResource.objects.present()
            .filter(account=self.account, type="flavor")
            .values_list("region", "name", "cloud_id")
            for name in names
        }

    def _read_rows(self) -> None:
        owner = "information_system__tenant"
        server_ids = {*self.server_ids, *self.servers_of_volumes.values()}
        self.vms = {
            str(vm.openstack_id): vm
            for vm in VirtualMachine.objects.filter(openstack_id__in=server_ids).select_related(owner)
        }
        self.volumes = {
            str(volume.volume_id): volume
            for volume in Volume.objects.filter(volume_id__in=self.volume_ids).select_related(owner)
        }
        spares = SpareVolume.objects.filter(volume_id__in=self.volume_ids)
        self.spare_ids = set(spares.values_list("volume_id", flat=True))
        creating: set[UUID] = set()
        for rows in (
            VirtualMachine.objects.filter(openstack_id=None),
            Volume.objects.filter(volume_id=None),
            SpareVolume.objects.filter(volume_id=None),
        ):
            creating.update(rows.filter(pk__in=self.marked_ids).values_list("pk", flat=True))
        self.creating = creating
        cloud_ids = [*self.server_ids, *self.volume_ids]
        self.released = {one.cloud_id: one for one in ReleasedObject.objects.filter(cloud_id__in=cloud_ids)}
        # Locked, so that nobody submits the deletion of an orphan while it is adopted (`services/orphans.py`).
        orphans = Orphan.objects.filter(cloud_id__in=cloud_ids).order_by("pk").select_for_update(of=("self",))
        self.orphans = {one.cloud_id: one for one in orphans}
        # A pool's volume that somebody uses without the portal never becomes a spare again.
        taken = OrphanVolume.objects.filter(volume_id__in=self.volume_ids, is_taken=True)
        self.taken_ids = set(taken.values_list("volume_id", flat=True))

    def _read_locks(self) -> None:
        keys = [
            *(f"orphan:{one.pk}" for one in self.orphans.values()),
            *(volume.lock_key for volume in self.volumes.values()),
            *(vm.lock_key for vm in self.vms.values()),
        ]
        self.held_keys = set(EntityLock.objects.filter(key__in=keys).values_list("key", flat=True))


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
        if _read_marks(resource) & self.inventory.creating:
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
            candidate.vm = vm
        candidate.new_volumes.append((volume, False))
        candidate.needs = Needs(disk_gb=_read_size(volume))
        return None

    def _check_free_volume(self, volume: CloudResource) -> DomainError | None:
        """Return the reason against a row for a volume that no tenant has."""
        attributes = volume.attributes
        metadata = attributes.get("metadata")
        is_pools = isinstance(metadata, dict) and metadata.get("portal_pool") == settings.CLOUD_TAG
        is_let_go = volume.cloud_id in self.inventory.released or volume.cloud_id in self.inventory.taken_ids
        if volume.cloud_id in self.inventory.spare_ids or (is_pools and not is_let_go):
            return _refuse(
                "in_pool", _("It is a spare volume of a pool. Claim a volume of the pool instead.")
            )
        if volume.status in _DELETING_VOLUMES:
            return _refuse("being_removed", _("It is being deleted."))
        if volume.status not in _SETTLED_VOLUMES:
            message = _("The cloud is still changing it (%(status)s). Wait until it has finished, and sync.")
            return _refuse("wrong_state", message % {"status": volume.status})
        if not 1 <= _read_size(volume) <= _MAX_DISK_GB:
            message = _("Its size of %(size)s GiB is not one that the portal manages: 1 to 10000 GiB.")
            return _refuse("too_large", message % {"size": _read_size(volume)})
        return None

    def _measure_server(self, candidate: Candidate, server: CloudResource) -> Needs:
        """Return what the rows of a server and its volumes add to the quota, as `tenants/quotas.py` counts them."""
        columns = candidate_size_columns(candidate, server)
        disk_gb = columns["disk_gb"]
        disk_gb += sum(_read_size(volume) for volume, is_boot in candidate.new_volumes if not is_boot)
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
    boot_gb = [_read_size(volume) for volume, is_boot in candidate.new_volumes if is_boot]
    boot_gb += [row.size_gb for row, is_boot in candidate.linked_volumes if is_boot]
    disk_gb = boot_gb[0] if boot_gb else attributes["disk_gb"]
    return size_columns(attributes["vcpus"], attributes["memory_mb"], disk_gb, attributes["flavor"])


def read_metadata(resource: CloudResource) -> dict[str, str]:
    """Return a resource's metadata without the portal's own keys."""
    metadata = resource.attributes.get("metadata")
    found: Mapping[Any, Any] = metadata if isinstance(metadata, dict) else {}
    return {str(name): str(value) for name, value in found.items() if not str(name).startswith("portal_")}


def _read_size(volume: CloudResource) -> int:
    size = volume.attributes.get("size_gb")
    return size if isinstance(size, int) else 0


def _read_marks(resource: CloudResource) -> set[UUID]:
    """Return the ids of the rows that the portal has created a server or volume for, as the object carries them."""
    metadata, tags = resource.attributes.get("metadata"), resource.attributes.get("tags")
    marks: list[Any] = [metadata.get(name) for name in _MARKS] if isinstance(metadata, dict) else []
    marks += [str(tag).removeprefix(_VM_TAG) for tag in (tags if isinstance(tags, list) else [])]
    found = set()
    for mark in marks:
        with suppress(ValueError, TypeError, AttributeError):
            found.add(UUID(mark))
    return found


def _refuse(code: str, message: str | Promise) -> ConflictError:
    return ConflictError(code, message)


def sum_needs(candidates: Iterable[Candidate]) -> Needs:
    """Return what some candidates need together."""
    all_needs = [candidate.needs for candidate in candidates]
    return Needs(*(sum(getattr(needs, name) for needs in all_needs) for name in Needs.__dataclass_fields__))


def status_of_server(server: CloudResource) -> VMStatus:
    """Return the status of a server in the inventory as that of a VM."""
    return VM_STATUS_BY_SERVER_STATUS.get(server.status.upper(), VMStatus.UNKNOWN)
