"""Neutron: kinds of resources, visibility, lookup and the form of errors."""

from __future__ import annotations

from .calls import Call
from .http_messages import HttpError, Response
from .state import Resource

# plural in the path -> (singular, attribute of the region, name in messages)
KINDS = {
    "networks": ("network", "networks", "Network"),
    "subnets": ("subnet", "subnets", "Subnet"),
    "ports": ("port", "ports", "Port"),
    "routers": ("router", "routers", "Router"),
    "security-groups": ("security_group", "security_groups", "SecurityGroup"),
    "security-group-rules": ("security_group_rule", "security_group_rules", "SecurityGroupRule"),
    "floatingips": ("floatingip", "floatingips", "FloatingIP"),
}


def neutron_error(status: int, kind: str, message: str) -> HttpError:
    """Return an error in Neutron's form."""
    return HttpError(Response(status, {"NeutronError": {"type": kind, "message": message, "detail": ""}}))


def select_collection(call: Call, plural: str) -> tuple[dict[str, Resource], str, str]:
    """Return (the region's resources of the kind, its singular, its name in messages). Raises `HttpError` 404 for an unknown kind."""
    if plural not in KINDS:
        raise neutron_error(404, "HTTPNotFound", "The resource could not be found.")
    singular, attribute, name = KINDS[plural]
    return getattr(call.region, attribute), singular, name


def can_see(call: Call, resource: Resource) -> bool:
    """Return whether the resource is the caller's, shared or external."""
    return (
        call.token.is_admin
        or resource.get("project_id") == call.token.project_id
        or resource.get("shared") is True
        or resource.get("router:external") is True
        or (
            "network_id" in resource
            and "cidr" in resource
            and call.region.networks.get(resource["network_id"], {}).get("shared") is True
        )
    )


# How the kinds whose words differ are called when they are missing.
_MISSING = {
    "security-groups": "Security group {} does not exist",
    "security-group-rules": "Security group rule {} does not exist",
    "floatingips": "Floating IP {} could not be found",
}


def not_found_error(plural: str, resource_id: str) -> HttpError:
    """Return the 404 of a kind."""
    name = KINDS[plural][2]
    message = _MISSING.get(plural, f"{name} {{}} could not be found.").format(resource_id)
    return neutron_error(404, f"{name}NotFound", message)


def find_resource(call: Call, plural: str, resource_id: str) -> Resource:
    """Return a resource that the caller can see. Raises `HttpError` 404."""
    resources, _, _ = select_collection(call, plural)
    found = resources.get(resource_id)
    if found is None or not can_see(call, found):
        raise not_found_error(plural, resource_id)
    return found
