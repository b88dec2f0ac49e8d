"""Changes of single resources by the control API, of which the portal is not told."""

from __future__ import annotations

import time
from collections.abc import Callable

from .clock import format_zulu
from .http_messages import Request, Response, not_found
from .ports import delete_port, disassociate, release_address
from .raw_resources import overlay_fields
from .server import POWER_BY_VM_STATE, VM_STATE_BY_STATUS
from .state import KINDS, Region, Resource, State
from .transitions import advance_servers, advance_volumes, refresh_addresses


def parse_kind(name: str) -> str | None:
    """Return the kind of a path segment, or None for one that cannot be changed."""
    kind = {"floating_ips": "floatingips"}.get(name.replace("-", "_"), name.replace("-", "_"))
    return kind if kind == "servers" or (kind in KINDS and kind != "quotas") else None


def _locate_resource(state: State, kind: str, resource_id: str) -> tuple[Region, str]:
    """Return the region and the key of a resource. A key pair is addressed by name and stored under its user's id and name."""
    for region in state.regions.values():
        resources = getattr(region, kind)
        if resource_id in resources:
            return region, resource_id
        if kind == "keypairs":
            for key, pair in resources.items():
                if pair["name"] == resource_id:
                    return region, key
    raise not_found(f"no {kind} {resource_id}")


def change_resource(state: State, request: Request, kind: str, resource_id: str) -> Response:
    """Set fields (PATCH) or delete (DELETE) a resource, at once, whatever depends on it. Raises `HttpError` 404.

    Fields below `raw` may have any value: those that the simulator could not work with are only shown.
    """
    region, key = _locate_resource(state, kind, resource_id)
    now = time.time() + state.clock.offset
    state.dirty = True
    if kind == "servers":
        return _change_server(state, region, request, key, now)
    if kind == "volumes":
        advance_volumes(state, region, now)
    resources: dict[str, Resource] = getattr(region, kind)
    if key not in resources:
        raise not_found(f"no {kind} {resource_id}")  # Its scheduled deletion was due.
    if request.method == "DELETE":
        remove = _REMOVALS.get(kind)
        if remove is None:
            del resources[key]
        else:
            remove(region, key)
        return Response(200, {})
    resource, requested = resources[key], request.json()
    raw_fields = requested.pop("raw", {})
    resource.update(requested)
    for name in requested:
        resource.get("_raw", {}).pop(name, None)
    overlay_fields(resource, raw_fields)
    # A scheduled change would undo this one.
    resource.pop("_plan", None)
    return Response(200, {**resource, **resource.get("_raw", {})})


def _remove_volume(region: Region, volume_id: str) -> None:
    region.volumes.pop(volume_id, None)
    for server in region.servers.values():
        if any(v["id"] == volume_id for v in server.volumes):
            server.volumes = [v for v in server.volumes if v["id"] != volume_id]
            server.text = None


def _remove_network(region: Region, network_id: str) -> None:
    """Delete a network with its subnets and ports."""
    for port_id in [p["id"] for p in region.ports.values() if p["network_id"] == network_id]:
        _remove_port(region, port_id)
    for subnet_id in region.networks.pop(network_id)["subnets"]:
        region.subnets.pop(subnet_id, None)


def _remove_subnet(region: Region, subnet_id: str) -> None:
    network = region.networks.get(region.subnets.pop(subnet_id)["network_id"])
    if network is not None:
        network["subnets"] = [other for other in network["subnets"] if other != subnet_id]


def _remove_port(region: Region, port_id: str) -> None:
    server = region.servers.get(region.ports[port_id]["device_id"])
    delete_port(region, port_id)
    if server is not None and port_id in server.port_ids:
        server.port_ids = [other for other in server.port_ids if other != port_id]
        refresh_addresses(region, server)


def _remove_router(region: Region, router_id: str) -> None:
    """Delete a router with its ports, and disassociate the floating IPs that use it."""
    for port_id in [p["id"] for p in region.ports.values() if p["device_id"] == router_id]:
        delete_port(region, port_id)
    for floating in region.floatingips.values():
        if floating["router_id"] == router_id:
            disassociate(floating)
    del region.routers[router_id]


def _remove_floating_ip(region: Region, floating_ip_id: str) -> None:
    """Delete a floating IP, release its address, and take it from its server's addresses."""
    floating = region.floatingips.pop(floating_ip_id)
    for subnet_id in region.networks.get(floating["floating_network_id"], {}).get("subnets", ()):
        release_address(region, subnet_id, floating["floating_ip_address"])
    server = region.servers.get(region.ports.get(floating["port_id"] or "", {}).get("device_id", ""))
    if server is not None:
        refresh_addresses(region, server)


def _remove_security_group(region: Region, group_id: str) -> None:
    """Delete a security group with its rules, and take it from its ports."""
    for rule in region.security_groups.pop(group_id)["security_group_rules"]:
        region.security_group_rules.pop(rule["id"], None)
    for port in region.ports.values():
        port["security_groups"] = [other for other in port["security_groups"] if other != group_id]


def _remove_rule(region: Region, rule_id: str) -> None:
    rule = region.security_group_rules.pop(rule_id)
    group = region.security_groups.get(rule["security_group_id"])
    if group is not None:
        group["security_group_rules"] = [r for r in group["security_group_rules"] if r["id"] != rule_id]
        group["revision_number"] += 1


_REMOVALS: dict[str, Callable[[Region, str], object]] = {
    "volumes": _remove_volume,
    "networks": _remove_network,
    "subnets": _remove_subnet,
    "ports": _remove_port,
    "routers": _remove_router,
    "floatingips": _remove_floating_ip,
    "security_groups": _remove_security_group,
    "security_group_rules": _remove_rule,
}


def _change_server(state: State, region: Region, request: Request, resource_id: str, now: float) -> Response:
    server = region.servers[resource_id]
    if request.method == "DELETE":
        server.odd_status = None
        server.plan = [[now, {"vm_state": "deleted", "task_state": None, "power_state": 0}, ["gone"]]]
        advance_servers(state, region, now)
        return Response(200, {})
    requested = request.json()
    if "status" in requested:
        status = str(requested["status"])
        server.plan, server.task_state = [], None
        # An unknown status is shown unchanged, for tests of clients.
        server.odd_status = None if status in VM_STATE_BY_STATUS else status
        server.vm_state = VM_STATE_BY_STATUS.get(status, server.vm_state)
        server.power_state = POWER_BY_VM_STATE.get(server.vm_state, 0)
        if status == "ACTIVE" and server.launched is None:
            server.plan = [[now, {}, ["launch", "addresses"]]]
    if "fault" in requested:
        fault = requested["fault"]
        server.fault = (
            None if fault is None else {"code": 500, "created": format_zulu(now), "message": str(fault)}
        )
    for name in (
        "name",
        "tags",
        "metadata",
        "addresses",
        "task_state",
        "power_state",
        "description",
        "key_name",
        "locked",
        "encrypted_password",
        "host",
        # Nova's record of its attachments only; the volume has Cinder's.
        "volumes",
    ):
        if name in requested:
            setattr(server, name, requested[name])
    server.raw.update(requested.get("raw") or {})
    server.updated = now
    server.text = None
    return Response(200, {"id": server.id, "status": server.status, "name": server.name})
