"""How state moves with time. Nothing runs in the background: what is due is done when somebody looks."""

from __future__ import annotations

from typing import Any

from .addresses import NoAddressLeft, address_entry, new_port, remove_port
from .clock import plain, zulu
from .server import SimulatedServer
from .state import Region, State, Thing

_DETACHED = "detached "


def settle_server(state: State, region: Region, server: SimulatedServer, now: float) -> None:
    """Do what is due on a server."""
    while server.plan and server.plan[0][0] <= now:
        moment, changes, events = server.plan.pop(0)
        for name, value in changes.items():
            setattr(server, name, value)
        for event in events:
            _server_event(state, region, server, event, moment)
        if not _is_detach(events):
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
            if "_plan" in thing or "_server" in thing or thing.get("attachments"):
                settle_volume(state, region, thing, now)


def settle_volume(state: State, region: Region, thing: Thing, now: float) -> None:
    """Do what is due on a volume or snapshot, and on the servers that it hangs on: their end sets it free."""
    # One that is reserved for a server has no attachment yet.
    for server_id in {thing.get("_server"), *(a["server_id"] for a in thing.get("attachments", ()))} - {None}:
        server = region.servers.get(server_id)
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


def settle_images(region: Region, now: float) -> None:
    """Do what is due on images: bytes that arrive."""
    for image in region.images.values():
        plan = image.get("_plan")
        while plan and plan[0][0] <= now:
            moment, changes = plan.pop(0)
            image.update(changes)
            image["updated_at"] = zulu(moment)


def plan_server(server: SimulatedServer, steps: list[list[Any]]) -> None:
    """What becomes of a server from now on. Volumes that are being taken from it go all the same."""
    kept = [step for step in server.plan if _is_detach(step[2])]
    server.plan = sorted([*kept, *steps], key=lambda step: step[0])


def _is_detach(events: list[str]) -> bool:
    """Nova keeps no trace of it on the server: `updated` stays, and `changes-since` does not show it."""
    return any(event.startswith(_DETACHED) for event in events)


def plan_detach(server: SimulatedServer, volume_id: str, due: float) -> None:
    """A volume goes from a server, whatever else the server does meanwhile."""
    server.plan = sorted([*server.plan, [due, {}, [_DETACHED + volume_id]]], key=lambda step: step[0])


def plan_volume(thing: Thing, due: float, changes: dict[str, Any] | None) -> None:
    """What becomes of a volume or snapshot; None is its end."""
    thing["_plan"] = [due, changes]


def port_on(state: State, region: Region, network: Thing, project_id: str, **more: Any) -> Thing:
    """A new port on a network, as `new_port` makes it.

    Raises `NoAddressLeft`, but not before what is due has set addresses free.
    """
    try:
        return new_port(state, region, network, project_id, **more)
    except NoAddressLeft:
        settle_servers(state, region, state.clock.now())
    return new_port(state, region, network, project_id, **more)


def give_ports(state: State, region: Region, server: SimulatedServer, networks: list[Thing]) -> None:
    """A port on each network. The addresses show once the server is launched. Raises `NoAddressLeft`."""
    for network in networks:
        port = port_on(
            state,
            region,
            network,
            server.project_id,
            device_id=server.id,
            owner=f"compute:{server.zone}",
            groups=None if server.group_ids is None else list(server.group_ids),
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


def show_groups(region: Region, server: SimulatedServer) -> None:
    """Work the names of a server's security groups out from its ports."""
    ids = {
        one for port_id in server.port_ids for one in region.ports.get(port_id, {}).get("security_groups", ())
    }
    server.group_names = sorted(
        {region.security_groups[one]["name"] for one in ids if one in region.security_groups}
    )
    server.text = None


def build_plan(
    state: State, region: Region, server: SimulatedServer, networks: list[Thing], now: float
) -> None:
    """From BUILD to ACTIVE, or to ERROR when a test asked for that or no address is left."""
    seconds = state.clock.build_seconds
    fault = state.failing_builds.pop(0) if state.failing_builds else None
    # Without a host, nobody gives the volumes back before the server is removed; a host that gives up does.
    found_a_host = fault is None
    if fault is None:
        try:
            give_ports(state, region, server, networks)
        except NoAddressLeft:
            fault = (
                f"Build of instance {server.id} aborted: Failed to allocate the network(s) with error No fixed IP "
                f"addresses available for network: {', '.join(n['id'] for n in networks)}, not rescheduling."
            )
    # Between scheduling and networking, Nova shows a BUILD without any task.
    on_the_way = [(0.2, None), (0.3, "networking"), (0.45, "spawning")]
    if server.volumes:
        on_the_way.insert(2, (0.35, "block_device_mapping"))
    server.plan.extend([now + seconds * part, {"task_state": task}, []] for part, task in on_the_way)
    if fault is not None:
        shown = {"code": 500, "created": zulu(now + seconds), "message": fault}
        changes: dict[str, Any] = {"vm_state": "error", "task_state": None, "fault": shown}
        server.plan.append([now + seconds, changes, ["action failed", "ports gone"]])
    if found_a_host:
        for attached in server.volumes:
            plan_attached(region, server, attached, now + seconds * 0.45)
    if fault is not None:
        if found_a_host:
            server.plan[-1][2].append("volumes free")
        return
    server.plan.append(
        [now + seconds, {"vm_state": "active", "task_state": None, "power_state": 1}, ["launch", "addresses"]]
    )


def plan_attached(region: Region, server: SimulatedServer, attached: Thing, due: float) -> None:
    """A volume that is reserved for a server comes into use."""
    volume = region.volumes.get(attached["id"])
    if volume is None:
        return
    attachments = [
        {"server_id": server.id, "volume_id": volume["id"], "id": volume["id"], "device": attached["device"]}
    ]
    plan_volume(volume, due, {"status": "in-use", "attachments": attachments})


def attach(state: State, region: Region, server: SimulatedServer, attached: Thing, now: float) -> None:
    """A volume becomes a server's: `reserved`, and `in-use` later. Off its host there is nothing to wait for."""
    server.volumes = [*server.volumes, attached]
    volume = region.volumes[attached["id"]]
    volume.update({"status": "reserved", "_server": server.id})
    if server.vm_state == "shelved_offloaded":
        attachment = {"server_id": server.id, "volume_id": volume["id"], "id": volume["id"], "device": None}
        volume.update({"status": "in-use", "attachments": [attachment]})
    else:
        plan_attached(region, server, attached, now + state.clock.action_seconds)


def _server_event(state: State, region: Region, server: SimulatedServer, event: str, moment: float) -> None:
    if event == "launch":
        server.launched = moment
    elif event == "addresses":
        show_addresses(region, server)
    elif event == "action failed":
        server.actions[0]["message"] = "Error"
    elif event == "ports gone":
        _drop_ports(region, server)
    elif event == "unshelved":
        region.images.pop(server.shelved_image_id or "", None)
        server.shelved_image_id = None
    elif event == "gone":
        _gone(region, server, moment)
    else:
        _volume_event(region, server, event)


def _volume_event(region: Region, server: SimulatedServer, event: str) -> None:
    if event == "volumes free":
        # The server goes on naming them.
        for attached in server.volumes:
            _free_volume(region, server, attached["id"])
    elif event == "offloaded":
        for attached in server.volumes:
            volume = region.volumes.get(attached["id"])
            if volume is not None:
                # That it came into use may be due too, unseen so far: it was before this.
                volume.pop("_plan", None)
                volume.update({"status": "reserved", "attachments": []})
    elif event.startswith(_DETACHED):
        volume_id = event.removeprefix(_DETACHED)
        server.volumes = [v for v in server.volumes if v["id"] != volume_id]
        _free_volume(region, server, volume_id)


def _gone(region: Region, server: SimulatedServer, moment: float) -> None:
    server.terminated = moment
    server.addresses = {}
    _drop_ports(region, server)
    for attached in server.volumes:
        was_its = _free_volume(region, server, attached["id"])
        # Cinder refuses the removal of a volume with snapshots, and Nova lets it be.
        if (
            attached["delete_on_termination"]
            and was_its
            and not any(snapshot["volume_id"] == attached["id"] for snapshot in region.snapshots.values())
        ):
            region.volumes.pop(attached["id"], None)
    server.volumes = []
    for image in [i for i in region.images.values() if i.get("instance_uuid") == server.id]:
        # A snapshot that was not done dies with its server, and so does what it was shelved as.
        if image.get("_plan") or image["id"] == server.shelved_image_id:
            del region.images[image["id"]]


def _drop_ports(region: Region, server: SimulatedServer) -> None:
    for port_id in server.port_ids:
        remove_port(region, port_id)
    server.port_ids = []


def _free_volume(region: Region, server: SimulatedServer, volume_id: str) -> bool:
    """Make a volume available again, if it is still the server's."""
    volume = region.volumes.get(volume_id)
    if volume is None or server.id not in {
        volume.get("_server"),
        *(attachment["server_id"] for attachment in volume["attachments"]),
    }:
        return False
    volume.pop("_plan", None)
    volume.pop("_server", None)
    volume.update({"attachments": [], "status": "available"})
    return True
