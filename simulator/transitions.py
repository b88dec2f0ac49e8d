"""State changes over time. Nothing runs in the background: due changes are applied when the state is read."""

from __future__ import annotations

from typing import Any

from .clock import format_naive, format_zulu
from .host_selection import select_host
from .ports import (
    NoFreeAddressError,
    create_port,
    find_subnet,
    format_addresses,
    release_server_port,
)
from .server import SimulatedServer
from .state import Region, Resource, State

_DETACH_EVENT = "detached "
_UNPLUG_EVENT = "unplugged "
_MIGRATION_EVENT = "migration "
_NO_HOST = "No valid host was found. There are not enough hosts available."


class InvalidInterfaceError(Exception):
    """A requested interface of a new server that Nova accepts, and that fails on the host."""


def advance_server(state: State, region: Region, server: SimulatedServer, now: float) -> None:
    """Apply a server's due steps."""
    while server.plan and server.plan[0][0] <= now:
        timestamp, changes, events = server.plan.pop(0)
        for name, value in changes.items():
            setattr(server, name, value)
        for event in events:
            _apply_server_event(state, region, server, event, timestamp)
        if not _is_detachment(events):
            server.updated = timestamp
        server.text = None
        if server.actions:
            server.actions[0]["updated_at"] = format_naive(timestamp)
        state.dirty = True
    if server.addresses_due is not None and server.addresses_due <= now:
        refresh_addresses(region, server)
        state.dirty = True


def advance_servers(state: State, region: Region, now: float) -> None:
    """Apply the due steps of all servers."""
    for server in region.servers.values():
        if server.is_waiting:
            advance_server(state, region, server, now)


def advance_volumes(state: State, region: Region, now: float) -> None:
    """Apply the due changes of all volumes and snapshots."""
    for kind in (region.volumes, region.snapshots):
        for resource in list(kind.values()):
            if "_plan" in resource or "_server" in resource or resource.get("attachments"):
                advance_volume(state, region, resource, now)


def advance_volume(state: State, region: Region, resource: Resource, now: float) -> None:
    """Apply the due changes of a volume or snapshot, after those of its servers, which may release it."""
    # A reserved volume has no attachment yet.
    for server_id in {resource.get("_server"), *(a["server_id"] for a in resource.get("attachments", ()))} - {
        None
    }:
        server = region.servers.get(server_id)
        if server is not None and server.plan:
            advance_server(state, region, server, now)
    plan = resource.get("_plan")
    if not plan or plan[0] > now:
        return
    timestamp, changes = resource.pop("_plan")
    state.dirty = True
    if changes is None:
        region.volumes.pop(resource["id"], None)
        region.snapshots.pop(resource["id"], None)
    else:
        resource.update(changes)
        resource["updated_at"] = format_naive(timestamp)


def advance_images(region: Region, now: float) -> None:
    """Apply the due changes of images."""
    for image in region.images.values():
        plan = image.get("_plan")
        while plan and plan[0][0] <= now:
            timestamp, changes = plan.pop(0)
            image.update(changes)
            image["updated_at"] = format_zulu(timestamp)


def schedule_steps(server: SimulatedServer, steps: list[list[Any]]) -> None:
    """Replace a server's scheduled steps, except detachments of volumes and ports."""
    kept = [step for step in server.plan if _is_detachment(step[2])]
    server.plan = sorted([*kept, *steps], key=lambda step: step[0])


def _is_detachment(events: list[str]) -> bool:
    """Return whether the step is the detachment of a volume or port. Nova does not show it on the server: `updated` stays, and `changes-since` omits it."""
    return any(event.startswith((_DETACH_EVENT, _UNPLUG_EVENT)) for event in events)


def schedule_detachment(server: SimulatedServer, volume_id: str, due: float) -> None:
    """Schedule the detachment of a volume, whatever else the server does."""
    server.plan = sorted([*server.plan, [due, {}, [_DETACH_EVENT + volume_id]]], key=lambda step: step[0])


def schedule_port_detachment(server: SimulatedServer, port_id: str, due: float) -> None:
    """Schedule the detachment of a port, whatever else the server does."""
    server.plan = sorted([*server.plan, [due, {}, [_UNPLUG_EVENT + port_id]]], key=lambda step: step[0])


def schedule_change(resource: Resource, due: float, changes: dict[str, Any] | None) -> None:
    """Schedule a change of a volume or snapshot; None is its deletion."""
    resource["_plan"] = [due, changes]


def allocate_port(state: State, region: Region, network: Resource, project_id: str, **more: Any) -> Resource:
    """Create a port on a network, as `create_port` does.

    Due changes of servers, which may release addresses, are applied first. Raises `NoFreeAddressError`.
    """
    try:
        return create_port(state, region, network, project_id, **more)
    except NoFreeAddressError:
        advance_servers(state, region, state.clock.now())
    return create_port(state, region, network, project_id, **more)


def allocate_ports(state: State, region: Region, server: SimulatedServer, networks: list[Resource]) -> None:
    """Create a port for each requested interface. The server shows the addresses once it is launched.

    Raises `NoFreeAddressError`, and `InvalidInterfaceError` for an address or network that only the host finds invalid.
    """
    owner = f"compute:{server.zone}"
    for requested in networks:
        network, address = requested["network"], requested["fixed_ip"]
        if network["router:external"] and not network["shared"]:
            raise InvalidInterfaceError("Failed to allocate the network(s), not rescheduling.")
        fixed = None
        if address is not None:
            subnet_id = find_subnet(region, network, address)
            if subnet_id is None:
                raise InvalidInterfaceError(
                    f"Invalid input received: Fixed IP {address} is not a valid ip address for network {network['id']}."
                )
            fixed = [{"subnet_id": subnet_id, "ip_address": address}]
        groups = None if server.group_ids is None else list(server.group_ids)
        created = allocate_port(
            state,
            region,
            network,
            server.project_id,
            device_id=server.id,
            owner=owner,
            groups=groups,
            fixed=fixed,
        )
        server.port_ids.append(created["id"])


def refresh_addresses(region: Region, server: SimulatedServer) -> None:
    """Compute a server's addresses from its ports and their floating IPs."""
    found: dict[str, list[Resource]] = {}
    for port_id in server.port_ids:
        port = region.ports.get(port_id)
        if port is None:
            continue
        entries = found.setdefault(region.networks[port["network_id"]]["name"], [])
        entries.extend(format_addresses(port))
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
    server.addresses_due = None
    server.text = None


def schedule_address_refresh(state: State, region: Region, port_id: str | None) -> None:
    """Let Nova show the floating IPs of a server's port a while after Neutron does.

    Its `updated` stays, so a listing with changes-since does not show the server (seen on Zed).
    """
    port = region.ports.get(port_id or "")
    server = region.servers.get(port["device_id"]) if port is not None else None
    if server is not None and server.launched is not None:
        server.addresses_due = state.clock.now() + 2 * state.clock.action_seconds


def refresh_group_names(region: Region, server: SimulatedServer) -> None:
    """Compute the names of a server's security groups from its ports."""
    ids = {
        group_id
        for port_id in server.port_ids
        for group_id in region.ports.get(port_id, {}).get("security_groups", ())
    }
    server.group_names = sorted(
        {region.security_groups[group_id]["name"] for group_id in ids if group_id in region.security_groups}
    )
    server.text = None


def schedule_build(
    state: State, region: Region, server: SimulatedServer, networks: list[Resource], now: float
) -> None:
    """Schedule a build: from BUILD to ACTIVE, or to ERROR for a requested failure, without a host or a free address."""
    seconds = state.clock.build_seconds
    fault = state.failing_builds.pop(0) if state.failing_builds else None
    # A host that gives up releases the volumes; without a host, only the deletion of the server does.
    if fault is None:
        server.host = select_host(region, server)
        fault = _NO_HOST if server.host is None else None
    found_a_host = fault is None
    if fault is None:
        fault = _find_network_fault(state, region, server, networks)
    # Between scheduling and networking, Nova shows a BUILD without any task.
    tasks = [(0.2, None), (0.3, "networking"), (0.45, "spawning")]
    if server.volumes:
        tasks.insert(2, (0.35, "block_device_mapping"))
    server.plan.extend([now + seconds * part, {"task_state": task}, []] for part, task in tasks)
    if fault is not None:
        shown = {"code": 500, "created": format_zulu(now + seconds), "message": fault}
        changes: dict[str, Any] = {"vm_state": "error", "task_state": None, "fault": shown, "host": None}
        server.plan.append([now + seconds, changes, ["action failed", "ports gone"]])
    if found_a_host:
        for attached in server.volumes:
            schedule_attachment(region, server, attached, now + seconds * 0.45)
    if fault is not None:
        if found_a_host:
            server.plan[-1][2].append("volumes free")
        return
    server.plan.append(
        [now + seconds, {"vm_state": "active", "task_state": None, "power_state": 1}, ["launch", "addresses"]]
    )


def _find_network_fault(
    state: State, region: Region, server: SimulatedServer, networks: list[Resource]
) -> str | None:
    """Create a new server's ports, and return why that fails on its host, or None."""
    start = f"Build of instance {server.id} aborted: "
    try:
        allocate_ports(state, region, server, networks)
    except NoFreeAddressError:
        ids = ", ".join(requested["network"]["id"] for requested in networks)
        return (
            f"{start}Failed to allocate the network(s) with error No fixed IP addresses available for network: {ids}, "
            "not rescheduling."
        )
    except InvalidInterfaceError as error:
        return f"{start}{error}"
    return None


def schedule_attachment(region: Region, server: SimulatedServer, attached: Resource, due: float) -> None:
    """Schedule the attachment of a volume that is reserved for a server."""
    volume = region.volumes.get(attached["id"])
    if volume is None:
        return
    attachments = [
        {"server_id": server.id, "volume_id": volume["id"], "id": volume["id"], "device": attached["device"]}
    ]
    schedule_change(volume, due, {"status": "in-use", "attachments": attachments})


def reserve_volume(
    state: State, region: Region, server: SimulatedServer, attached: Resource, now: float
) -> None:
    """Attach a volume to a server: `reserved`, later `in-use`; at once while the server is shelved off its host."""
    server.volumes = [*server.volumes, attached]
    volume = region.volumes[attached["id"]]
    volume.update({"status": "reserved", "_server": server.id})
    if server.vm_state == "shelved_offloaded":
        attachment = {"server_id": server.id, "volume_id": volume["id"], "id": volume["id"], "device": None}
        volume.update({"status": "in-use", "attachments": [attachment]})
    else:
        schedule_attachment(region, server, attached, now + state.clock.action_seconds)


def _update_migration(region: Region, event: str, timestamp: float) -> None:
    _, migration_id, status = event.split(" ")
    migration = region.migrations.get(migration_id)
    if migration is not None:
        migration.update({"status": status, "updated_at": format_naive(timestamp)})
        if status == "error":
            migration.update({"dest_compute": None, "dest_node": None})


def _apply_server_event(
    state: State, region: Region, server: SimulatedServer, event: str, timestamp: float
) -> None:
    if event == "launch":
        server.launched = timestamp
    elif event == "addresses":
        refresh_addresses(region, server)
    elif event == "action failed":
        server.actions[0]["message"] = "Error"
    elif event == "ports gone":
        _delete_ports(region, server)
    elif event == "unshelved":
        region.images.pop(server.shelved_image_id or "", None)
        server.shelved_image_id = None
    elif event == "gone":
        _finish_deletion(region, server, timestamp)
    elif event.startswith(_UNPLUG_EVENT):
        _unplug_port(region, server, event.removeprefix(_UNPLUG_EVENT))
    elif event.startswith(_MIGRATION_EVENT):
        _update_migration(region, event, timestamp)
    else:
        _apply_volume_event(region, server, event)


def _apply_volume_event(region: Region, server: SimulatedServer, event: str) -> None:
    if event == "volumes free":
        # The server still lists them.
        for attached in server.volumes:
            _free_volume(region, server, attached["id"])
    elif event == "offloaded":
        for attached in server.volumes:
            volume = region.volumes.get(attached["id"])
            if volume is not None:
                # A due attachment that was not applied yet came before this.
                volume.pop("_plan", None)
                volume.update({"status": "reserved", "attachments": []})
    elif event.startswith(_DETACH_EVENT):
        volume_id = event.removeprefix(_DETACH_EVENT)
        server.volumes = [v for v in server.volumes if v["id"] != volume_id]
        _free_volume(region, server, volume_id)


def _finish_deletion(region: Region, server: SimulatedServer, timestamp: float) -> None:
    server.terminated = timestamp
    server.addresses = {}
    _delete_ports(region, server)
    for attached in server.volumes:
        was_attached = _free_volume(region, server, attached["id"])
        # Cinder refuses to delete a volume with snapshots, and Nova ignores that.
        if (
            attached["delete_on_termination"]
            and was_attached
            and not any(snapshot["volume_id"] == attached["id"] for snapshot in region.snapshots.values())
        ):
            region.volumes.pop(attached["id"], None)
    server.volumes = []
    for image in [i for i in region.images.values() if i.get("instance_uuid") == server.id]:
        # An unfinished snapshot, and the shelved image, are deleted with the server.
        if image.get("_plan") or image["id"] == server.shelved_image_id:
            del region.images[image["id"]]


def _delete_ports(region: Region, server: SimulatedServer) -> None:
    for port_id in server.port_ids:
        release_server_port(region, port_id)
    server.port_ids = []


def _unplug_port(region: Region, server: SimulatedServer, port_id: str) -> None:
    if port_id in server.port_ids:
        server.port_ids = [other for other in server.port_ids if other != port_id]
        release_server_port(region, port_id)
        refresh_addresses(region, server)


def _free_volume(region: Region, server: SimulatedServer, volume_id: str) -> bool:
    """Make a volume available again if it still belongs to the server."""
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
