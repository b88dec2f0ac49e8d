"""The standard content of a new cloud: projects, users, flavors, images, networks and volumes."""

from __future__ import annotations

import random
from typing import Any

from .clock import Clock, format_naive, format_zulu
from .ports import index_used_addresses
from .state import Region, State

DEFAULT_REGION = "RegionOne"
_FLAVORS = (
    ("1c-1g-10g", 1, 1024, 10),
    ("1c-2g-20g", 1, 2048, 20),
    ("2c-4g-40g", 2, 4096, 40),
    ("4c-8g-100g", 4, 8192, 100),
    ("8c-16g-200g", 8, 16384, 200),
    ("16c-32g-500g", 16, 32768, 500),
)
_IMAGES = (
    ("Ubuntu 22.04", "linux", "ubuntu", "22.04", 5, 256),
    ("Debian 12", "linux", "debian", "12", 5, 256),
    ("Windows Server 2022", "windows", "windows", "2022", 40, 2048),
    ("CirrOS", "linux", "cirros", "0.6.2", 1, 64),
)


def reset(
    state: State, *, seed: int = 0, regions: list[str] | None = None, zones: list[str] | None = None
) -> None:
    """Empty the cloud and create the standard content. The same seed gives the same ids."""
    state.seed = seed
    state.random = random.Random(seed)  # noqa: S311 - repeatable, not secret.
    state.chance = random.Random(seed)  # noqa: S311 - as above.
    state.clock = Clock()
    for collection in (
        state.regions, state.projects, state.users, state.grants, state.application_credentials, state.tokens,
        state.failing_builds, state.failing_resizes, state.failing_volumes, state.failing_migrations, state.faults.rules, state.log,
        state.missing_services,
    ):  # fmt: skip
        collection.clear()
    state.race_behavior = type(state.race_behavior)()
    state.soft_delete, state.force_delete = False, True
    state.password_fault = ""
    state.quirks = type(state.quirks)()
    state.dirty = True
    for name in ("demo", "admin", "other", "service"):
        project_id = state.new_hex()
        state.projects[project_id] = {"id": project_id, "name": name, "domain_id": "default", "enabled": True}
    for name in ("demo", "admin", "other"):
        user_id = state.new_hex()
        # The password equals the user's name, because this cloud holds nothing of value.
        state.users[user_id] = {"id": user_id, "name": name, "password": name, "domain_id": "default"}
        _grant(state, name, name, ["admin", "member", "reader"] if name == "admin" else ["member", "reader"])
    _grant(state, "admin", "demo", ["admin", "member", "reader"])
    demo = state.find_user("demo")
    project = state.find_project("demo")
    assert demo is not None and project is not None  # noqa: PT018 - both were created above.
    state.application_credentials["sim-appcred"] = {
        "id": "sim-appcred",
        "name": "simulator",
        "secret": "sim-secret",
        "user_id": demo["id"],
        "project_id": project["id"],
        "roles": ["member", "reader"],
        "expires_at": None,
        "description": None,
    }
    for name in regions or [DEFAULT_REGION]:
        region = Region(name)
        region.zones = dict.fromkeys(zones or ["nova"], True)
        state.regions[name] = region
        _create_standard_resources(state, region, project["id"])


def _grant(state: State, user: str, project: str, roles: list[str]) -> None:
    grantee, target = state.find_user(user), state.find_project(project)
    assert grantee is not None and target is not None  # noqa: PT018
    state.grants[f"{grantee['id']} {target['id']}"] = roles


def _create_standard_resources(state: State, region: Region, demo: str) -> None:
    now = state.clock.now()
    admin = state.find_project("admin")
    assert admin is not None
    for name, vcpus, ram, disk in _FLAVORS:
        flavor_id = state.new_id()
        region.flavors[flavor_id] = {
            "id": flavor_id, "name": name, "vcpus": vcpus, "ram": ram, "disk": disk, "swap": 0,
            "OS-FLV-EXT-DATA:ephemeral": 0, "OS-FLV-DISABLED:disabled": False, "os-flavor-access:is_public": True,
            "rxtx_factor": 1.0, "description": None, "extra_specs": {},
        }  # fmt: skip
    for name, os_type, distro, version, min_disk, min_ram in _IMAGES:
        image_id = state.new_id()
        region.images[image_id] = {
            "id": image_id, "name": name, "status": "active", "visibility": "public", "owner": admin["id"],
            "os_type": os_type, "os_distro": distro, "os_version": version, "min_disk": min_disk, "min_ram": min_ram,
            "size": 704, "virtual_size": 704, "disk_format": "raw", "container_format": "bare", "protected": False,
            "os_hidden": False, "checksum": None, "tags": [], "created_at": format_zulu(now), "updated_at": format_zulu(now),
            "self": f"/v2/images/{image_id}", "file": f"/v2/images/{image_id}/file", "schema": "/v2/schemas/image",
        }  # fmt: skip
    create_network(state, region, "external", admin["id"], "172.24.0.0/16", external=True)
    # Shared, so that the project "other" can use it, too.
    create_network(state, region, "internal", demo, "10.20.0.0/16", external=False)
    for name in ("fake", "__DEFAULT__"):
        type_id = state.new_id()
        region.volume_types[type_id] = {
            "id": type_id, "name": name, "is_public": True, "description": None, "extra_specs": {},
            "os-volume-type-access:is_public": True,
        }  # fmt: skip
    volume_id, snapshot_id = state.new_id(), state.new_id()
    region.volumes[volume_id] = build_volume(
        volume_id, "igw-base-volume", 10, demo, format_naive(now), status="available", bootable="true"
    )
    region.snapshots[snapshot_id] = {
        "id": snapshot_id, "created_at": format_naive(now), "updated_at": format_naive(now), "name": "igw-base", "description": None,
        "volume_id": volume_id, "status": "available", "size": 10, "metadata": {},
        "os-extended-snapshot-attributes:project_id": demo, "os-extended-snapshot-attributes:progress": "100%",
    }  # fmt: skip
    index_used_addresses(region)


def create_network(
    state: State, region: Region, name: str, project_id: str, cidr: str, *, external: bool
) -> None:
    """Add a network with one subnet of 16 bits, whose first address is the gateway's."""
    network_id, subnet_id = state.new_id(), state.new_id()
    stamp = format_zulu(state.clock.now())
    prefix = cidr.rsplit(".", 2)[0]
    shared_fields = {
        "tenant_id": project_id, "project_id": project_id, "description": "", "tags": [], "revision_number": 1,
        "created_at": stamp, "updated_at": stamp,
    }  # fmt: skip
    region.networks[network_id] = {
        "id": network_id, "name": name, "admin_state_up": True, "mtu": 1450, "status": "ACTIVE", "subnets": [subnet_id],
        "shared": not external, "router:external": external, "availability_zone_hints": [], "availability_zones": [],
        "ipv4_address_scope": None, "ipv6_address_scope": None, "port_security_enabled": True, **shared_fields,
    }  # fmt: skip
    region.subnets[subnet_id] = {
        "id": subnet_id, "name": f"{name}-v4", "network_id": network_id, "ip_version": 4, "subnetpool_id": None,
        "enable_dhcp": not external, "ipv6_ra_mode": None, "ipv6_address_mode": None, "gateway_ip": f"{prefix}.0.1",
        "cidr": cidr, "allocation_pools": [{"start": f"{prefix}.0.2", "end": f"{prefix}.255.254"}], "host_routes": [],
        "dns_nameservers": [], "service_types": [], **shared_fields,
    }  # fmt: skip


def build_volume(
    volume_id: str,
    name: str,
    size: int,
    project_id: str,
    created: str | None,
    *,
    status: str = "creating",
    bootable: str = "false",
) -> dict[str, Any]:
    """Return a volume as Cinder shows it."""
    return {
        "id": volume_id, "status": status, "size": size, "availability_zone": "nova", "created_at": created,
        "updated_at": created, "name": name, "description": None, "volume_type": "fake", "snapshot_id": None,
        "source_volid": None, "metadata": {}, "links": [], "user_id": "", "bootable": bootable, "encrypted": False,
        "replication_status": None, "consistencygroup_id": None, "multiattach": False, "attachments": [],
        "group_id": None, "shared_targets": False, "service_uuid": None, "os-vol-tenant-attr:tenant_id": project_id,
    }  # fmt: skip
