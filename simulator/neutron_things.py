"""What all of Neutron's calls share: which kinds there are, who sees what, and how a refusal looks."""

from __future__ import annotations

from .exchange import Answer, Call, Refused
from .state import Thing

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


def refused(status: int, kind: str, message: str) -> Refused:
    """A refusal in Neutron's form."""
    return Refused(Answer(status, {"NeutronError": {"type": kind, "message": message, "detail": ""}}))


def things_of(call: Call, plural: str) -> tuple[dict[str, Thing], str, str]:
    """(the region's things, singular, name in messages). Raises `Refused` 404 for a kind that is none."""
    if plural not in KINDS:
        raise refused(404, "HTTPNotFound", "The resource could not be found.")
    singular, attribute, name = KINDS[plural]
    return getattr(call.region, attribute), singular, name


def sees(call: Call, thing: Thing) -> bool:
    """Whether the caller may see it: its own, shared, or external."""
    return (
        call.token.is_admin
        or thing.get("project_id") == call.token.project_id
        or thing.get("shared") is True
        or thing.get("router:external") is True
        or (
            "network_id" in thing
            and "cidr" in thing
            and call.region.networks.get(thing["network_id"], {}).get("shared") is True
        )
    )


def find(call: Call, plural: str, thing_id: str) -> Thing:
    """One that the caller sees. Raises `Refused` 404."""
    things, _, name = things_of(call, plural)
    found = things.get(thing_id)
    if found is None or not sees(call, found):
        raise refused(404, f"{name}NotFound", f"{name} {thing_id} could not be found.")
    return found
