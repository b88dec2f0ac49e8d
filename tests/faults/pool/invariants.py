"""The invariants of volumes once every job has ended: Cinder and the rows agree.

Everything is read anew: the cloud through its control API, the rows from the database. Each check returns a sentence for
each violation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings

from tasks.models import Job, JobStatus
from tenants.models import Tenant
from tenants.quotas import measure_usage
from tests.faults.framework.jobs import find_engine_errors, find_open_work
from tests.faults.framework.report import Invariant
from tests.simulated import SimulatedCloud
from vms.models import VirtualMachine
from volumepool.models import GONE, OrphanVolume, SpareVolume, Volume, VolumePool, VolumeSnapshot


@dataclass
class ExternallyChanged:
    """The ids in Cinder of the volumes that others than the portal have changed: they may differ from their rows."""

    removed: set[str] = field(default_factory=set)
    # Attached or renamed while they were spares: somebody uses them, and the portal has to leave them alone.
    taken: set[str] = field(default_factory=set)
    # Renamed while they were a tenant's.
    renamed: set[str] = field(default_factory=set)


@dataclass
class State:
    """Cinder and database at one moment."""

    volumes: dict[str, dict[str, Any]]
    snapshots: dict[str, dict[str, Any]]
    changed: ExternallyChanged
    spares: list[SpareVolume] = field(default_factory=lambda: list(SpareVolume.objects.all()))
    tenant_volumes: list[Volume] = field(
        default_factory=lambda: list(Volume.objects.select_related("information_system"))
    )
    tenant_snapshots: list[VolumeSnapshot] = field(default_factory=lambda: list(VolumeSnapshot.objects.all()))
    jobs: list[Job] = field(default_factory=lambda: list(Job.objects.exclude(kind="tasks.canary")))

    @classmethod
    def read(cls, cloud: SimulatedCloud, changed: ExternallyChanged | None = None) -> State:
        """Read the state of this moment."""
        objects = cloud.call("GET", "objects")
        volumes, snapshots = (
            {found["id"]: found for found in objects[kind]} for kind in ("volumes", "snapshots")
        )
        return cls(volumes, snapshots, changed or ExternallyChanged())

    @property
    def marked_volumes(self) -> dict[str, dict[str, Any]]:
        """Return the volumes in Cinder that carry a mark of the portal."""
        tag = settings.CLOUD_TAG
        return {
            key: volume
            for key, volume in self.volumes.items()
            if tag in {volume["metadata"].get("portal"), volume["metadata"].get("portal_pool")}
        }


def check(cloud: SimulatedCloud, changed: ExternallyChanged | None = None) -> list[Invariant]:
    """Return every invariant, with its violations."""
    state = State.read(cloud, changed)
    checks: dict[str, Iterator[str]] = {
        "every volume of ours in Cinder belongs to one row": find_unexplained_volumes(state),
        "every row has its volume in Cinder": find_rows_without_volume(state),
        "no volume is in two rows": find_doubled_volumes(state),
        "every spare can be claimed, and is what its row says": find_unusable_spares(state),
        "every pool has as many spares as desired": find_incomplete_pools(),
        "a claimed volume carries its tenant's name and mark": find_wrong_names(state),
        "a tenant's snapshot exists, and no other of ours": find_wrong_snapshots(state),
        "a tenant's usage is what exists": find_wrong_usage(state),
        "only what others took is an orphan": find_wrong_orphans(state),
    }
    return [
        *(Invariant(statement, list(violations)) for statement, violations in checks.items()),
        Invariant("no lock, no open async task, no unended job", find_open_work(state.jobs)),
        Invariant("no job was errored or stuck", find_engine_errors(state.jobs)),
        Invariant(
            "a failed job has a reason",
            [
                f"{job.kind} {job.subject}"
                for job in state.jobs
                if job.status == JobStatus.FAILED and not job.outcome_message
            ],
        ),
    ]


def find_violations(cloud: SimulatedCloud, changed: ExternallyChanged | None = None) -> list[str]:
    """Return a sentence for each violation."""
    return [
        f"{invariant.statement}: {violation}"
        for invariant in check(cloud, changed)
        for violation in invariant.violations
    ]


def find_unexplained_volumes(state: State) -> Iterator[str]:
    bound = {row.volume_id for row in (*state.spares, *state.tenant_volumes)}
    for key, volume in state.marked_volumes.items():
        if key not in bound and key not in state.changed.taken:
            yield f"{key} '{volume['name']}' ({volume['status']}) {volume['metadata']}"


def find_rows_without_volume(state: State) -> Iterator[str]:
    for row in (*state.spares, *state.tenant_volumes):
        if row.volume_id in state.volumes:
            continue
        if isinstance(row, Volume) and row.volume_id in state.changed.removed:
            continue
        yield f"{type(row).__name__} '{row}' ({row.status}) is bound to {row.volume_id}"


def find_doubled_volumes(state: State) -> Iterator[str]:
    rows = Counter(row.volume_id for row in (*state.spares, *state.tenant_volumes) if row.volume_id)
    for key, count in rows.items():
        if count > 1:
            yield f"{key} is in {count} rows"


def find_unusable_spares(state: State) -> Iterator[str]:
    for spare in state.spares:
        volume = state.volumes.get(spare.volume_id or "", {})
        real = (volume.get("status"), volume.get("size"), volume.get("name"), volume.get("attachments"))
        if spare.status != SpareVolume.Status.AVAILABLE or real != (
            "available",
            spare.size_gb,
            spare.name,
            [],
        ):
            yield f"'{spare}' is {spare.status}, {spare.size_gb} GB; in Cinder {real}"


def find_incomplete_pools() -> Iterator[str]:
    for pool in VolumePool.objects.filter(enabled=True, account__active=True):
        fresh = SpareVolume.objects.fresh(pool).count()
        there = SpareVolume.objects.filter(pool=pool).count()
        if not fresh == there == pool.desired:
            yield f"{pool} has {fresh} fresh spares of {there}, {pool.desired} are desired ({pool.last_error})"


def find_wrong_names(state: State) -> Iterator[str]:
    for row in state.tenant_volumes:
        volume = state.volumes.get(row.volume_id or "")
        if volume is None:
            continue
        if volume["metadata"].get("portal_volume") != str(row.pk):
            yield f"'{row}' ({row.source}) has the marks {volume['metadata']}"
        if volume["name"] != row.name and row.volume_id not in state.changed.renamed:
            yield f"'{row}' ({row.source}) is called '{volume['name']}' in Cinder"


def find_wrong_snapshots(state: State) -> Iterator[str]:
    rows = {row.snapshot_id for row in state.tenant_snapshots}
    for row in state.tenant_snapshots:
        if row.snapshot_id not in state.snapshots:
            yield f"snapshot '{row}' ({row.status}) is bound to {row.snapshot_id}"
    for key, snapshot in state.snapshots.items():
        if snapshot["metadata"].get("portal") == settings.CLOUD_TAG and key not in rows:
            yield f"snapshot {key} '{snapshot['name']}' belongs to no row"


def find_wrong_usage(state: State) -> Iterator[str]:
    """Compare the quota's disk usage with Cinder: volumes, snapshots, and the own disks of VMs that boot from an image."""
    for tenant in Tenant.objects.all():
        mine = [row for row in state.tenant_volumes if row.information_system.tenant_id == tenant.pk]
        # A row whose volume is gone counts until a status sync has seen that.
        gone = sum(row.size_gb for row in mine if row.volume_id not in state.volumes and row.status != GONE)
        exists = gone + sum(state.volumes.get(row.volume_id or "", {"size": 0})["size"] for row in mine)
        kept = [
            row
            for row in state.tenant_snapshots
            if row.information_system_id in {one.information_system_id for one in mine}
        ]
        exists += sum(state.snapshots.get(row.snapshot_id or "", {"size": 0})["size"] for row in kept)
        booted = {row.vm_id for row in mine if row.is_boot}
        vms = VirtualMachine.objects.filter(information_system__tenant=tenant).exclude(pk__in=booted)
        exists += sum(vm.disk_gb for vm in vms)
        counted = measure_usage(tenant)["disk_gb"]["used"]
        if counted != exists:
            yield f"{tenant}: {counted} GB are counted, {exists} GB exist"


def find_wrong_orphans(state: State) -> Iterator[str]:
    for orphan in OrphanVolume.objects.exclude(volume_id__in=state.changed.taken):
        yield f"{orphan.volume_id} '{orphan.name}' ({orphan.status}), seen {orphan.seen} times"


def find_servers_without_vm(cloud: SimulatedCloud) -> list[str]:
    """Return a sentence for each marked server that belongs to no VM, and for each VM whose server is gone."""
    bound = set(VirtualMachine.objects.values_list("openstack_id", flat=True))
    servers = {server["id"]: server for server in cloud.call("GET", "objects")["servers"]}
    wrong = [
        f"{key} '{server['name']}' belongs to no VM"
        for key, server in servers.items()
        if key not in bound and server["tags"]
    ]
    return wrong + [f"a VM is bound to {key}" for key in bound if key not in servers]
