"""What must hold of volumes when every job has ended: Cinder and the rows tell the same story.

Everything is read anew: the cloud through its control API, the rows from the database. Each check gives sentences that
name what is wrong; an invariant that holds gives none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings

from tasks.models import ENDED, AsyncTask, EntityLock, Job, JobStatus
from tenants.models import Tenant
from tenants.quotas import measure_usage
from tests.simulated import SimulatedCloud
from vms.models import VirtualMachine
from volumepool.models import GONE, OrphanVolume, SpareVolume, Volume, VolumePool, VolumeSnapshot


@dataclass
class BehindOurBack:
    """What was done to volumes without the portal, by Cinder's ids: what is left of these is left by design."""

    removed: set[str] = field(default_factory=set)
    # Attached or renamed while they were spares: somebody's by now, whom nobody knows.
    taken: set[str] = field(default_factory=set)
    # Renamed while they were a tenant's.
    renamed: set[str] = field(default_factory=set)


@dataclass
class Found:
    """Cinder and database at one moment."""

    volumes: dict[str, dict[str, Any]]
    snapshots: dict[str, dict[str, Any]]
    done: BehindOurBack
    spares: list[SpareVolume] = field(default_factory=lambda: list(SpareVolume.objects.all()))
    owned: list[Volume] = field(
        default_factory=lambda: list(Volume.objects.select_related("information_system"))
    )
    kept: list[VolumeSnapshot] = field(default_factory=lambda: list(VolumeSnapshot.objects.all()))
    jobs: list[Job] = field(default_factory=lambda: list(Job.objects.exclude(kind="tasks.canary")))

    @classmethod
    def of(cls, cloud: SimulatedCloud, done: BehindOurBack | None = None) -> Found:
        """What there is now."""
        objects = cloud.call("GET", "objects")
        volumes, snapshots = ({one["id"]: one for one in objects[kind]} for kind in ("volumes", "snapshots"))
        return cls(volumes, snapshots, done or BehindOurBack())

    @property
    def ours(self) -> dict[str, dict[str, Any]]:
        """The volumes in Cinder that carry a mark of ours."""
        tag = settings.CLOUD_TAG
        return {
            key: one
            for key, one in self.volumes.items()
            if tag in {one["metadata"].get("portal"), one["metadata"].get("portal_pool")}
        }


def check(cloud: SimulatedCloud, done: BehindOurBack | None = None) -> dict[str, list[str]]:
    """Every invariant, with what is wrong with it."""
    found = Found.of(cloud, done)
    return {
        "every volume of ours in Cinder belongs to one row": list(unexplained(found)),
        "every row has its volume, and none is unbound": list(without_volume(found)),
        "no volume is in two rows": list(in_two_rows(found)),
        "every spare can be claimed, and is what its row says": list(unusable(found)),
        "every pool stands at what is desired": list(not_full()),
        "a claimed volume carries its tenant's name and mark": list(unnamed(found)),
        "a tenant's snapshot is there, and no other of ours": list(wrong_snapshots(found)),
        "a tenant's usage is what exists": list(wrong_usage(found)),
        "only what others took is a stray": list(strays(found)),
        "no lock, no open watch, no unended job": list(unfinished(found)),
        "no job was errored or stuck": [
            f"{job.kind} {job.subject}: {job.status} {job.outcome_message} {job.traceback[-600:]}"
            for job in found.jobs
            if job.status in {JobStatus.ERRORED, JobStatus.STUCK}
        ],
        "a failed job says why": [
            f"{job.kind} {job.subject}"
            for job in found.jobs
            if job.status == JobStatus.FAILED and not job.outcome_message
        ],
    }


def broken(cloud: SimulatedCloud, done: BehindOurBack | None = None) -> list[str]:
    """What does not hold, in words."""
    return [f"{name}: {one}" for name, wrong in check(cloud, done).items() for one in wrong]


def unexplained(found: Found) -> Iterator[str]:
    bound = {row.volume_id for row in (*found.spares, *found.owned)}
    for key, volume in found.ours.items():
        if key not in bound and key not in found.done.taken:
            yield f"{key} '{volume['name']}' ({volume['status']}) {volume['metadata']}"


def without_volume(found: Found) -> Iterator[str]:
    for row in (*found.spares, *found.owned):
        if row.volume_id in found.volumes:
            continue
        if isinstance(row, Volume) and row.volume_id in found.done.removed:
            continue
        yield f"{type(row).__name__} '{row}' ({row.status}) is bound to {row.volume_id}"


def in_two_rows(found: Found) -> Iterator[str]:
    rows = Counter(row.volume_id for row in (*found.spares, *found.owned) if row.volume_id)
    for key, count in rows.items():
        if count > 1:
            yield f"{key} is in {count} rows"


def unusable(found: Found) -> Iterator[str]:
    for spare in found.spares:
        volume = found.volumes.get(spare.volume_id or "", {})
        real = (volume.get("status"), volume.get("size"), volume.get("name"), volume.get("attachments"))
        if spare.status != SpareVolume.Status.AVAILABLE or real != (
            "available",
            spare.size_gb,
            spare.name,
            [],
        ):
            yield f"'{spare}' is {spare.status}, {spare.size_gb} GB; in Cinder {real}"


def not_full() -> Iterator[str]:
    for pool in VolumePool.objects.filter(enabled=True, account__active=True):
        fresh = SpareVolume.objects.fresh(pool).count()
        there = SpareVolume.objects.filter(pool=pool).count()
        if not fresh == there == pool.desired:
            yield f"{pool} has {fresh} fresh spares of {there}, {pool.desired} are desired ({pool.last_error})"


def unnamed(found: Found) -> Iterator[str]:
    for row in found.owned:
        volume = found.volumes.get(row.volume_id or "")
        if volume is None:
            continue
        if volume["metadata"].get("portal_volume") != str(row.pk):
            yield f"'{row}' ({row.source}) has the marks {volume['metadata']}"
        if volume["name"] != row.name and row.volume_id not in found.done.renamed:
            yield f"'{row}' ({row.source}) is called '{volume['name']}' in Cinder"


def wrong_snapshots(found: Found) -> Iterator[str]:
    rows = {row.snapshot_id for row in found.kept}
    for row in found.kept:
        if row.snapshot_id not in found.snapshots:
            yield f"snapshot '{row}' ({row.status}) is bound to {row.snapshot_id}"
    for key, snapshot in found.snapshots.items():
        if snapshot["metadata"].get("portal") == settings.CLOUD_TAG and key not in rows:
            yield f"snapshot {key} '{snapshot['name']}' belongs to no row"


def wrong_usage(found: Found) -> Iterator[str]:
    """What is counted as disk, by Cinder: volumes and snapshots, and the disks of VMs that boot from an image."""
    for tenant in Tenant.objects.all():
        mine = [row for row in found.owned if row.information_system.tenant_id == tenant.pk]
        # A row that Cinder has lost counts until the portal knows of it.
        gone = sum(row.size_gb for row in mine if row.volume_id not in found.volumes and row.status != GONE)
        exists = gone + sum(found.volumes.get(row.volume_id or "", {"size": 0})["size"] for row in mine)
        kept = [
            row
            for row in found.kept
            if row.information_system_id in {one.information_system_id for one in mine}
        ]
        exists += sum(found.snapshots.get(row.snapshot_id or "", {"size": 0})["size"] for row in kept)
        booted = {row.vm_id for row in mine if row.is_boot}
        vms = VirtualMachine.objects.filter(information_system__tenant=tenant).exclude(pk__in=booted)
        exists += sum(vm.disk_gb for vm in vms)
        counted = measure_usage(tenant)["disk_gb"]["used"]
        if counted != exists:
            yield f"{tenant}: {counted} GB are counted, {exists} GB exist"


def strays(found: Found) -> Iterator[str]:
    for stray in OrphanVolume.objects.exclude(volume_id__in=found.done.taken):
        yield f"{stray.volume_id} '{stray.name}' ({stray.status}), seen {stray.seen} times"


def unfinished(found: Found) -> Iterator[str]:
    for lock in EntityLock.objects.all():
        yield f"lock {lock.key} of {lock.job_id}"
    for watch in AsyncTask.objects.filter(verdict="open"):
        yield f"watch on {watch.object_id}"
    for job in found.jobs:
        if job.status not in ENDED:
            steps = list(job.steps.filter(status__in=["waiting", "undoing"]).values_list("name", "message"))
            yield f"{job.kind} {job.subject} is {job.status} {steps}"
