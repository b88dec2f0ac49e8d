"""What the control API does to single objects behind the portal's back."""

from __future__ import annotations

import time
from collections.abc import Callable

from .addresses import remove_port
from .clock import zulu
from .exchange import Answer, Request, not_found
from .moves import settle_servers, settle_volumes, show_addresses
from .seeding_raw import overlay
from .server import POWER_OF, VM_STATE_OF
from .state import KINDS, Region, State, Thing


def kind_named(name: str) -> str | None:
    """The kind that a path means, however it writes it; None for what is none, or has no objects to change."""
    kind = {"floating_ips": "floatingips"}.get(name.replace("-", "_"), name.replace("-", "_"))
    return kind if kind == "servers" or (kind in KINDS and kind != "quotas") else None


def _found(state: State, kind: str, thing_id: str) -> tuple[Region, str]:
    """The region, and the key in it: a key pair is known by its name, and kept by its user's id too."""
    for region in state.regions.values():
        things = getattr(region, kind)
        if thing_id in things:
            return region, thing_id
        if kind == "keypairs":
            for key, pair in things.items():
                if pair["name"] == thing_id:
                    return region, key
    raise not_found(f"no {kind} {thing_id}")


def change(state: State, request: Request, kind: str, thing_id: str) -> Answer:
    """PATCH sets fields, DELETE removes: at once, whatever hangs on it. Raises `Refused` 404.

    Fields below `raw` may be of any kind: those that the simulator could not go on with are only shown.
    """
    region, key = _found(state, kind, thing_id)
    now = time.time() + state.clock.offset
    state.dirty = True
    if kind == "servers":
        return _change_server(state, region, request, key, now)
    if kind == "volumes":
        settle_volumes(state, region, now)
    things: dict[str, Thing] = getattr(region, kind)
    if key not in things:
        raise not_found(f"no {kind} {thing_id}")  # It has ended at this moment.
    if request.method == "DELETE":
        remove = _REMOVALS.get(kind)
        if remove is None:
            del things[key]
        else:
            remove(region, key)
        return Answer(200, {})
    thing, wanted = things[key], request.json()
    odd = wanted.pop("raw", {})
    thing.update(wanted)
    for name in wanted:
        thing.get("_raw", {}).pop(name, None)
    overlay(thing, odd)
    # What was to become of it by itself would undo the change.
    thing.pop("_plan", None)
    return Answer(200, {**thing, **thing.get("_raw", {})})


def _remove_volume(region: Region, volume_id: str) -> None:
    region.volumes.pop(volume_id, None)
    for server in region.servers.values():
        if any(v["id"] == volume_id for v in server.volumes):
            server.volumes = [v for v in server.volumes if v["id"] != volume_id]
            server.text = None


def _remove_network(region: Region, network_id: str) -> None:
    """With its subnets and ports."""
    for port_id in [p["id"] for p in region.ports.values() if p["network_id"] == network_id]:
        _remove_port(region, port_id)
    for subnet_id in region.networks.pop(network_id)["subnets"]:
        region.subnets.pop(subnet_id, None)


def _remove_subnet(region: Region, subnet_id: str) -> None:
    network = region.networks.get(region.subnets.pop(subnet_id)["network_id"])
    if network is not None:
        network["subnets"] = [one for one in network["subnets"] if one != subnet_id]


def _remove_port(region: Region, port_id: str) -> None:
    server = region.servers.get(region.ports[port_id]["device_id"])
    remove_port(region, port_id)
    if server is not None and port_id in server.port_ids:
        server.port_ids = [one for one in server.port_ids if one != port_id]
        show_addresses(region, server)


def _remove_router(region: Region, router_id: str) -> None:
    """With its ports; floating IPs that lead through it lead nowhere."""
    for port_id in [p["id"] for p in region.ports.values() if p["device_id"] == router_id]:
        remove_port(region, port_id)
    for floating in region.floatingips.values():
        if floating["router_id"] == router_id:
            loose = {"port_id": None, "fixed_ip_address": None, "router_id": None, "status": "DOWN"}
            floating.update({**loose, "port_details": None})
    del region.routers[router_id]


_REMOVALS: dict[str, Callable[[Region, str], object]] = {
    "volumes": _remove_volume,
    "networks": _remove_network,
    "subnets": _remove_subnet,
    "ports": _remove_port,
    "routers": _remove_router,
}


def _change_server(state: State, region: Region, request: Request, thing_id: str, now: float) -> Answer:
    server = region.servers[thing_id]
    if request.method == "DELETE":
        server.odd_status = None
        server.plan = [[now, {"vm_state": "deleted", "task_state": None, "power_state": 0}, ["gone"]]]
        settle_servers(state, region, now)
        return Answer(200, {})
    wanted = request.json()
    if "status" in wanted:
        word = str(wanted["status"])
        server.plan, server.task_state = [], None
        # A word that Nova does not have is shown as it is: clients must survive it.
        server.odd_status = None if word in VM_STATE_OF else word
        server.vm_state = VM_STATE_OF.get(word, server.vm_state)
        server.power_state = POWER_OF.get(server.vm_state, 0)
        if word == "ACTIVE" and server.launched is None:
            server.plan = [[now, {}, ["launch", "addresses"]]]
    if "fault" in wanted:
        fault = wanted["fault"]
        server.fault = None if fault is None else {"code": 500, "created": zulu(now), "message": str(fault)}
    for name in (
        "name",
        "tags",
        "metadata",
        "addresses",
        "task_state",
        "power_state",
        "description",
        "key_name",
        # Nova's side of its attachments alone; Cinder's is that of the volume.
        "volumes",
    ):
        if name in wanted:
            setattr(server, name, wanted[name])
    server.raw.update(wanted.get("raw") or {})
    server.updated = now
    server.text = None
    return Answer(200, {"id": server.id, "status": server.status, "name": server.name})
