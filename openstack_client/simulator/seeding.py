"""Many objects at once, already settled: for benchmarks and the demo."""

from __future__ import annotations

from .addresses import new_port
from .clock import plain
from .exchange import bad_request, not_found
from .moves import show_addresses
from .nova import embedded
from .server import POWER_OF, VM_STATE_OF, SimulatedServer
from .standard_content import new_volume
from .state import Region, State, Thing


def seed(state: State, wanted: Thing) -> Thing:
    """`{"project", "region"?, "servers"?, "volumes"?, "snapshots"?, "status"?, "name_prefix"?, "size"?, "metadata"?}`.

    Answers with the new ids by kind. Raises `Refused`.
    """
    project = state.project_named(str(wanted.get("project", "demo")))
    region = state.regions.get(str(wanted.get("region") or next(iter(state.regions))))
    if project is None or region is None:
        raise not_found("no such project or region")
    prefix = str(wanted.get("name_prefix", "seeded"))
    state.dirty = True
    return {
        "servers": _servers(state, region, project["id"], wanted, prefix),
        "volumes": _volumes(state, region, project["id"], wanted, prefix),
        "snapshots": _snapshots(state, region, project["id"], wanted, prefix),
    }


def _servers(state: State, region: Region, project_id: str, wanted: Thing, prefix: str) -> list[str]:
    count = int(wanted.get("servers", 0))
    if not count:
        return []
    status = str(wanted.get("status", "ACTIVE"))
    if status not in VM_STATE_OF:
        raise bad_request(f"unknown status {status}")
    vm_state = VM_STATE_OF[status]
    flavor = embedded(next(iter(region.flavors.values())))
    image_id = next(iter(region.images))
    network = next(n for n in region.networks.values() if not n["router:external"])
    user = state.user_named("demo") or next(iter(state.users.values()))
    now = state.clock.now()
    ids = []
    for number in range(count):
        server_id = state.new_id()
        server = SimulatedServer(
            id=server_id,
            name=f"{prefix}-{number:05d}",
            project_id=project_id,
            user_id=user["id"],
            flavor=flavor,
            image_id=image_id,
            created=now,
            updated=now,
            vm_state=vm_state,
            task_state=None,
            power_state=POWER_OF.get(vm_state, 0),
            launched=now,
            tags=[str(tag) for tag in wanted.get("tags", ())],
            metadata=dict(wanted.get("metadata") or {}),
        )
        port = new_port(state, region, network, project_id, device_id=server_id, owner="compute:nova")
        server.port_ids.append(port["id"])
        show_addresses(region, server)
        region.add_server(server)
        ids.append(server_id)
    return ids


def _volumes(state: State, region: Region, project_id: str, wanted: Thing, prefix: str) -> list[str]:
    now = plain(state.clock.now())
    ids = []
    for number in range(int(wanted.get("volumes", 0))):
        volume = new_volume(
            state.new_id(),
            f"{prefix}-{number:05d}",
            int(wanted.get("size", 10)),
            project_id,
            now,
            status="available",
        )
        volume["metadata"] = dict(wanted.get("metadata") or {})
        region.volumes[volume["id"]] = volume
        ids.append(volume["id"])
    return ids


def _snapshots(state: State, region: Region, project_id: str, wanted: Thing, prefix: str) -> list[str]:
    now = plain(state.clock.now())
    source = next(iter(region.volumes.values()), None)
    ids = []
    for number in range(int(wanted.get("snapshots", 0)) if source else 0):
        snapshot_id = state.new_id()
        region.snapshots[snapshot_id] = {
            "id": snapshot_id, "created_at": now, "updated_at": now, "name": f"{prefix}-{number:05d}",
            "description": None, "volume_id": source["id"] if source else None, "status": "available", "size": 10,
            "metadata": {}, "os-extended-snapshot-attributes:project_id": project_id,
            "os-extended-snapshot-attributes:progress": "100%",
        }  # fmt: skip
        ids.append(snapshot_id)
    return ids
