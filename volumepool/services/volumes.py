"""Claim volumes by type, or create them by size or from a snapshot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from api.domain_errors import InvalidFieldsError
from cloudaccounts.placements import Placement, explain_unusable, require_placement
from cloudaccounts.services.catalogue import list_granted
from tasks import engine
from tasks.models import Job
from tasks.operations import operation
from tasks.queries import insert
from tenants.models import InformationSystem, Tenant
from tenants.quotas import Needs, require_quota
from tenants.scoping import Role, Scope

from ..commands.claims import ClaimVolumesCommand
from ..models import SpareVolume, Volume, VolumePool, VolumeSnapshot
from .claims import build_volume, choose_pool, claim_spares


@dataclass(frozen=True, slots=True)
class ClaimRequest:
    """A claim of `count` volumes of a type, some of which the tenant may have already.

    `volume_ids` are Cinder's ids: "" for a new volume; the id of a spare to claim it; the id of one of the tenant's volumes
    to replace it if it is in error, and else to keep it. New volumes fill up to `count`.
    """

    information_system: UUID
    type: str
    count: int = 1
    volume_ids: Sequence[str] = ()
    name: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class VolumeCreationRequest:
    """A request for `count` volumes of a size, blank or copied from one of the tenant's snapshots.

    Without a size, they have that of the snapshot. Copies are created in the snapshot's account and region.
    """

    information_system: UUID
    size_gb: int | None = None
    snapshot: UUID | None = None
    count: int = 1
    volume_type: str = ""
    name: str = ""
    account: int | None = None
    region: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class ClaimResult:
    """The volumes, in the order of the request, and the job that processes the new ones; None when all were kept."""

    volumes: list[Volume] = field(default_factory=list)
    job: Job | None = None


@operation("volumepool.claim_volumes", ClaimVolumesCommand, dataclass_types=[ClaimRequest])
def claim_volumes(*, scope: Scope, request: ClaimRequest) -> ClaimResult:
    """Claim volumes of a type for a tenant, in one transaction: spares become the tenant's, the rest is to be created.

    Raises `DomainError`: 403 `role_too_low`; 400 `invalid`, by field; 409 `quota_exceeded`, `busy`, `taken`.
    """
    scope.require(Role.ADMIN, Volume)
    owner = get_information_system(scope, request.information_system)
    pool = choose_pool(owner, request.type)
    slots = [*request.volume_ids, *[""] * (request.count - len(request.volume_ids))]
    with transaction.atomic():
        kept, replaced, named = _classify_ids(scope, owner, pool, slots)
        new = [slot for slot in slots if slot not in kept]
        if not new:
            return ClaimResult([kept[slot] for slot in slots])
        # The present usage includes the replaced volumes, whose size will be freed.
        freed = sum(volume.size_gb for volume in replaced)
        require_quota(owner.tenant, Needs(disk_gb=len(new) * pool.size_gb - freed))
        claimed = {spare.volume_id: spare for spare in claim_spares(pool, len(new) - len(named), named)}
        unnamed = (spare for volume_id, spare in claimed.items() if volume_id not in named)
        spares = [claimed[slot] if slot in named else next(unnamed, None) for slot in new]
        names = _build_names(request.name or request.type, len(new))
        volumes = [build_volume(pool, owner, name, spare) for name, spare in zip(names, spares, strict=True)]
        for volume in volumes:
            volume.tags = dict(request.tags)
        insert(volumes)
        command = ClaimVolumesCommand(
            taken=[
                [str(volume.pk), spare.volume_id, spare.name]
                for volume, spare in zip(volumes, spares, strict=True)
                if spare is not None
            ],
            made=[str(volume.pk) for volume in volumes if volume.source == Volume.Source.CREATED],
            replaced=[str(volume.pk) for volume in replaced],
            snapshot_id=pool.source_snapshot_id,
            image_id=pool.image_id,
            name=volumes[0].name,
        )
        job = engine.submit(command, tenant=owner.tenant, user=scope.user).job
        new_volumes = iter(volumes)
        return ClaimResult([kept[slot] if slot in kept else next(new_volumes) for slot in slots], job)


@operation("volumepool.create_volumes", ClaimVolumesCommand, dataclass_types=[VolumeCreationRequest])
def create_volumes(*, scope: Scope, request: VolumeCreationRequest) -> ClaimResult:
    """Create volumes of a size, blank or copied from a snapshot.

    Raises `DomainError`: 403 `role_too_low`; 400 `invalid`, by field; 409 `quota_exceeded`, `busy`.
    """
    scope.require(Role.ADMIN, Volume)
    owner = get_information_system(scope, request.information_system)
    with transaction.atomic():
        snapshot = _lock_snapshot(scope, owner, request) if request.snapshot else None
        if snapshot:
            place = Placement(snapshot.account, snapshot.region)
        else:
            place = require_placement(
                owner.tenant,
                request.account,
                request.region,
                default_account_id=owner.default_account_id,
            )
        if snapshot and (wrong := explain_unusable(snapshot.account)):
            raise InvalidFieldsError({"snapshot": [wrong]})
        if wrong := explain_unknown_volume_type(owner.tenant, place, request.volume_type):
            raise InvalidFieldsError({"volume_type": [wrong]})
        size_gb = request.size_gb or (snapshot.size_gb if snapshot else 0)
        if snapshot and size_gb < snapshot.size_gb:
            message = _("The snapshot has %(size)s GB. A copy can't be smaller.")
            raise InvalidFieldsError({"size_gb": [message % {"size": snapshot.size_gb}]})
        require_quota(owner.tenant, Needs(disk_gb=request.count * size_gb))
        volumes = Volume.objects.bulk_create(
            Volume(
                information_system=owner,
                account=place.account,
                region=place.region,
                name=name,
                size_gb=size_gb,
                type=request.volume_type,
                tags=dict(request.tags),
            )
            for name in _build_names(request.name or (snapshot.name if snapshot else "volume"), request.count)
        )
        command = ClaimVolumesCommand(
            made=[str(volume.pk) for volume in volumes],
            snapshot_id=(snapshot.snapshot_id or "") if snapshot else "",
            name=volumes[0].name,
        )
        return ClaimResult(volumes, engine.submit(command, tenant=owner.tenant, user=scope.user).job)


def get_information_system(scope: Scope, system_id: UUID) -> InformationSystem:
    """Return an information system of the scope. Raises `InvalidFieldsError` when it is not in the scope."""
    systems = InformationSystem.objects.within(scope).select_related("tenant")
    owner: InformationSystem | None = systems.filter(pk=system_id).first()
    if owner is None:
        message = _("Information system not found: '%(id)s'.") % {"id": system_id}
        raise InvalidFieldsError({"information_system": [message]})
    return owner


def _build_names(stem: str, count: int) -> list[str]:
    return [stem[:200] if count == 1 else f"{stem[:190]}-{number}" for number in range(1, count + 1)]


def _classify_ids(
    scope: Scope, system: InformationSystem, pool: VolumePool, slots: Sequence[str]
) -> tuple[dict[str, Volume], list[Volume], list[str]]:
    """Classify ids as volumes to keep (by id), volumes in error to replace, and the ids of spares."""
    ids = [slot for slot in slots if slot]
    if not ids:
        return {}, [], []
    own = Volume.objects.within(scope).filter(information_system=system, volume_id__in=ids)
    volumes = {str(volume.volume_id): volume for volume in own.select_for_update(of=("self",))}
    free = SpareVolume.objects.claimable().filter(pool=pool, volume_id__in=ids)
    spares = {str(found) for found in free.values_list("volume_id", flat=True)}
    unknown_ids = [volume_id for volume_id in ids if volume_id not in volumes and volume_id not in spares]
    if unknown_ids or len(set(ids)) < len(ids):
        message = (
            _(
                "Volume not found: '%(id)s'. It is neither a volume of this information system nor a spare of this type."
            )
            % {"id": unknown_ids[0][:64]}
            if unknown_ids
            else _("The same volume is listed twice.")
        )
        raise InvalidFieldsError({"volume_ids": [message]})
    if binned := [volume for volume in volumes.values() if volume.is_in_bin]:
        message = _("The volume '%(id)s' is in the bin. Restore it first.")
        raise InvalidFieldsError({"volume_ids": [message % {"id": binned[0].volume_id}]})
    replaced = [volume for volume in volumes.values() if volume.status.startswith("error")]
    if protected := [volume for volume in replaced if volume.deletion_protection]:
        message = _(
            "The volume '%(id)s' is in error, but deletion protection is on for it. Turn it off first."
        )
        raise InvalidFieldsError({"volume_ids": [message % {"id": protected[0].volume_id}]})
    attached = [volume for volume in replaced if volume.vm_id is not None]
    if attached:
        message = _("The volume '%(id)s' is in error, but attached to a VM. Detach it first.")
        raise InvalidFieldsError({"volume_ids": [message % {"id": attached[0].volume_id}]})
    kept = {key: volume for key, volume in volumes.items() if volume not in replaced}
    return kept, replaced, sorted(spares)


def _lock_snapshot(scope: Scope, system: InformationSystem, request: VolumeCreationRequest) -> VolumeSnapshot:
    """Return the tenant's snapshot, locked, so that it is not deleted while copies of it are submitted."""
    snapshots = VolumeSnapshot.objects.within(scope).select_related("account")
    found: VolumeSnapshot | None = (
        snapshots.filter(information_system__tenant=system.tenant_id)
        .select_for_update(of=("self",))
        .filter(pk=request.snapshot)
        .first()
    )
    if found is None:
        raise InvalidFieldsError(
            {"snapshot": [_("Snapshot not found: '%(id)s'.") % {"id": request.snapshot}]}
        )
    if found.status != "available":
        message = _("The snapshot is '%(status)s'. It has to be available.") % {"status": found.status}
        raise InvalidFieldsError({"snapshot": [message]})
    if request.account not in {None, found.account_id} or request.region not in {"", found.region}:
        raise InvalidFieldsError({"snapshot": [_("The snapshot is in another cloud account or region.")]})
    return found


def explain_unknown_volume_type(tenant: Tenant, place: Placement, volume_type: str) -> str | None:
    """Return why a tenant cannot use a volume type: the last sync has not found it, or it was not granted. None for a usable one, and for ""."""
    if not volume_type:
        return None
    granted = list_granted(tenant, place.account, region=place.region).filter(type="volume_type")
    known = sorted(granted.values_list("name", flat=True))
    if volume_type in known:
        return None
    message = _("Unknown volume type '%(type)s'. Available: %(known)s.")
    return message % {"type": volume_type, "known": ", ".join(known) or "-"}
