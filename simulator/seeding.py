"""Creation of many resources at once, in their final state, for benchmarks and the demo."""

from __future__ import annotations

from . import reach
from .http_messages import bad_request, not_found
from .nova_flavors import build_server_flavor
from .ports import NoFreeAddressError, create_port, format_addresses
from .raw_resources import create_raw_resource
from .resource_factory import KINDS, ResourceFactory
from .server import POWER_BY_VM_STATE, VM_STATE_BY_STATUS, SimulatedServer
from .state import Region, Resource, State


def seed(state: State, requested: Resource) -> Resource:
    """Create the requested number of resources of each kind, and return their ids by kind.

    `"reachable": true` also connects the internal network to the external one, with a router and some groups and floating IPs
    (`reach.py`). `{"project", "region"?, "servers"?, "volumes"?, "ports"? ..., "status"?, "name_prefix"?, "size"?, "metadata"?, "tags"?}`.
    `"raw": {kind: [object, ...]}` holds objects whose fields replace the real ones, with any values. Their ids come last.
    Raises `HttpError`.
    """
    project = state.find_project(str(requested.get("project", "demo")))
    region = state.regions.get(str(requested.get("region") or next(iter(state.regions))))
    if project is None or region is None:
        raise not_found("no such project or region")
    prefix = str(requested.get("name_prefix", "seeded"))
    state.dirty = True
    raw: dict[str, list[Resource]] = requested.get("raw") or {}
    if unknown := set(raw) - {"servers", *KINDS}:
        raise bad_request(f"there are no {', '.join(sorted(unknown))} to seed")
    found = {"servers": _seed_servers(state, region, project["id"], requested, prefix)}
    if raw.get("servers"):
        more = {**requested, "servers": len(raw["servers"])}
        ids = _seed_servers(state, region, project["id"], more, f"{prefix}-raw")
        _overlay_raw_servers(region, ids, raw["servers"])
        found["servers"] += ids
    factory = ResourceFactory(state, region, project["id"], requested)
    for kind in KINDS:
        found[kind] = [factory.create(kind, f"{prefix}-{n:05d}") for n in range(int(requested.get(kind, 0)))]
        found[kind] += [
            create_raw_resource(factory, kind, fields, f"{prefix}-raw-{n:05d}")
            for n, fields in enumerate(raw.get(kind, ()))
        ]
    if requested.get("reachable"):
        reach.make_reachable(state, region, project["id"])
    return found


def _seed_servers(
    state: State, region: Region, project_id: str, requested: Resource, prefix: str
) -> list[str]:
    count = int(requested.get("servers", 0))
    if not count:
        return []
    status = str(requested.get("status", "ACTIVE"))
    if status not in VM_STATE_BY_STATUS:
        raise bad_request(f"unknown status {status}")
    vm_state = VM_STATE_BY_STATUS[status]
    flavor = build_server_flavor(next(iter(region.flavors.values())))
    image_id = next(iter(region.images))
    network = next(n for n in region.networks.values() if not n["router:external"])
    user = state.find_user("demo") or next(iter(state.users.values()))
    now, hosts = state.clock.now(), sorted(region.hosts)
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
            power_state=POWER_BY_VM_STATE.get(vm_state, 0),
            launched=now,
            tags=[str(tag) for tag in requested.get("tags", ())],
            metadata=dict(requested.get("metadata") or {}),
            key_name=requested.get("key_name"),
            host=hosts[number % len(hosts)] if hosts else None,
        )
        try:
            port = create_port(state, region, network, project_id, device_id=server_id, owner="compute:nova")
        except NoFreeAddressError:
            raise bad_request("the internal network has no address left") from None
        server.port_ids.append(port["id"])
        # A new port has no floating IP, so those need not be searched for each server.
        server.addresses = {network["name"]: format_addresses(port)}
        region.add_server(server)
        ids.append(server_id)
    return ids


def _overlay_raw_servers(region: Region, ids: list[str], raw: list[Resource]) -> None:
    """Show the fields of `raw` in place of the servers' own."""
    for server_id, fields in zip(ids, raw, strict=True):
        if "id" in fields:
            raise bad_request("a raw server cannot choose its id")
        region.servers[server_id].raw = dict(fields)
