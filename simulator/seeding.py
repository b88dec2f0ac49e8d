"""Many objects at once, already settled: for benchmarks and the demo."""

from __future__ import annotations

from .addresses import NoAddressLeft, address_entry, new_port
from .exchange import bad_request, not_found
from .nova import embedded
from .seeding_raw import make_raw
from .seeding_things import KINDS, Maker
from .server import POWER_OF, VM_STATE_OF, SimulatedServer
from .state import Region, State, Thing


def seed(state: State, wanted: Thing) -> Thing:
    """How many of each kind, by the kind's name, and what several of them share:

    `{"project", "region"?, "servers"?, "volumes"?, "ports"? ..., "status"?, "name_prefix"?, "size"?, "metadata"?, "tags"?}`.
    In `"raw": {kind: [object, ...]}` are objects whose fields take the place of proper ones, however odd they are.
    Answers with the new ids by kind, those of raw objects at the end. Raises `Refused`.
    """
    project = state.project_named(str(wanted.get("project", "demo")))
    region = state.regions.get(str(wanted.get("region") or next(iter(state.regions))))
    if project is None or region is None:
        raise not_found("no such project or region")
    prefix = str(wanted.get("name_prefix", "seeded"))
    state.dirty = True
    raw: dict[str, list[Thing]] = wanted.get("raw") or {}
    if unknown := set(raw) - {"servers", *KINDS}:
        raise bad_request(f"there are no {', '.join(sorted(unknown))} to seed")
    found = {"servers": _servers(state, region, project["id"], wanted, prefix)}
    if raw.get("servers"):
        more = {**wanted, "servers": len(raw["servers"])}
        ids = _servers(state, region, project["id"], more, f"{prefix}-raw")
        _raw_servers(region, ids, raw["servers"])
        found["servers"] += ids
    maker = Maker(state, region, project["id"], wanted)
    for kind in KINDS:
        found[kind] = [maker.make(kind, f"{prefix}-{n:05d}") for n in range(int(wanted.get(kind, 0)))]
        found[kind] += [
            make_raw(maker, kind, fields, f"{prefix}-raw-{n:05d}")
            for n, fields in enumerate(raw.get(kind, ()))
        ]
    return found


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
            key_name=wanted.get("key_name"),
        )
        try:
            port = new_port(state, region, network, project_id, device_id=server_id, owner="compute:nova")
        except NoAddressLeft:
            raise bad_request("the internal network has no address left") from None
        server.port_ids.append(port["id"])
        # A new port has no floating IP, so they need not be looked through for each server.
        server.addresses = {network["name"]: address_entry(port)}
        region.add_server(server)
        ids.append(server_id)
    return ids


def _raw_servers(region: Region, ids: list[str], raw: list[Thing]) -> None:
    """The fields of each are shown instead of the server's own."""
    for server_id, fields in zip(ids, raw, strict=True):
        if "id" in fields:
            raise bad_request("a raw server cannot choose its id")
        region.servers[server_id].raw = dict(fields)
