"""Creation of resources with default values, in their final state, for seeding."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any

from .clock import format_naive, format_zulu
from .http_messages import bad_request
from .neutron_resources import (
    build_floating_ip,
    build_network,
    build_router,
    build_security_group,
    build_subnet,
)
from .nova_keypairs import build_keypair, keypair_key
from .ports import NoFreeAddressError, allocate_address, create_port
from .standard_content import build_volume
from .state import Region, Resource, State

# Small adjacent ranges in the shared address space (RFC 6598).
_FIRST_RANGE = int(ipaddress.ip_address("100.64.0.0"))
_RANGE_SIZE = 8
_MAX_RANGES = 2**22 // _RANGE_SIZE


class ResourceFactory:
    """Create resources for one project in one region. `requested` is the whole request, whose fields several kinds use."""

    def __init__(self, state: State, region: Region, project_id: str, requested: Resource) -> None:
        self.state = state
        self.region = region
        self.project_id = project_id
        self.requested = requested
        self._now = state.clock.now()
        self._user = state.find_user("demo") or next(iter(state.users.values()))
        self._own_networks: list[Resource] = []

    def create(self, kind: str, name: str) -> str:
        """Create one resource of a kind and return its id. Raises `HttpError` when no address or range is free."""
        resource_id: str = _CREATORS[kind](self, name)["id"]
        return resource_id

    def create_volume(self, name: str) -> Resource:
        """Create an available, unattached volume."""
        size = int(self.requested.get("size", 10))
        new = build_volume(
            self.state.new_id(), name, size, self.project_id, format_naive(self._now), status="available"
        )
        new["metadata"] = dict(self.requested.get("metadata") or {})
        return self._store(self.region.volumes, new)

    def create_snapshot(self, name: str) -> Resource:
        """Create an available snapshot of the volume that the request names by `volume_id`, or of the region's first one."""
        now, volumes = format_naive(self._now), self.region.volumes
        source = volumes.get(self.requested.get("volume_id") or next(iter(volumes), ""))
        if source is None:
            raise bad_request("there is no such volume to have snapshots of")
        new: Resource = {
            "id": self.state.new_id(), "created_at": now, "updated_at": now, "name": name, "description": None,
            "volume_id": source["id"], "status": "available", "size": source["size"],
            "metadata": dict(self.requested.get("metadata") or {}), "group_snapshot_id": None, "user_id": self._user["id"],
            "os-extended-snapshot-attributes:project_id": self.project_id,
            "os-extended-snapshot-attributes:progress": "100%",
        }  # fmt: skip
        return self._store(self.region.snapshots, new)

    def create_image(self, name: str) -> Resource:
        """Create a private, active image."""
        image_id, now = self.state.new_id(), format_zulu(self._now)
        new = {
            "id": image_id, "name": name, "status": "active", "visibility": "private", "owner": self.project_id,
            "min_disk": 1, "min_ram": 64, "size": 704, "virtual_size": 704, "disk_format": "raw",
            "container_format": "bare", "protected": False, "os_hidden": False, "checksum": None, "tags": [],
            "created_at": now, "updated_at": now, "self": f"/v2/images/{image_id}",
            "file": f"/v2/images/{image_id}/file", "schema": "/v2/schemas/image",
        }  # fmt: skip
        return self._store(self.region.images, new)

    def create_network(self, name: str) -> Resource:
        """Create a network; it has no subnets unless the request creates some, too."""
        new = self._store(self.region.networks, build_network(self.state, self.project_id, {"name": name}))
        self._own_networks.append(new)
        return new

    def create_subnet(self, name: str) -> Resource:
        """Create a subnet on the networks of this request in turn, or else on the internal network."""
        number = len(self.region.subnets)
        if number >= _MAX_RANGES:
            raise bad_request(f"there is room for {_MAX_RANGES} subnets")
        own = self._own_networks
        network = own[number % len(own)] if own else self._find_network(external=False)
        net = ipaddress.ip_network((_FIRST_RANGE + number * _RANGE_SIZE, 29))
        return self._store(
            self.region.subnets, build_subnet(self.state, self.project_id, network, net, {"name": name})
        )

    def create_port(self, name: str) -> Resource:
        """Create an unused port, without an address once the internal network has none left."""
        network = self._find_network(external=False)
        try:
            new = create_port(self.state, self.region, network, self.project_id)
        except NoFreeAddressError:
            new = create_port(self.state, self.region, network, self.project_id, fixed=[])
        new["name"] = name
        return new

    def create_router(self, name: str) -> Resource:
        """Create a router without interfaces."""
        return self._store(self.region.routers, build_router(self.state, self.project_id, {"name": name}))

    def create_security_group(self, name: str) -> Resource:
        """Create a security group with the default rules."""
        return self._store(
            self.region.security_groups,
            build_security_group(self.state, self.region, self.project_id, {"name": name}),
        )

    def create_floating_ip(self, name: str) -> Resource:
        """Create an unassociated floating IP, with the name as its description: it has no name of its own."""
        network = self._find_network(external=True)
        try:
            address = allocate_address(self.region, self.region.subnets[network["subnets"][0]])
        except NoFreeAddressError:
            raise bad_request("the external network has no address left") from None
        requested = {"description": name}
        return self._store(
            self.region.floatingips,
            build_floating_ip(self.state, self.project_id, network, address, requested),
        )

    def create_keypair(self, name: str) -> Resource:
        """Create a key pair, whose name is its id."""
        public_key = f"ssh-rsa {self.state.new_hex()} {name}"
        new = build_keypair(self._user["id"], name, public_key, format_naive(self._now))
        self.region.keypairs[keypair_key(self._user["id"], name)] = new
        return {"id": name}

    def _find_network(self, *, external: bool) -> Resource:
        for network in self.region.networks.values():
            if network["router:external"] == external and network["subnets"]:
                return network
        raise bad_request("there is no network with a subnet to seed on")

    def _store(self, resources: dict[str, Resource], new: Resource) -> Resource:
        resources[new["id"]] = new
        return new


_CREATORS: dict[str, Callable[[ResourceFactory, str], Any]] = {
    "volumes": ResourceFactory.create_volume,
    "snapshots": ResourceFactory.create_snapshot,
    "images": ResourceFactory.create_image,
    # Before the subnets, which are created on them.
    "networks": ResourceFactory.create_network,
    "subnets": ResourceFactory.create_subnet,
    "ports": ResourceFactory.create_port,
    "routers": ResourceFactory.create_router,
    "security_groups": ResourceFactory.create_security_group,
    "floating_ips": ResourceFactory.create_floating_ip,
    "keypairs": ResourceFactory.create_keypair,
}
KINDS = tuple(_CREATORS)
# The names of a region's collections that differ from the kind.
COLLECTION_NAMES = {"floating_ips": "floatingips"}
