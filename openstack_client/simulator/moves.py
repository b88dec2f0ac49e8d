"""How state moves with time. Nothing runs in the background: what is due is done when somebody looks."""

from __future__ import annotations

from typing import Any

from .addresses import NoAddressLeft, address_entry, new_port, remove_port
from .clock import plain, zulu
from .server import SimulatedServer
from .state import Region, State, Thing


def settle_server(state: State, region: Region, server: SimulatedServer, now: float) -> None:
    """Do what is due on a server."""
    while server.plan and server.plan[0][0] <= now:
        moment, changes, events = server.plan.pop(0)
        for name, value in changes.items():
            setattr(server, name, value)
        for event in events:
            _server_event(state, region, server, event, moment)
        server.updated = moment
        server.text = None
        if server.actions:
            server.actions[0]["updated_at"] = plain(moment)
        state.dirty = True


def settle_servers(state: State, region: Region, now: float) -> None:
    """Do what is due on all servers."""
    for server in region.servers.values():
        if server.plan:
            settle_server(state, region, server, now)


def settle_volumes(state: State, region: Region, now: float) -> None:
    """Do what is due on all volumes and snapshots."""
    for kind in (region.volumes, region.snapshots):
        for thing in list(kind.values()):
            settle_volume(state, region, thing, now)


def settle_volume(state: State, region: Region, thing: Thing, now: float) -> None:
    """Do what is due on a volume or snapshot, and on the servers that it hangs on: their end sets it free."""
    for attachment in thing.get("attachments", ()):
        server = region.servers.get(attachment["server_id"])
        if server is not None and server.plan:
            settle_server(state, region, server, now)
    plan = thing.get("_plan")
    if not plan or plan[0] > now:
        return
    moment, changes = thing.pop("_plan")
    state.dirty = True
    if changes is None:
        region.volumes.pop(thing["id"], None)
        region.snapshots.pop(thing["id"], None)
    else:
        thing.update(changes)
        thing["updated_at"] = plain(moment)


def plan_volume(thing: Thing, due: float, changes: dict[str, Any] | None) -> None:
    """What becomes of a volume or snapshot; None is its end."""
    thing["_plan"] = [due, changes]


def give_ports(state: State, region: Region, server: SimulatedServer, networks: list[Thing]) -> None:
    """A port on each network. The addresses show once the server is launched. Raises `NoAddressLeft`."""
    for network in networks:
        port = new_port(
            state, region, network, server.project_id, device_id=server.id, owner=f"compute:{server.zone}"
        )
        server.port_ids.append(port["id"])


def show_addresses(region: Region, server: SimulatedServer) -> None:
    """Work a server's addresses out from its ports and the floating IPs on them."""
    found: dict[str, list[Thing]] = {}
    for port_id in server.port_ids:
        port = region.ports.get(port_id)
        if port is None:
            continue
        entries = found.setdefault(region.networks[port["network_id"]]["name"], [])
        entries.extend(address_entry(port))
        entries.extend(
            {
                "version": 4,
                "addr": floating["floating_ip_address"],
                "OS-EXT-IPS:type": "floating",
                "OS-EXT-IPS-MAC:mac_addr": port["mac_address"],
            }
            for floating in region.floatingips.values()
            if floating["port_id"] == port_id
        )
    server.addresses = found
    server.text = None


def build_plan(
    state: State, region: Region, server: SimulatedServer, networks: list[Thing], now: float
) -> None:
    """From BUILD to ACTIVE, or to ERROR when a test asked for that or no address is left."""
    seconds = state.clock.build_seconds
    fault = state.failing_builds.pop(0) if state.failing_builds else None
    if fault is None:
        try:
            give_ports(state, region, server, networks)
        except NoAddressLeft:
            fault = "No more IP addresses available on network."
    server.plan.append([now + seconds * 0.2, {"task_state": "spawning"}, []])
    if fault is not None:
        shown = {"code": 500, "created": zulu(now + seconds), "message": fault}
        changes: dict[str, Any] = {"vm_state": "error", "task_state": None, "fault": shown}
        server.plan.append([now + seconds, changes, ["action failed"]])
        return
    server.plan.append(
        [now + seconds, {"vm_state": "active", "task_state": None, "power_state": 1}, ["launch", "addresses"]]
    )


def _server_event(state: State, region: Region, server: SimulatedServer, event: str, moment: float) -> None:
    if event == "launch":
        server.launched = moment
    elif event == "addresses":
        show_addresses(region, server)
    elif event == "action failed":
        server.actions[0]["message"] = "Error"
    elif event == "gone":
        server.terminated = moment
        server.addresses = {}
        for port_id in server.port_ids:
            _loosen_floating(region, port_id)
            remove_port(region, port_id)
        server.port_ids = []
        for attached in server.volumes:
            volume = region.volumes.get(attached["id"])
            if volume is not None:
                volume["attachments"] = []
                volume["status"] = "available"
                if attached["delete_on_termination"]:
                    del region.volumes[attached["id"]]
        server.volumes = []


def _loosen_floating(region: Region, port_id: str) -> None:
    for floating in region.floatingips.values():
        if floating["port_id"] == port_id:
            floating.update({"port_id": None, "fixed_ip_address": None, "status": "DOWN"})
