"""Nova: flavors."""

from __future__ import annotations

from collections.abc import Callable

from .calls import Call
from .http_messages import Response, conflict, not_found, unwrap
from .pagination import paginate
from .state import Resource


def list_flavors(call: Call) -> Response:
    """List ids and names."""
    return paginate(
        call, "flavors", [{"id": f["id"], "name": f["name"], "links": []} for f in _list_sorted(call)]
    )


def list_flavors_in_detail(call: Call) -> Response:
    """List all fields."""
    return paginate(call, "flavors", [{**f, "links": []} for f in _list_sorted(call)])


def _list_sorted(call: Call) -> list[Resource]:
    return sorted(call.region.flavors.values(), key=lambda f: str(f["id"]))


def show_flavor(call: Call, flavor_id: str) -> Response:
    """Show one flavor."""
    found = call.region.flavors.get(flavor_id)
    if found is None:
        raise not_found(f"Flavor {flavor_id} could not be found.")
    return Response(200, {"flavor": {**found, "links": []}})


def create_flavor(call: Call) -> Response:
    """Create a flavor. For administrators."""
    call.require_admin("os_compute_api:os-flavor-manage:create")
    requested = unwrap(call.request.json(), "flavor")
    flavor_id = str(requested.get("id") or call.state.new_id())
    if flavor_id in call.region.flavors:
        raise conflict(f"Flavor with ID {flavor_id} already exists.")
    call.region.flavors[flavor_id] = {
        "id": flavor_id, "name": requested["name"], "vcpus": int(requested["vcpus"]), "ram": int(requested["ram"]),
        "disk": int(requested["disk"]), "swap": 0, "OS-FLV-EXT-DATA:ephemeral": 0, "OS-FLV-DISABLED:disabled": False,
        "os-flavor-access:is_public": True, "rxtx_factor": 1.0, "description": None, "extra_specs": {},
    }  # fmt: skip
    return show_flavor(call, flavor_id)


def build_server_flavor(flavor: Resource) -> Resource:
    """Return the copy of a flavor that Nova stores with a server."""
    return {
        "id": flavor["id"], "vcpus": flavor["vcpus"], "ram": flavor["ram"], "disk": flavor["disk"], "ephemeral": 0,
        "swap": 0, "original_name": flavor["name"], "extra_specs": {},
    }  # fmt: skip


TABLE: list[tuple[str, str, Callable[..., Response]]] = [
    ("GET", "/flavors", list_flavors),
    ("GET", "/flavors/detail", list_flavors_in_detail),
    ("POST", "/flavors", create_flavor),
    ("GET", "/flavors/<flavor_id>", show_flavor),
]
