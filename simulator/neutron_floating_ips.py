"""Neutron: floating IPs."""

from __future__ import annotations

import ipaddress

from .calls import Call
from .neutron_lookup import find_resource, neutron_error
from .neutron_resources import build_association, build_floating_ip
from .neutron_routers import find_gateway_router
from .ports import NoFreeAddressError, allocate_address, disassociate, release_address
from .state import Resource
from .transitions import schedule_address_refresh


def create_floating_ip(call: Call, requested: Resource) -> Resource:
    """Return a new floating IP of an external network, associated with a port when the request names one."""
    network = find_resource(call, "networks", str(requested.get("floating_network_id")))
    if not network["router:external"]:
        message = f"Bad floatingip request: Network {network['id']} is not a valid external network."
        raise neutron_error(400, "BadRequest", message)
    target = _find_target(call, network["id"], requested) if requested.get("port_id") else None
    address = _allocate(call, network, requested.get("subnet_id"))
    new = build_floating_ip(call.state, call.token.project_id or "", network, address, requested)
    if target is not None:
        try:
            _check_unused(call, new, target)
        except Exception:
            _release(call, new)
            raise
        _associate(call, new, target)
    return new


def _allocate(call: Call, network: Resource, subnet_id: object) -> str:
    subnets = [call.region.subnets[one] for one in network["subnets"] if one in call.region.subnets]
    if subnet_id is not None:
        subnets = [one for one in subnets if one["id"] == subnet_id]
        if not subnets:
            message = f"Invalid input for operation: Failed to create port on network {network['id']}, because fixed_ips "
            message += f"included invalid subnet {subnet_id}."
            raise neutron_error(400, "InvalidInput", message)
    subnets = [one for one in subnets if one["ip_version"] == 4]
    if not subnets:
        message = f"Bad floatingip request: Network {network['id']} does not contain any IPv4 subnet."
        raise neutron_error(400, "BadRequest", message)
    for subnet in subnets:
        try:
            return allocate_address(call.region, subnet)
        except NoFreeAddressError:
            continue
    message = f"No more IP addresses available on network {network['id']}."
    raise neutron_error(409, "IpAddressGenerationFailure", message)


def update_floating_ip(call: Call, floating: Resource, requested: Resource) -> None:
    """Associate a floating IP with a port, moving it from another one, or disassociate it."""
    if "port_id" not in requested:
        return
    before = floating["port_id"]
    if requested["port_id"] is None:
        if before is not None:
            disassociate(floating, call.now + call.state.clock.action_seconds)
            schedule_address_refresh(call.state, call.region, before)
        return
    target = _find_target(call, floating["floating_network_id"], requested)
    _check_unused(call, floating, target)
    _associate(call, floating, target)
    schedule_address_refresh(call.state, call.region, before)


def release_floating_ip(call: Call, floating: Resource) -> None:
    """Disassociate a floating IP that is being deleted, and release its address."""
    schedule_address_refresh(call.state, call.region, floating["port_id"])
    _release(call, floating)


def _release(call: Call, floating: Resource) -> None:
    network = call.region.networks.get(floating["floating_network_id"], {})
    for subnet_id in network.get("subnets", ()):
        release_address(call.region, subnet_id, floating["floating_ip_address"])


def _find_target(call: Call, network_id: str, requested: Resource) -> Resource:
    """Return the fields of the floating IP at the requested port. A router must connect its subnet to the external network."""
    port = find_resource(call, "ports", str(requested["port_id"]))
    fixed = [one for one in port["fixed_ips"] if ipaddress.ip_address(one["ip_address"]).version == 4]
    if not fixed:
        message = f"Bad floatingip request: Cannot add floating IP to port {port['id']} that has no fixed IPv4 addresses."
        raise neutron_error(400, "BadRequest", message)
    if (wanted := requested.get("fixed_ip_address")) is not None:
        fixed = [one for one in fixed if one["ip_address"] == wanted]
        if not fixed:
            message = f"Bad floatingip request: Port {port['id']} does not have fixed ip {wanted}."
            raise neutron_error(400, "BadRequest", message)
    router = find_gateway_router(call.region, fixed[0]["subnet_id"], network_id)
    if router is None:
        raise neutron_error(
            404,
            "ExternalGatewayForFloatingIPNotFound",
            f"External network {network_id} is not reachable from subnet {fixed[0]['subnet_id']}.  "
            f"Therefore, cannot associate Port {port['id']} with a Floating IP.",
        )
    return build_association(port, fixed[0], router)


def _check_unused(call: Call, floating: Resource, target: Resource) -> None:
    """Raise `HttpError` 409 when the fixed address has another floating IP of the same network."""
    for other in call.region.floatingips.values():
        if (
            other["id"] != floating["id"]
            and (other["port_id"], other["fixed_ip_address"])
            == (target["port_id"], target["fixed_ip_address"])
            and other["floating_network_id"] == floating["floating_network_id"]
        ):
            raise neutron_error(
                409,
                "FloatingIPPortAlreadyAssociated",
                f"Cannot associate floating IP {floating['floating_ip_address']} ({floating['id']}) with port "
                f"{target['port_id']} using fixed IP {target['fixed_ip_address']}, as that fixed IP already has a floating IP "
                f"on external network {floating['floating_network_id']}.",
            )


def _associate(call: Call, floating: Resource, target: Resource) -> None:
    """Associate a floating IP. The agent of its router reports the status ACTIVE later."""
    floating.update(target)
    floating["_plan"] = [call.now + call.state.clock.action_seconds, "ACTIVE"]
    schedule_address_refresh(call.state, call.region, target["port_id"])
