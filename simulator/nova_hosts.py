"""Nova: hypervisors, services, host aggregates and migrations, for administrators."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from .calls import Call
from .clock import format_naive
from .host_selection import list_hosts_of_zone
from .http_messages import Response
from .pagination import paginate
from .state import Resource
from .transitions import advance_servers


def list_hypervisors(call: Call) -> Response:
    """List the hypervisors with their use."""
    call.require_admin("os_compute_api:os-hypervisors:list-detail")
    advance_servers(call.state, call.region, call.now)
    found = [_build_hypervisor(call, host) for _, host in sorted(call.region.hosts.items())]
    return paginate(call, "hypervisors", found, path="os-hypervisors/detail")


def _build_hypervisor(call: Call, host: Resource) -> Resource:
    servers = [s for s in call.region.servers.values() if s.host == host["id"] and not s.is_deleted]
    found: Resource = {
        "id": _build_id("hypervisor", host["id"]), "hypervisor_hostname": host["id"], **_show_state(host),
        "hypervisor_type": "QEMU", "hypervisor_version": 7002000, "host_ip": "127.0.0.1",
        "service": {
            "id": _build_id("service", host["id"]), "host": host["id"], "disabled_reason": host["disabled_reason"],
        },
    }  # fmt: skip
    if call.microversion < (2, 88):
        found.update(
            {
                "vcpus": 1000, "vcpus_used": sum(s.flavor["vcpus"] for s in servers), "memory_mb": 4194304,
                "memory_mb_used": 512 + sum(s.flavor["ram"] for s in servers), "local_gb": 100000,
                "local_gb_used": sum(s.flavor["disk"] for s in servers), "running_vms": len(servers),
                "current_workload": 0, "cpu_info": {},
            }
        )  # fmt: skip
    return found


def _show_state(host: Resource) -> Resource:
    return {
        "state": "up" if host["up"] else "down",
        "status": "enabled" if host["enabled"] else "disabled",
    }


def _build_id(kind: str, name: str) -> str:
    # Not from the seeded generator, whose ids must not depend on what is listed.
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{kind}/{name}"))


def list_services(call: Call) -> Response:
    """List the services: a compute service on every host, and the others on the first."""
    call.require_admin("os_compute_api:os-services:list")
    stamp, region = format_naive(call.now), call.region
    found = []
    zones = {host: zone for zone in sorted(region.zones) for host in list_hosts_of_zone(region, zone)}
    first = next(iter(sorted(region.hosts)), "controller")
    services = [(binary, first, "internal") for binary in ("nova-scheduler", "nova-conductor")]
    services += [("nova-compute", host, zones.get(host, "nova")) for host in sorted(region.hosts)]
    for binary, name, zone in services:
        host = region.hosts.get(name) or {"up": True, "enabled": True, "disabled_reason": None}
        if binary != "nova-compute":
            host = {**host, "up": True, "enabled": True, "disabled_reason": None}
        found.append(
            {
                "id": _build_id("service" if binary == "nova-compute" else binary, name), "binary": binary,
                "host": name, "zone": zone, **_show_state(host), "updated_at": stamp,
                "disabled_reason": host["disabled_reason"], "forced_down": False,
            }
        )  # fmt: skip
    query = dict(call.query())
    wanted = {name: query[name] for name in ("host", "binary") if name in query}
    return Response(
        200, {"services": [s for s in found if all(s[name] == value for name, value in wanted.items())]}
    )


def list_aggregates(call: Call) -> Response:
    """List the host aggregates: one for each zone but "nova", which is where hosts without an aggregate are."""
    call.require_admin("os_compute_api:os-aggregates:index")
    region = call.region
    found = [
        {
            "id": number, "uuid": _build_id("aggregate", zone), "name": zone, "availability_zone": zone,
            "hosts": list_hosts_of_zone(region, zone), "metadata": {"availability_zone": zone},
            "created_at": None, "updated_at": None, "deleted": False, "deleted_at": None,
        }
        for number, zone in enumerate(sorted(set(region.zones) - {"nova"}), 1)
    ]  # fmt: skip
    return Response(200, {"aggregates": found})


def list_migrations(call: Call) -> Response:
    """List migrations, newest first."""
    call.require_admin("os_compute_api:os-migrations:index")
    advance_servers(call.state, call.region, call.now)
    server_id = dict(call.query()).get("instance_uuid")
    found = [m for m in call.region.migrations.values() if server_id in (None, m["instance_uuid"])]
    found.reverse()
    # Their marker is the UUID, although they have a number, too.
    page = paginate(call, "migrations", [{**one, "id": one["uuid"]} for one in found], path="os-migrations")
    for one in page.body["migrations"]:
        one["id"] = call.region.migrations[one["uuid"]]["id"]
    return page


TABLE: list[tuple[str, str, Callable[..., Response]]] = [
    ("GET", "/os-hypervisors/detail", list_hypervisors),
    ("GET", "/os-services", list_services),
    ("GET", "/os-aggregates", list_aggregates),
    ("GET", "/os-migrations", list_migrations),
]
