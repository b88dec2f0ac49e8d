"""Neutron: routers, their interfaces and gateways, and the floating IPs that need both."""

from __future__ import annotations

from .addresses import NoAddressLeft, new_port, remove_port, take_address
from .exchange import Answer, Call
from .moves import show_addresses
from .neutron_content import new_floating, new_router
from .neutron_things import find, refused
from .state import Region, Thing

INTERFACE = "network:router_interface"
_GATEWAY = "network:router_gateway"


def create_router(call: Call, wanted: Thing) -> Thing:
    """A router, with its gateway if one is asked for."""
    router = new_router(call.state, call.token.project_id or "", wanted)
    set_gateway(call, router, wanted.get("external_gateway_info"))
    return router


def set_gateway(call: Call, router: Thing, wanted: Thing | None) -> None:
    """Put a router on an external network, or take it off."""
    before = router.get("external_gateway_info")
    network_id = (wanted or {}).get("network_id")
    if before is not None and before["network_id"] == network_id:
        return
    if before is not None:
        if any(floating["router_id"] == router["id"] for floating in call.region.floatingips.values()):
            raise refused(
                409,
                "RouterExternalGatewayInUseByFloatingIp",
                f"Gateway cannot be updated for router {router['id']}, since a gateway to external network "
                f"{before['network_id']} is required by one or more floating IPs.",
            )
        for port in ports_of(call.region, router["id"], _GATEWAY):
            remove_port(call.region, port["id"])
    router["external_gateway_info"] = None
    if not network_id:
        return
    network = find(call, "networks", str(network_id))
    if not network["router:external"]:
        words = f"Bad router request: Network {network_id} is not an external network."
        raise refused(400, "BadRequest", words)
    try:
        # It is nobody's, so projects do not see it.
        port = new_port(call.state, call.region, network, "", device_id=router["id"], owner=_GATEWAY)
    except NoAddressLeft:
        raise _no_address(network) from None
    router["external_gateway_info"] = {
        "network_id": network_id,
        "external_fixed_ips": port["fixed_ips"],
        "enable_snat": bool((wanted or {}).get("enable_snat", True)),
    }


def ports_of(region: Region, router_id: str, owner: str = INTERFACE) -> list[Thing]:
    """A router's ports of one kind."""
    return [p for p in region.ports.values() if p["device_id"] == router_id and p["device_owner"] == owner]


def change_interface(call: Call, router_id: str, verb: str) -> Answer:
    """`PUT /routers/<id>/add_router_interface` and `remove_router_interface`, by a subnet or by a port."""
    router = find(call, "routers", router_id)
    body = call.request.json()
    if verb == "add_router_interface":
        port = _join(call, router, body)
    elif verb == "remove_router_interface":
        port = _part(call, router, body)
    else:
        raise refused(404, "HTTPNotFound", "The resource could not be found.")
    call.state.dirty = True
    call.did(verb, router_id)
    subnet_ids = [fixed["subnet_id"] for fixed in port["fixed_ips"]]
    return Answer(
        200,
        {
            "id": router_id, "tenant_id": router["tenant_id"], "port_id": port["id"], "network_id": port["network_id"],
            "subnet_id": subnet_ids[0] if subnet_ids else None, "subnet_ids": subnet_ids,
        },
    )  # fmt: skip


def _join(call: Call, router: Thing, body: Thing) -> Thing:
    region = call.region
    if body.get("port_id"):
        port = find(call, "ports", str(body["port_id"]))
        if port["device_id"]:
            raise refused(
                409,
                "PortInUse",
                f"Unable to complete operation on port {port['id']} for network {port['network_id']}. Port already has "
                f"an attached device {port['device_id']}.",
            )
        port.update({"device_id": router["id"], "device_owner": INTERFACE, "status": "ACTIVE"})
        return port
    subnet = find(call, "subnets", str(body.get("subnet_id")))
    if _interface(region, router["id"], subnet["id"]) is not None:
        words = f"Bad router request: Router already has a port on subnet {subnet['id']}."
        raise refused(400, "BadRequest", words)
    if not subnet["gateway_ip"]:
        words = f"Bad router request: Subnet for router interface must have a gateway IP: {subnet['id']}."
        raise refused(400, "BadRequest", words)
    fixed = {"subnet_id": subnet["id"], "ip_address": subnet["gateway_ip"]}
    if any(fixed in port["fixed_ips"] for port in region.ports.values()):
        words = f"IP address {subnet['gateway_ip']} already allocated in subnet {subnet['id']}"
        raise refused(409, "IpAddressAlreadyAllocated", words)
    network = region.networks[subnet["network_id"]]
    return new_port(
        call.state,
        region,
        network,
        router["project_id"],
        device_id=router["id"],
        owner=INTERFACE,
        fixed=[fixed],
    )


def _part(call: Call, router: Thing, body: Thing) -> Thing:
    region = call.region
    if body.get("port_id"):
        port = region.ports.get(str(body["port_id"]))
        if port is None or port["device_id"] != router["id"]:
            words = f"Router {router['id']} does not have an interface with id {body['port_id']}"
            raise refused(404, "RouterInterfaceNotFound", words)
    else:
        subnet_id = str(body.get("subnet_id"))
        port = _interface(region, router["id"], subnet_id)
        if port is None:
            words = f"Router {router['id']} has no interface on subnet {subnet_id}"
            raise refused(404, "RouterInterfaceNotFoundForSubnet", words)
    subnets = {fixed["subnet_id"] for fixed in port["fixed_ips"]}
    for floating in region.floatingips.values():
        target = region.ports.get(floating["port_id"] or "")
        if floating["router_id"] == router["id"] and target is not None and subnets & _subnets_of(target):
            raise refused(
                409,
                "RouterInterfaceInUseByFloatingIP",
                f"Router interface for subnet {' '.join(subnets)} on router {router['id']} cannot be deleted, as it is "
                "required by one or more floating IPs.",
            )
    remove_port(region, port["id"])
    return port


def _interface(region: Region, router_id: str, subnet_id: str) -> Thing | None:
    return next((port for port in ports_of(region, router_id) if subnet_id in _subnets_of(port)), None)


def _subnets_of(port: Thing) -> set[str]:
    return {fixed["subnet_id"] for fixed in port["fixed_ips"]}


def check_unused(call: Call, router: Thing) -> None:
    """Refuse the removal of a router that joins networks; otherwise take its gateway away."""
    ports = ports_of(call.region, router["id"])
    if ports:
        ids = ",".join(port["id"] for port in ports)
        raise refused(409, "RouterInUse", f"Router {router['id']} has ports still attached: {ids}")
    set_gateway(call, router, None)


def create_floating(call: Call, wanted: Thing) -> Thing:
    """A floating IP of an external network, leading to a port if one is named."""
    network = find(call, "networks", str(wanted.get("floating_network_id")))
    subnet = call.region.subnets.get(network["subnets"][0]) if network["subnets"] else None
    if not network["router:external"] or subnet is None:
        words = f"Bad floatingip request: Network {network['id']} does not contain any IPv4 subnet."
        raise refused(400, "BadRequest", words)
    try:
        address = take_address(call.region, subnet)
    except NoAddressLeft:
        raise _no_address(network) from None
    new = new_floating(call.state, call.token.project_id or "", network, address, wanted)
    if wanted.get("port_id"):
        associate(call, new, wanted["port_id"])
    return new


def associate(call: Call, floating: Thing, port_id: str | None) -> None:
    """Lead a floating IP to a port, or nowhere. A router must join the port's subnet to the external network."""
    before = floating["port_id"]
    if port_id is None:
        loose = {"port_id": None, "fixed_ip_address": None, "router_id": None, "status": "DOWN"}
        floating.update({**loose, "port_details": None})
    else:
        port = find(call, "ports", port_id)
        if not port["fixed_ips"]:
            words = f"Bad floatingip request: Cannot add floating IP to port {port_id} that has no fixed IPv4 addresses."
            raise refused(400, "BadRequest", words)
        fixed = port["fixed_ips"][0]
        router = _way_out(call.region, fixed["subnet_id"], floating["floating_network_id"])
        if router is None:
            raise refused(
                404,
                "ExternalGatewayForFloatingIPNotFound",
                f"External network {floating['floating_network_id']} is not reachable from subnet {fixed['subnet_id']}.  "
                f"Therefore, cannot associate Port {port_id} with a Floating IP.",
            )
        names = ("name", "network_id", "mac_address", "admin_state_up", "status", "device_id", "device_owner")
        found = {"port_id": port_id, "fixed_ip_address": fixed["ip_address"], "router_id": router["id"]}
        details = {name: port[name] for name in names}
        floating.update({**found, "status": "ACTIVE", "port_details": details})
    # The servers' addresses are worked out from what the region holds, and a new one is not there yet.
    call.region.floatingips[floating["id"]] = floating
    for touched in {before, port_id} - {None}:
        device = call.region.ports.get(touched or "", {}).get("device_id")
        server = call.region.servers.get(device or "")
        if server is not None and server.launched is not None:
            show_addresses(call.region, server)
            server.updated = call.now


def _way_out(region: Region, subnet_id: str, network_id: str) -> Thing | None:
    for router in region.routers.values():
        gateway = router["external_gateway_info"]
        leads_there = gateway is not None and gateway["network_id"] == network_id
        if leads_there and _interface(region, router["id"], subnet_id) is not None:
            return router
    return None


def _no_address(network: Thing) -> Exception:
    words = f"No more IP addresses available on network {network['id']}."
    return refused(409, "IpAddressGenerationFailure", words)
