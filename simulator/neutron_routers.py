"""Neutron: routers with their interfaces and gateways."""

from __future__ import annotations

from .calls import Call
from .http_messages import Response
from .neutron_lookup import find_resource, neutron_error
from .neutron_resources import build_router
from .ports import NoFreeAddressError, create_port, delete_port
from .state import Region, Resource

INTERFACE = "network:router_interface"
GATEWAY = "network:router_gateway"


def create_router(call: Call, requested: Resource) -> Resource:
    """Return a new router, with its gateway when the request names one."""
    router = build_router(call.state, call.token.project_id or "", requested)
    set_gateway(call, router, requested.get("external_gateway_info"))
    return router


def set_gateway(call: Call, router: Resource, requested: Resource | None) -> None:
    """Connect a router to an external network, or disconnect it."""
    before = router.get("external_gateway_info")
    network_id = (requested or {}).get("network_id")
    if before is not None and before["network_id"] == network_id:
        return
    if before is not None:
        if any(floating["router_id"] == router["id"] for floating in call.region.floatingips.values()):
            raise neutron_error(
                409,
                "RouterExternalGatewayInUseByFloatingIp",
                f"Gateway cannot be updated for router {router['id']}, since a gateway to external network "
                f"{before['network_id']} is required by one or more floating IPs.",
            )
        for port in list_router_ports(call.region, router["id"], GATEWAY):
            delete_port(call.region, port["id"])
    router["external_gateway_info"] = None
    if not network_id:
        return
    network = find_resource(call, "networks", str(network_id))
    if not network["router:external"]:
        message = f"Bad router request: Network {network_id} is not an external network."
        raise neutron_error(400, "BadRequest", message)
    try:
        # The port belongs to no project, so projects do not see it.
        port = create_port(call.state, call.region, network, "", device_id=router["id"], owner=GATEWAY)
    except NoFreeAddressError:
        raise _build_no_address_error(network) from None
    router["external_gateway_info"] = {
        "network_id": network_id,
        "external_fixed_ips": port["fixed_ips"],
        "enable_snat": bool((requested or {}).get("enable_snat", True)),
    }


def list_router_ports(region: Region, router_id: str, owner: str = INTERFACE) -> list[Resource]:
    """Return a router's ports of one owner type."""
    return [p for p in region.ports.values() if p["device_id"] == router_id and p["device_owner"] == owner]


def change_interface(call: Call, router_id: str, verb: str) -> Response:
    """Add or remove a router interface, by subnet or by port: `PUT /routers/<id>/{add,remove}_router_interface`."""
    router = find_resource(call, "routers", router_id)
    body = call.request.json()
    if verb == "add_router_interface":
        port = _add_interface(call, router, body)
    elif verb == "remove_router_interface":
        port = _remove_interface(call, router, body)
    else:
        raise neutron_error(404, "HTTPNotFound", "The resource could not be found.")
    call.state.dirty = True
    call.record_accepted(verb, router_id)
    subnet_ids = [fixed["subnet_id"] for fixed in port["fixed_ips"]]
    return Response(
        200,
        {
            "id": router_id, "tenant_id": router["tenant_id"], "port_id": port["id"], "network_id": port["network_id"],
            "subnet_id": subnet_ids[0] if subnet_ids else None, "subnet_ids": subnet_ids,
        },
    )  # fmt: skip


def _add_interface(call: Call, router: Resource, body: Resource) -> Resource:
    region = call.region
    if body.get("port_id"):
        port = find_resource(call, "ports", str(body["port_id"]))
        if port["device_id"]:
            raise neutron_error(
                409,
                "PortInUse",
                f"Unable to complete operation on port {port['id']} for network {port['network_id']}. Port already has "
                f"an attached device {port['device_id']}.",
            )
        port.update({"device_id": router["id"], "device_owner": INTERFACE, "status": "ACTIVE"})
        return port
    subnet = find_resource(call, "subnets", str(body.get("subnet_id")))
    if _find_interface(region, router["id"], subnet["id"]) is not None:
        message = f"Bad router request: Router already has a port on subnet {subnet['id']}."
        raise neutron_error(400, "BadRequest", message)
    if not subnet["gateway_ip"]:
        message = f"Bad router request: Subnet for router interface must have a gateway IP: {subnet['id']}."
        raise neutron_error(400, "BadRequest", message)
    fixed = {"subnet_id": subnet["id"], "ip_address": subnet["gateway_ip"]}
    if any(fixed in port["fixed_ips"] for port in region.ports.values()):
        message = f"IP address {subnet['gateway_ip']} already allocated in subnet {subnet['id']}"
        raise neutron_error(409, "IpAddressAlreadyAllocated", message)
    network = region.networks[subnet["network_id"]]
    return create_port(
        call.state,
        region,
        network,
        router["project_id"],
        device_id=router["id"],
        owner=INTERFACE,
        fixed=[fixed],
    )


def _remove_interface(call: Call, router: Resource, body: Resource) -> Resource:
    region = call.region
    if body.get("port_id"):
        port = region.ports.get(str(body["port_id"]))
        if port is None or port["device_id"] != router["id"]:
            message = f"Router {router['id']} does not have an interface with id {body['port_id']}"
            raise neutron_error(404, "RouterInterfaceNotFound", message)
    else:
        subnet_id = str(body.get("subnet_id"))
        port = _find_interface(region, router["id"], subnet_id)
        if port is None:
            message = f"Router {router['id']} has no interface on subnet {subnet_id}"
            raise neutron_error(404, "RouterInterfaceNotFoundForSubnet", message)
    subnets = {fixed["subnet_id"] for fixed in port["fixed_ips"]}
    for floating in region.floatingips.values():
        target = region.ports.get(floating["port_id"] or "")
        if (
            floating["router_id"] == router["id"]
            and target is not None
            and subnets & _list_subnet_ids(target)
        ):
            raise neutron_error(
                409,
                "RouterInterfaceInUseByFloatingIP",
                f"Router interface for subnet {' '.join(subnets)} on router {router['id']} cannot be deleted, as it is "
                "required by one or more floating IPs.",
            )
    delete_port(region, port["id"])
    return port


def _find_interface(region: Region, router_id: str, subnet_id: str) -> Resource | None:
    return next(
        (port for port in list_router_ports(region, router_id) if subnet_id in _list_subnet_ids(port)), None
    )


def _list_subnet_ids(port: Resource) -> set[str]:
    return {fixed["subnet_id"] for fixed in port["fixed_ips"]}


def prepare_router_deletion(call: Call, router: Resource) -> None:
    """Remove a router's gateway. Raises `HttpError` 409 while it has interfaces."""
    ports = list_router_ports(call.region, router["id"])
    if ports:
        ids = ",".join(port["id"] for port in ports)
        raise neutron_error(409, "RouterInUse", f"Router {router['id']} has ports still attached: {ids}")
    set_gateway(call, router, None)


def find_gateway_router(region: Region, subnet_id: str, network_id: str) -> Resource | None:
    """Return the router that connects a subnet to an external network, or None."""
    for router in region.routers.values():
        gateway = router["external_gateway_info"]
        is_gateway_network = gateway is not None and gateway["network_id"] == network_id
        if is_gateway_network and _find_interface(region, router["id"], subnet_id) is not None:
            return router
    return None


def _build_no_address_error(network: Resource) -> Exception:
    message = f"No more IP addresses available on network {network['id']}."
    return neutron_error(409, "IpAddressGenerationFailure", message)
