"""One settled object of each kind, as it is when nothing special is said: for seeding."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any

from .addresses import NoAddressLeft, new_port, take_address
from .clock import plain, zulu
from .exchange import bad_request
from .neutron_content import new_floating, new_group, new_network, new_router, new_subnet
from .nova_keypairs import keypair_key, new_keypair
from .standard_content import new_volume
from .state import Region, State, Thing

# Small ranges side by side, in the part of the address space that providers use among themselves.
_FIRST_RANGE = int(ipaddress.ip_address("100.64.0.0"))
_RANGE_SIZE = 8
_MOST_RANGES = 2**22 // _RANGE_SIZE


class Maker:
    """Makes objects for one project in one region. `wanted` is the whole request, for what several kinds share."""

    def __init__(self, state: State, region: Region, project_id: str, wanted: Thing) -> None:
        self.state = state
        self.region = region
        self.project_id = project_id
        self.wanted = wanted
        self._moment = state.clock.now()
        self._user = state.user_named("demo") or next(iter(state.users.values()))
        self._own_networks: list[Thing] = []

    def make(self, kind: str, name: str) -> str:
        """One more of a kind; returns its id. Raises `Refused` when there is no room for it."""
        thing_id: str = _MAKERS[kind](self, name)["id"]
        return thing_id

    def volume(self, name: str) -> Thing:
        """Available, and on no server."""
        size = int(self.wanted.get("size", 10))
        new = new_volume(
            self.state.new_id(), name, size, self.project_id, plain(self._moment), status="available"
        )
        new["metadata"] = dict(self.wanted.get("metadata") or {})
        return self._kept(self.region.volumes, new)

    def snapshot(self, name: str) -> Thing:
        """Available; of the region's first volume, unless the request names one by `volume_id`."""
        now, volumes = plain(self._moment), self.region.volumes
        source = volumes.get(self.wanted.get("volume_id") or next(iter(volumes), ""))
        if source is None:
            raise bad_request("there is no such volume to have snapshots of")
        new: Thing = {
            "id": self.state.new_id(), "created_at": now, "updated_at": now, "name": name, "description": None,
            "volume_id": source["id"], "status": "available", "size": source["size"],
            "metadata": dict(self.wanted.get("metadata") or {}), "group_snapshot_id": None, "user_id": self._user["id"],
            "os-extended-snapshot-attributes:project_id": self.project_id,
            "os-extended-snapshot-attributes:progress": "100%",
        }  # fmt: skip
        return self._kept(self.region.snapshots, new)

    def image(self, name: str) -> Thing:
        """Private, and active."""
        image_id, now = self.state.new_id(), zulu(self._moment)
        new = {
            "id": image_id, "name": name, "status": "active", "visibility": "private", "owner": self.project_id,
            "min_disk": 1, "min_ram": 64, "size": 704, "virtual_size": 704, "disk_format": "raw",
            "container_format": "bare", "protected": False, "os_hidden": False, "checksum": None, "tags": [],
            "created_at": now, "updated_at": now, "self": f"/v2/images/{image_id}",
            "file": f"/v2/images/{image_id}/file", "schema": "/v2/schemas/image",
        }  # fmt: skip
        return self._kept(self.region.images, new)

    def network(self, name: str) -> Thing:
        """Without subnets, unless this request makes some too."""
        new = self._kept(self.region.networks, new_network(self.state, self.project_id, {"name": name}))
        self._own_networks.append(new)
        return new

    def subnet(self, name: str) -> Thing:
        """On the networks that this request made, in turn; else on the internal one."""
        number = len(self.region.subnets)
        if number >= _MOST_RANGES:
            raise bad_request(f"there is room for {_MOST_RANGES} subnets")
        own = self._own_networks
        network = own[number % len(own)] if own else self._network(external=False)
        net = ipaddress.ip_network((_FIRST_RANGE + number * _RANGE_SIZE, 29))
        return self._kept(
            self.region.subnets, new_subnet(self.state, self.project_id, network, net, {"name": name})
        )

    def port(self, name: str) -> Thing:
        """Unused; without an address once the internal network has none left."""
        network = self._network(external=False)
        try:
            new = new_port(self.state, self.region, network, self.project_id)
        except NoAddressLeft:
            new = new_port(self.state, self.region, network, self.project_id, fixed=[])
        new["name"] = name
        return new

    def router(self, name: str) -> Thing:
        """Joins nothing."""
        return self._kept(self.region.routers, new_router(self.state, self.project_id, {"name": name}))

    def security_group(self, name: str) -> Thing:
        """With the rules that every new one has."""
        return self._kept(
            self.region.security_groups, new_group(self.state, self.region, self.project_id, {"name": name})
        )

    def floating_ip(self, name: str) -> Thing:
        """Leads nowhere. It has no name, so its description is that."""
        network = self._network(external=True)
        try:
            address = take_address(self.region, self.region.subnets[network["subnets"][0]])
        except NoAddressLeft:
            raise bad_request("the external network has no address left") from None
        wanted = {"description": name}
        return self._kept(
            self.region.floatingips, new_floating(self.state, self.project_id, network, address, wanted)
        )

    def keypair(self, name: str) -> Thing:
        """It has no id but its name."""
        public_key = f"ssh-rsa {self.state.new_hex()} {name}"
        new = new_keypair(self._user["id"], name, public_key, plain(self._moment))
        self.region.keypairs[keypair_key(self._user["id"], name)] = new
        return {"id": name}

    def _network(self, *, external: bool) -> Thing:
        for network in self.region.networks.values():
            if network["router:external"] == external and network["subnets"]:
                return network
        raise bad_request("there is no network with a subnet to seed on")

    def _kept(self, things: dict[str, Thing], new: Thing) -> Thing:
        things[new["id"]] = new
        return new


_MAKERS: dict[str, Callable[[Maker, str], Any]] = {
    "volumes": Maker.volume,
    "snapshots": Maker.snapshot,
    "images": Maker.image,
    # Before the subnets, which go on them.
    "networks": Maker.network,
    "subnets": Maker.subnet,
    "ports": Maker.port,
    "routers": Maker.router,
    "security_groups": Maker.security_group,
    "floating_ips": Maker.floating_ip,
    "keypairs": Maker.keypair,
}
KINDS = tuple(_MAKERS)
# Where a region keeps them, if that has another name.
KEPT_AS = {"floating_ips": "floatingips"}
