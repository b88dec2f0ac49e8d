"""The invariants of VMs once every job has ended: cloud, database and operation log agree.

Everything is read anew: the cloud through its control API, which shows every project, and the rows from the database.
Each check returns a sentence for each violation.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from networks.models import FloatingIp, SecurityGroup
from tasks.models import Job, JobStatus
from tenants.models import Tenant
from tenants.quotas import measure_usage
from tests.faults.framework.jobs import find_engine_errors, find_open_work
from tests.faults.framework.report import Invariant
from tests.simulated import SimulatedCloud
from vms.models import SSHKey, VirtualMachine, VMOperationLog, VMSnapshot
from vms.public_keys import name_key_pair
from volumepool.models import Volume

KINDS = (
    "servers",
    "volumes",
    "ports",
    "images",
    "snapshots",
    "floatingips",
    "security_groups",
    "keypairs",
)

# Every root job of a VM has one entry in the operation log; jobs of volumes alone have none.
OPERATION_OF = {
    "vms.create": "create",
    "vms.remove": "remove",
    "vms.attach_volume": "attach",
    "vms.detach_volume": "detach",
    "vms.snapshot": "snapshot",
    "vms.remove_snapshot": "remove_snapshot",
}


@dataclass
class State:
    """Cloud and database at one moment. `before` is what the cloud had before the portal made anything."""

    objects: dict[str, dict[str, dict[str, Any]]]
    before: dict[str, set[str]]
    tenant: Tenant
    vms: list[VirtualMachine] = field(default_factory=lambda: list(VirtualMachine.objects.all()))
    volumes: list[Volume] = field(default_factory=lambda: list(Volume.objects.all()))
    snapshots: list[VMSnapshot] = field(default_factory=lambda: list(VMSnapshot.objects.all()))
    addresses: list[FloatingIp] = field(default_factory=lambda: list(FloatingIp.objects.all()))
    groups: list[SecurityGroup] = field(default_factory=lambda: list(SecurityGroup.objects.all()))
    key_pairs: set[str] = field(
        default_factory=lambda: {name_key_pair(key.public_key) for key in SSHKey.objects.all()}
    )
    jobs: list[Job] = field(default_factory=lambda: list(Job.objects.exclude(kind="tasks.canary")))

    def get_new_objects(self, kind: str) -> dict[str, dict[str, Any]]:
        """Return the objects of a kind that have come into the cloud since."""
        return {key: found for key, found in self.objects[kind].items() if key not in self.before[kind]}


def objects_in(cloud: SimulatedCloud) -> dict[str, dict[str, dict[str, Any]]]:
    """Return everything that is in the cloud, by kind and id."""
    objects = cloud.call("GET", "objects")
    # Neutron makes the group "default" by itself, on first use. A key pair has no id but its name.
    objects["security_groups"] = [one for one in objects["security_groups"] if one["name"] != "default"]
    return {
        kind: {found["name" if kind == "keypairs" else "id"]: found for found in objects[kind]}
        for kind in KINDS
    }


def ids_in(cloud: SimulatedCloud) -> dict[str, set[str]]:
    """Return the ids of everything that is in the cloud. Take them before the portal makes anything."""
    return {kind: set(objects) for kind, objects in objects_in(cloud).items()}


def check(cloud: SimulatedCloud, tenant: Tenant, before: dict[str, set[str]]) -> list[Invariant]:
    """Return every invariant, with its violations."""
    state = State(objects_in(cloud), before, tenant)
    return [
        Invariant("every object in the cloud belongs to a row", find_unexplained_objects(state)),
        Invariant("every row has its object in the cloud", find_rows_without_object(state)),
        Invariant("an attached volume is on the server of its VM", find_wrong_attachments(state)),
        Invariant("an attached floating IP leads to the server of its VM", find_wrong_addresses(state)),
        Invariant("no lock, no open async task, no unended job", find_open_work(state.jobs)),
        Invariant("no job was errored or stuck", find_engine_errors(state.jobs)),
        Invariant("one log entry for each job, with its outcome", find_wrong_log_entries(state)),
        Invariant("the tenant's usage is what exists", find_wrong_usage(state)),
        Invariant("a failed job has a reason, and the log repeats it", find_failures_without_reason(state)),
    ]


def find_violations(
    cloud: SimulatedCloud, tenant: Tenant, before: dict[str, set[str]]
) -> dict[str, list[str]]:
    """Return the violations of the invariants that do not hold, by invariant."""
    return {
        invariant.statement: list(invariant.violations)
        for invariant in check(cloud, tenant, before)
        if invariant.violations
    }


def find_unexplained_objects(state: State) -> list[str]:
    servers = {vm.openstack_id for vm in state.vms}
    explained = {
        "servers": servers,
        "volumes": {volume.volume_id for volume in state.volumes},
        "images": {snapshot.image_id for snapshot in state.snapshots},
        "snapshots": {one for snapshot in state.snapshots for one in snapshot.volume_snapshots},
        "floatingips": {address.cloud_id for address in state.addresses},
        "security_groups": {group.cloud_id for group in state.groups},
        # One for each key, however many VMs were created with it; a beat removes those that no VM uses.
        "keypairs": state.key_pairs,
        "ports": {
            port_id for port_id, port in state.objects["ports"].items() if port.get("device_id") in servers
        },
    }
    return [
        f"{kind}: {key} '{cloud_object.get('name', '')}' ({cloud_object.get('status')}) {cloud_object.get('tags') or cloud_object.get('metadata') or ''}"
        for kind, known in explained.items()
        for key, cloud_object in state.get_new_objects(kind).items()
        if key not in known
    ]


def find_rows_without_object(state: State) -> list[str]:
    objects = state.objects
    wrong = [
        f"VM {vm.name} is bound to no object" for vm in state.vms if vm.openstack_id not in objects["servers"]
    ]
    wrong += [
        f"volume {volume.name} ({volume.pk}) is bound to no object"
        for volume in state.volumes
        if volume.volume_id not in objects["volumes"]
    ]
    for kind, rows in (("floatingips", state.addresses), ("security_groups", state.groups)):
        wrong += [
            f"{kind}: {row} ({row.status}) is bound to no object"
            for row in rows
            if row.cloud_id not in objects[kind]
        ]
    for snapshot in state.snapshots:
        if snapshot.image_id not in objects["images"]:
            wrong.append(f"snapshot {snapshot.name} has no image")
        wrong += [
            f"snapshot {snapshot.name} names the volume snapshot {one}, which is gone"
            for one in snapshot.volume_snapshots
            if one not in objects["snapshots"]
        ]
    return wrong


def find_wrong_attachments(state: State) -> list[str]:
    on_server = {
        volume_id: server["id"]
        for server in state.objects["servers"].values()
        for volume_id in server["volumes"]
    }
    servers = {vm.pk: vm.openstack_id for vm in state.vms}
    return [
        f"volume {volume.name} is on {on_server.get(volume.volume_id)}, its row says {servers.get(volume.vm_id)}"
        for volume in state.volumes
        if on_server.get(volume.volume_id or "") != servers.get(volume.vm_id)
    ]


def find_wrong_addresses(state: State) -> list[str]:
    servers = {vm.pk: vm.openstack_id for vm in state.vms}
    ports = state.objects["ports"]
    wrong = []
    for address in state.addresses:
        in_cloud = state.objects["floatingips"].get(str(address.cloud_id), {})
        port = ports.get(in_cloud.get("port_id") or "", {})
        leads_to, expected = port.get("device_id") or None, servers.get(address.vm_id) or None
        if leads_to != expected:
            wrong.append(f"{address} leads to {leads_to}, its row says {expected}")
    return wrong


def find_wrong_log_entries(state: State) -> list[str]:
    logged: dict[Any, list[tuple[str, bool]]] = {}
    for entry in VMOperationLog.objects.exclude(job_id=None):
        logged.setdefault(entry.job_id, []).append((entry.operation, entry.success))
    return [
        f"{job.kind} {job.subject} ({job.status}) is logged as {logged.get(job.pk, [])}"
        for job in state.jobs
        if job.parent_id is None
        and job.kind in OPERATION_OF
        and logged.get(job.pk) != [(OPERATION_OF[job.kind], job.status == JobStatus.SUCCEEDED)]
    ]


def find_wrong_usage(state: State) -> list[str]:
    """Compare the quota's usage with the cloud: servers, volumes, and the own disks of VMs that boot from an image."""
    used = {name: one["used"] for name, one in measure_usage(state.tenant).items()}
    booted_from_volume = {volume.vm_id for volume in state.volumes if volume.is_boot}
    disks = sum(volume["size"] for volume in state.get_new_objects("volumes").values())
    exists = {
        "vms": len(state.get_new_objects("servers")),
        "cpu_cores": sum(vm.cpu_cores for vm in state.vms),
        "memory_gb": sum(vm.memory_gb for vm in state.vms),
        "disk_gb": disks + sum(vm.disk_gb for vm in state.vms if vm.pk not in booted_from_volume),
    }
    return [
        f"{name}: {used[name]} is counted, {exists[name]} exists"
        for name in exists
        if used[name] != exists[name]
    ]


def find_failures_without_reason(state: State) -> list[str]:
    details = dict(VMOperationLog.objects.exclude(job_id=None).values_list("job_id", "detail"))
    return [
        f"{job.kind} {job.subject}: '{job.outcome_message}' is logged as '{details.get(job.pk)}'"
        for job in state.jobs
        if job.status == JobStatus.FAILED
        and (not job.outcome_message or (job.pk in details and job.outcome_message not in details[job.pk]))
    ]
