"""What the portal's own tables hold about the servers and volumes that are to be adopted.

Everything is read in a number of statements that does not depend on the number of objects.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db.models import Q

from api.domain_errors import DomainError
from cloudaccounts.models import CloudAccount, CloudResource, ReleasedObject, ResourceLink
from tasks.models import EntityLock
from tenants.quotas import Needs
from volumepool.models import OrphanVolume, SpareVolume, Volume, VolumePool

from ..models import Orphan, VirtualMachine
from .unmanaged import SERVER, VOLUME

# The tag of a server that the portal has created, before the id of its VM (`commands/server.py`).
_VM_TAG = "portal-vm-"
# The metadata by which servers, volumes and spares are found again.
_MARKS = ("portal_vm", "portal_volume", "portal_spare")


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
        requested = [resource for resource in resources if resource.type == VOLUME]
        volume_ids = {volume_id for ids in attached.values() for volume_id in ids}
        related = CloudResource.objects.present().filter(
            account=self.account,
            type__in=[VOLUME, "image"],
            cloud_id__in=[*volume_ids, *image_ids.values()],
        )
        found = {(one.type, one.region, one.cloud_id): one for one in [*requested, *related]}
        self.volume_ids = {one.cloud_id for one in requested} | volume_ids
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
                target_cloud_id__in=[one.cloud_id for one in requested],
                source__type=SERVER,
                source__expired_at=None,
            ).values_list("region", "target_cloud_id", "source__cloud_id")
        }
        self.marked_ids = {mark for one in [*resources, *related] for mark in read_marks(one)}
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
        # Locked, VMs before volumes as in every other use case: a job is only submitted, and a volume is only attached or
        # moved to the bin, under the lock of its row. So what is read here still holds when the new rows are written.
        vms = VirtualMachine.objects.filter(openstack_id__in=server_ids).select_related(owner).order_by("pk")
        self.vms = {str(vm.openstack_id): vm for vm in vms.select_for_update(of=("self",))}
        volumes = Volume.objects.filter(volume_id__in=self.volume_ids).select_related(owner).order_by("pk")
        self.volumes = {str(volume.volume_id): volume for volume in volumes.select_for_update(of=("self",))}
        pools = VolumePool.objects.filter(account=self.account)
        sources = ResourceLink.objects.filter(
            account=self.account,
            target_type=VOLUME,
            target_cloud_id__in=self.volume_ids,
            source__type="snapshot",
        ).filter(
            Q(source__cloud_id__in=pools.exclude(current_snapshot_id="").values("current_snapshot_id"))
            | Q(source__cloud_id__in=pools.exclude(snapshot_id="").values("snapshot_id"))
        )
        # A pool copies no snapshot of a tenant's volume, so a volume that it copies can't become one.
        self.pool_source_ids = set(sources.values_list("target_cloud_id", flat=True))
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


def read_metadata(resource: CloudResource) -> dict[str, str]:
    """Return a resource's metadata without the portal's own keys."""
    metadata = resource.attributes.get("metadata")
    found: Mapping[Any, Any] = metadata if isinstance(metadata, dict) else {}
    return {str(name): str(value) for name, value in found.items() if not str(name).startswith("portal_")}


def read_size(volume: CloudResource) -> int:
    size = volume.attributes.get("size_gb")
    return size if isinstance(size, int) else 0


def read_marks(resource: CloudResource) -> set[UUID]:
    """Return the ids of the rows that the portal has created a server or volume for, as the object carries them."""
    metadata, tags = resource.attributes.get("metadata"), resource.attributes.get("tags")
    marks: list[Any] = [metadata.get(name) for name in _MARKS] if isinstance(metadata, dict) else []
    marks += [str(tag).removeprefix(_VM_TAG) for tag in (tags if isinstance(tags, list) else [])]
    found = set()
    for mark in marks:
        with suppress(ValueError, TypeError, AttributeError):
            found.add(UUID(mark))
    return found
