"""Nova: flavors, ports of a server, zones, limits and quotas."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import nova_keypairs
from .addresses import NoAddressLeft, remove_port
from .exchange import Answer, Call, bad_request, conflict, inner, not_found
from .listing import paged
from .moves import port_on, show_addresses
from .state import Thing

if TYPE_CHECKING:
    from .server import SimulatedServer


def _find(call: Call, server_id: str) -> SimulatedServer:
    from .nova import find  # noqa: PLC0415 - the two know each other.

    return find(call, server_id)


def _touched(call: Call, server: SimulatedServer) -> None:
    server.text = None
    server.updated = call.now
    call.state.dirty = True


def list_flavors(call: Call) -> Answer:
    """Ids and names."""
    return paged(call, "flavors", [{"id": f["id"], "name": f["name"], "links": []} for f in _flavors(call)])


def list_flavors_in_detail(call: Call) -> Answer:
    """Everything."""
    return paged(call, "flavors", [{**f, "links": []} for f in _flavors(call)])


def _flavors(call: Call) -> list[Thing]:
    return sorted(call.region.flavors.values(), key=lambda f: str(f["id"]))


def show_flavor(call: Call, flavor_id: str) -> Answer:
    """One flavor."""
    found = call.region.flavors.get(flavor_id)
    if found is None:
        raise not_found(f"Flavor {flavor_id} could not be found.")
    return Answer(200, {"flavor": {**found, "links": []}})


def create_flavor(call: Call) -> Answer:
    """By an administrator."""
    call.need_admin("os_compute_api:os-flavor-manage:create")
    wanted = inner(call.request.json(), "flavor")
    flavor_id = str(wanted.get("id") or call.state.new_id())
    if flavor_id in call.region.flavors:
        raise conflict(f"Flavor with ID {flavor_id} already exists.")
    call.region.flavors[flavor_id] = {
        "id": flavor_id, "name": wanted["name"], "vcpus": int(wanted["vcpus"]), "ram": int(wanted["ram"]),
        "disk": int(wanted["disk"]), "swap": 0, "OS-FLV-EXT-DATA:ephemeral": 0, "OS-FLV-DISABLED:disabled": False,
        "os-flavor-access:is_public": True, "rxtx_factor": 1.0, "description": None, "extra_specs": {},
    }  # fmt: skip
    return show_flavor(call, flavor_id)


def list_interfaces(call: Call, server_id: str) -> Answer:
    """The ports of a server."""
    server = _find(call, server_id)
    ports = [call.region.ports[port_id] for port_id in server.port_ids if port_id in call.region.ports]
    return Answer(200, {"interfaceAttachments": [_interface(port) for port in ports]})


def _interface(port: Thing) -> Thing:
    return {
        "net_id": port["network_id"], "port_id": port["id"], "mac_addr": port["mac_address"],
        "port_state": port["status"], "fixed_ips": port["fixed_ips"],
    }  # fmt: skip


def attach_interface(call: Call, server_id: str) -> Answer:
    """One more port."""
    server = _find(call, server_id)
    network = call.region.networks.get(str(inner(call.request.json(), "interfaceAttachment").get("net_id")))
    if network is None:
        raise bad_request("Network could not be found.")
    try:
        port = port_on(
            call.state, call.region, network, server.project_id, device_id=server.id, owner="compute:nova"
        )
    except NoAddressLeft:
        raise bad_request(f"No fixed IP addresses available for network: {network['id']}") from None
    server.port_ids.append(port["id"])
    show_addresses(call.region, server)
    _touched(call, server)
    return Answer(200, {"interfaceAttachment": _interface(port)})


def detach_interface(call: Call, server_id: str, port_id: str) -> Answer:
    """One port less."""
    server = _find(call, server_id)
    if port_id not in server.port_ids:
        raise not_found(f"Port id {port_id} could not be found.")
    server.port_ids.remove(port_id)
    remove_port(call.region, port_id)
    show_addresses(call.region, server)
    _touched(call, server)
    return Answer(202)


def groups_named(call: Call, wanted: Any) -> list[Thing]:
    """The project's security groups that a new server asks for, by name or id."""
    found = []
    for one in wanted or ():
        said = one.get("name") if isinstance(one, dict) else None
        groups = call.region.security_groups.values()
        mine = [
            g for g in groups if g["project_id"] == call.token.project_id and said in (g["name"], g["id"])
        ]
        if not mine:
            raise bad_request(f"Unable to find security_group with name or id '{said}'")
        if len(mine) > 1:
            raise conflict(
                f"Multiple security groups found matching '{said}'. Use an ID to be more specific."
            )
        found += mine
    return found


def list_zones(call: Call) -> Answer:
    """The availability zones. Which hosts they have is an administrator's business."""
    found = [
        {"zoneName": name, "zoneState": {"available": is_available}, "hosts": None}
        for name, is_available in call.region.zones.items()
    ]
    return Answer(200, {"availabilityZoneInfo": found})


_NAMES = ("instances", "cores", "ram", "key_pairs", "metadata_items", "server_groups", "server_group_members")


def show_limits(call: Call) -> Answer:
    """Limits and what is used of them."""
    region, project_id = call.region, call.token.project_id or ""
    mine = [s for s in region.servers.values() if s.project_id == project_id and not s.is_deleted]

    def limit(name: str) -> int:
        return call.state.quota(region, project_id, name)

    absolute: Thing = {
        "maxTotalInstances": limit("instances"), "maxTotalCores": limit("cores"), "maxTotalRAMSize": limit("ram"),
        "maxServerMeta": -1, "maxTotalKeypairs": -1, "maxServerGroups": -1, "maxServerGroupMembers": -1,
        "totalRAMUsed": sum(s.flavor["ram"] for s in mine), "totalCoresUsed": sum(s.flavor["vcpus"] for s in mine),
        "totalInstancesUsed": len(mine), "totalServerGroupsUsed": 0,
    }  # fmt: skip
    return Answer(200, {"limits": {"rate": [], "absolute": absolute}})


def show_quota(call: Call, project_id: str) -> Answer:
    """A project's quota."""
    _need_own(call, project_id, "show")
    return Answer(200, {"quota_set": {"id": project_id, **_quota(call, project_id)}})


def show_quota_in_detail(call: Call, project_id: str) -> Answer:
    """With what is in use of it."""
    _need_own(call, project_id, "detail")
    servers = [s for s in call.region.servers.values() if s.project_id == project_id and not s.is_deleted]
    used = {
        "instances": len(servers),
        "cores": sum(server.flavor["vcpus"] for server in servers),
        "ram": sum(server.flavor["ram"] for server in servers),
    }
    details = {
        name: {"limit": limit, "in_use": used.get(name, 0), "reserved": 0}
        for name, limit in _quota(call, project_id).items()
    }
    return Answer(200, {"quota_set": {"id": project_id, **details}})


def _need_own(call: Call, project_id: str, word: str) -> None:
    if project_id != call.token.project_id:
        call.need_admin(f"os_compute_api:os-quota-sets:{word}")


def _quota(call: Call, project_id: str) -> dict[str, Any]:
    return {name: call.state.quota(call.region, project_id, name) for name in _NAMES}


def put_quota(call: Call, project_id: str) -> Answer:
    """By an administrator."""
    call.need_admin("os_compute_api:os-quota-sets:update")
    wanted = inner(call.request.json(), "quota_set")
    limits = call.region.quotas.setdefault(project_id, {})
    limits.update({name: int(value) for name, value in wanted.items() if name in _NAMES})
    call.state.dirty = True
    return Answer(200, {"quota_set": _quota(call, project_id)})


TABLE: list[tuple[str, str, Callable[..., Answer]]] = [
    ("GET", "/flavors", list_flavors),
    ("GET", "/flavors/detail", list_flavors_in_detail),
    ("POST", "/flavors", create_flavor),
    ("GET", "/flavors/<flavor_id>", show_flavor),
    ("GET", "/servers/<server_id>/os-interface", list_interfaces),
    ("POST", "/servers/<server_id>/os-interface", attach_interface),
    ("DELETE", "/servers/<server_id>/os-interface/<port_id>", detach_interface),
    *nova_keypairs.TABLE,
    ("GET", "/os-availability-zone", list_zones),
    ("GET", "/limits", show_limits),
    ("GET", "/os-quota-sets/<project_id>", show_quota),
    ("GET", "/os-quota-sets/<project_id>/detail", show_quota_in_detail),
    ("PUT", "/os-quota-sets/<project_id>", put_quota),
]
