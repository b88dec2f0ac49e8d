"""What must hold when every job has ended: cloud, database and log tell the same story.

Everything is read anew: the cloud through its control API, which shows every project, and the rows from the database.
Each check gives sentences that name what is wrong; an invariant that holds gives none.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tasks.models import ENDED, AsyncTask, EntityLock, Job, JobStatus
from tenants.models import Tenant
from tenants.quotas import measure_usage
from tests.simulated import SimulatedCloud
from vms.models import VirtualMachine, VMOperationLog, VMSnapshot
from volumepool.models import Volume

KINDS = ("servers", "volumes", "ports", "images", "snapshots")

# Every root job about a VM is told once in the log; jobs about volumes alone are told in the job list only.
OPERATION_OF = {
    "vms.create": "create",
    "vms.remove": "remove",
    "vms.attach_volume": "attach",
    "vms.detach_volume": "detach",
    "vms.snapshot": "snapshot",
    "vms.remove_snapshot": "remove_snapshot",
}


@dataclass
class Found:
    """Cloud and database at one moment. `before` is what the cloud had before the portal made anything."""

    things: dict[str, dict[str, dict[str, Any]]]
    before: dict[str, set[str]]
    tenant: Tenant
    vms: list[VirtualMachine] = field(default_factory=lambda: list(VirtualMachine.objects.all()))
    volumes: list[Volume] = field(default_factory=lambda: list(Volume.objects.all()))
    snapshots: list[VMSnapshot] = field(default_factory=lambda: list(VMSnapshot.objects.all()))
    jobs: list[Job] = field(default_factory=lambda: list(Job.objects.exclude(kind="tasks.canary")))

    def made(self, kind: str) -> dict[str, dict[str, Any]]:
        """What of a kind came into the cloud since."""
        return {key: thing for key, thing in self.things[kind].items() if key not in self.before[kind]}


def things_in(cloud: SimulatedCloud) -> dict[str, dict[str, dict[str, Any]]]:
    """Everything that is in the cloud, by kind and id."""
    objects = cloud.call("GET", "objects")
    return {kind: {thing["id"]: thing for thing in objects[kind]} for kind in KINDS}


def ids_in(cloud: SimulatedCloud) -> dict[str, set[str]]:
    """The ids of everything that is in the cloud: to be taken before the portal makes anything."""
    return {kind: set(things) for kind, things in things_in(cloud).items()}


def check(cloud: SimulatedCloud, tenant: Tenant, before: dict[str, set[str]]) -> dict[str, list[str]]:
    """Every invariant, with what is wrong with it."""
    found = Found(things_in(cloud), before, tenant)
    return {
        "nothing is in the cloud that no row explains": unexplained(found),
        "every row has its object, and none is unbound": without_object(found),
        "an attached volume is on the server of its VM": wrongly_attached(found),
        "no lock, no open watch, no unended job": unfinished(found),
        "no job was errored or stuck": [
            f"{job.kind} {job.subject}: {job.status} {job.outcome_message} {job.traceback[-600:]}"
            for job in found.jobs
            if job.status in {JobStatus.ERRORED, JobStatus.STUCK}
        ],
        "one log entry for each job, with its outcome": wrongly_told(found),
        "the tenant's usage is what exists": wrong_usage(found),
        "a failed job says why, in the cloud's words": without_reason(found),
    }


def broken(cloud: SimulatedCloud, tenant: Tenant, before: dict[str, set[str]]) -> dict[str, list[str]]:
    """The invariants that do not hold."""
    return {name: wrong for name, wrong in check(cloud, tenant, before).items() if wrong}


def unexplained(found: Found) -> list[str]:
    servers = {vm.openstack_id for vm in found.vms}
    explained = {
        "servers": servers,
        "volumes": {volume.volume_id for volume in found.volumes},
        "images": {snapshot.image_id for snapshot in found.snapshots},
        "snapshots": {one for snapshot in found.snapshots for one in snapshot.volume_snapshots},
        "ports": {
            port_id for port_id, port in found.things["ports"].items() if port.get("device_id") in servers
        },
    }
    return [
        f"{kind}: {key} '{thing.get('name', '')}' ({thing.get('status')}) {thing.get('tags') or thing.get('metadata') or ''}"
        for kind, known in explained.items()
        for key, thing in found.made(kind).items()
        if key not in known
    ]


def without_object(found: Found) -> list[str]:
    things = found.things
    wrong = [
        f"VM {vm.name} is bound to nothing" for vm in found.vms if vm.openstack_id not in things["servers"]
    ]
    wrong += [
        f"volume {volume.name} ({volume.pk}) is bound to nothing"
        for volume in found.volumes
        if volume.volume_id not in things["volumes"]
    ]
    for snapshot in found.snapshots:
        if snapshot.image_id not in things["images"]:
            wrong.append(f"snapshot {snapshot.name} has no image")
        wrong += [
            f"snapshot {snapshot.name} names the volume snapshot {one}, which is gone"
            for one in snapshot.volume_snapshots
            if one not in things["snapshots"]
        ]
    return wrong


def wrongly_attached(found: Found) -> list[str]:
    on_server = {
        volume_id: server["id"]
        for server in found.things["servers"].values()
        for volume_id in server["volumes"]
    }
    servers = {vm.pk: vm.openstack_id for vm in found.vms}
    return [
        f"volume {volume.name} is on {on_server.get(volume.volume_id)}, its row says {servers.get(volume.vm_id)}"
        for volume in found.volumes
        if on_server.get(volume.volume_id or "") != servers.get(volume.vm_id)
    ]


def unfinished(found: Found) -> list[str]:
    return [
        *[f"lock {lock.key} of {lock.job_id}" for lock in EntityLock.objects.all()],
        *[f"watch on {one.object_id}" for one in AsyncTask.objects.filter(verdict="open")],
        *[f"{job.kind} {job.subject} is {job.status}" for job in found.jobs if job.status not in ENDED],
    ]


def wrongly_told(found: Found) -> list[str]:
    told: dict[Any, list[tuple[str, bool]]] = {}
    for entry in VMOperationLog.objects.exclude(job_id=None):
        told.setdefault(entry.job_id, []).append((entry.operation, entry.success))
    return [
        f"{job.kind} {job.subject} ({job.status}) is told as {told.get(job.pk, [])}"
        for job in found.jobs
        if job.parent_id is None
        and job.kind in OPERATION_OF
        and told.get(job.pk) != [(OPERATION_OF[job.kind], job.status == JobStatus.SUCCEEDED)]
    ]


def wrong_usage(found: Found) -> list[str]:
    """What is counted against the quota, by the cloud: servers, and volumes with the image-booted VMs' own disks."""
    used = {name: one["used"] for name, one in measure_usage(found.tenant).items()}
    booted_from_volume = {volume.vm_id for volume in found.volumes if volume.is_boot}
    disks = sum(volume["size"] for volume in found.made("volumes").values())
    exists = {
        "vms": len(found.made("servers")),
        "cpu_cores": sum(vm.cpu_cores for vm in found.vms),
        "memory_gb": sum(vm.memory_gb for vm in found.vms),
        "disk_gb": disks + sum(vm.disk_gb for vm in found.vms if vm.pk not in booted_from_volume),
    }
    return [
        f"{name}: {used[name]} is counted, {exists[name]} exists"
        for name in exists
        if used[name] != exists[name]
    ]


def without_reason(found: Found) -> list[str]:
    details = dict(VMOperationLog.objects.exclude(job_id=None).values_list("job_id", "detail"))
    return [
        f"{job.kind} {job.subject}: '{job.outcome_message}' is told as '{details.get(job.pk)}'"
        for job in found.jobs
        if job.status == JobStatus.FAILED
        and (not job.outcome_message or (job.pk in details and job.outcome_message not in details[job.pk]))
    ]


def outcomes(kind: str | None = None) -> Counter[str]:
    """How the root jobs (of a kind) ended."""
    jobs = Job.objects.filter(parent=None).exclude(kind="tasks.canary")
    return Counter((jobs.filter(kind=kind) if kind else jobs).values_list("status", flat=True))
