"""Choosing what a VM is made of, from what the last sync found in the account: place, flavor, image, network, zone.

What cannot be found is refused here, before anything is recorded, naming what was looked for and the closest there is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from cloudaccounts.models import CloudResource
from cloudaccounts.placements import Errors, Place
from tenants.models import InformationSystem
from volumepool.models import VolumePool
from volumepool.services import find_boot_pool

from .models import VMSnapshot


@dataclass(slots=True)
class Choice:
    """What was chosen; what could not be is None, and `errors` says why, by field."""

    flavor: CloudResource | None = None
    image: CloudResource | None = None
    network: CloudResource | None = None
    zone: str | None = None
    boots_from_volume: bool = False
    # The Cinder snapshot that the boot volume is a copy of; empty when it is a copy of the image.
    volume_snapshot_id: str = ""
    # The pool whose volumes are what it is to boot from. With one of snapshots there is no image.
    pool: VolumePool | None = None
    errors: Errors = field(default_factory=dict)


class Catalogue:
    """What is there to choose from in one place, for one tenant: one query."""

    def __init__(self, place: Place, system: InformationSystem) -> None:
        self.place, self.system = place, system
        # What the last listing did not show may only have been overlooked, but nobody should build on it.
        present = CloudResource.objects.present().filter(
            missing_count=0,
            account=place.account,
            region=place.region,
            type__in=["flavor", "image", "network", "zone", "volume_type"],
        )
        self._of: dict[str, list[CloudResource]] = {}
        for resource in present.order_by("name", "cloud_id"):
            self._of.setdefault(resource.type, []).append(resource)
        self._snapshots: dict[str, VMSnapshot] | None = None

    def flavors(self) -> list[CloudResource]:
        """Sizes that a VM may have, the smallest first."""
        usable = [
            flavor
            for flavor in self._of.get("flavor", [])
            if flavor.status == "active" and _cores(flavor) <= 64 and _memory_gb(flavor) <= 512
        ]
        return sorted(usable, key=lambda one: (_cores(one), _memory_gb(one), _disk(one), one.name))

    def images(self) -> list[CloudResource]:
        """What this tenant may boot from, the newest first.

        A snapshot in an account that is shared is seen by its own tenant alone.
        """
        return sorted(
            (
                image
                for image in self._of.get("image", [])
                if image.status == "active" and self._is_bootable(image)
            ),
            key=lambda one: (one.attributes.get("created_at", ""), one.name),
            reverse=True,
        )

    def _is_bootable(self, image: CloudResource) -> bool:
        owner = image.attributes.get("portal_tenant")
        if owner:
            return self.find_snapshot(image) is not None
        if image.attributes.get("is_volume_backed"):
            return False  # Nova would make volumes of it that nobody knows of and that outlive their VM.
        private = image.attributes.get("visibility") not in {"public", "community", "shared"}
        foreign = bool(image.attributes.get("is_snapshot")) and private
        return not foreign or self.place.account.tenant_id == self.system.tenant_id

    def find_snapshot(self, image: CloudResource) -> VMSnapshot | None:
        """The tenant's snapshot that an image is, if it is one.

        Our rows say so, not the image: that could be written by anybody who may write to the project.
        """
        if self._snapshots is None:
            own = VMSnapshot.objects.filter(
                information_system__tenant=self.system.tenant_id, account=self.place.account
            )
            self._snapshots = {one.image_id: one for one in own if one.image_id is not None}
        return self._snapshots.get(image.cloud_id)

    def networks(self) -> list[CloudResource]:
        """What a VM can be put on: external networks, and those without addresses, are none of it."""
        return [
            network
            for network in self._of.get("network", [])
            if not network.attributes.get("is_external")
            and network.status == "ACTIVE"
            and network.attributes.get("cidrs")
        ]

    def zones(self) -> list[CloudResource]:
        """Where a VM can be put."""
        return [zone for zone in self._of.get("zone", []) if zone.status == "available"]

    def volume_types(self) -> list[CloudResource]:
        """What a volume can be."""
        return self._of.get("volume_type", [])

    def choose(self, params: Mapping[str, Any]) -> Choice:
        """Choose for what was asked; every field that could not be chosen is named, not only the first."""
        choice = Choice()
        choice.pool = self._pool_of_type(params)
        if params.keys() & {"os_type", "image"} and choice.pool is None:
            choice.image = self._image(params, choice.errors)
        if params.keys() >= {"cpu_cores", "memory_gb", "disk_gb"}:
            choice.flavor = self._flavor(params, choice.image, choice.errors)
        choice.boots_from_volume = self.boots_from_volume(params, choice.image)
        snapshot = self.find_snapshot(choice.image) if choice.image else None
        if snapshot is not None and snapshot.volume_snapshots:
            choice.volume_snapshot_id = snapshot.volume_snapshots[0]
        choice.network = self._network(params, choice.errors)
        choice.zone = self._zone(params, choice.errors)
        if choice.pool is not None:
            choice.volume_snapshot_id = choice.pool.source_snapshot_id
        elif choice.boots_from_volume and choice.image is not None and not choice.volume_snapshot_id:
            choice.pool = self._pool(params, image_id=choice.image.cloud_id)
        return choice

    def _pool_of_type(self, params: Mapping[str, Any]) -> VolumePool | None:
        """The pool of the system that is asked for: who keeps one of type "igw" says with it what an igw boots from."""
        if not params.get("boot_volume") or params.get("image") or params.get("os_version"):
            return None
        return self._pool(params, type_code=params.get("os_type", "").casefold())

    def _pool(
        self, params: Mapping[str, Any], *, type_code: str = "", image_id: str = ""
    ) -> VolumePool | None:
        return find_boot_pool(
            self.system,
            account=self.place.account,
            region=self.place.region,
            size_gb=params.get("disk_gb", 0),
            zone=params.get("availability_zone", ""),
            type_code=type_code,
            image_id=image_id,
        )

    def _flavor(
        self, params: Mapping[str, Any], image: CloudResource | None, errors: Errors
    ) -> CloudResource | None:
        cores, memory, disk = params["cpu_cores"], params["memory_gb"], params["disk_gb"]
        needs_disk = 0 if self.boots_from_volume(params, image) else disk
        if image is not None:
            snapshot = self.find_snapshot(image)
            least_disk = max(image.attributes.get("min_disk_gb", 0), snapshot.min_disk_gb if snapshot else 0)
            if disk < least_disk:
                message = _("The image '%(image)s' needs a disk of %(least)s GB at least.")
                errors.setdefault("disk_gb", []).append(message % {"image": image.name, "least": least_disk})
            least_memory = -(-image.attributes.get("min_memory_mb", 0) // 1024)
            if memory < least_memory:
                message = _("The image '%(image)s' needs %(least)s GB of memory at least.")
                errors.setdefault("memory_gb", []).append(
                    message % {"image": image.name, "least": least_memory}
                )
        flavor = self.smallest_flavor(cores, memory, needs_disk)
        if flavor is None:
            errors.setdefault("cpu_cores", []).append(self.no_flavor_message(cores, memory, needs_disk))
        return flavor

    def boots_from_volume(self, params: Mapping[str, Any], image: CloudResource | None) -> bool:
        """Whether a VM is to boot from a volume: because it was asked for, or because its image is one of a volume.

        Of the latter Nova itself would make a volume that nobody knows of.
        """
        snapshot = self.find_snapshot(image) if image is not None else None
        return bool(params.get("boot_volume") or (snapshot is not None and snapshot.volume_snapshots))

    def smallest_flavor(self, cores: int, memory_gb: int, disk_gb: int) -> CloudResource | None:
        """The smallest that has at least so much of each."""
        for flavor in self.flavors():
            if _cores(flavor) >= cores and _memory_gb(flavor) >= memory_gb and _disk(flavor) >= disk_gb:
                return flavor
        return None

    def no_flavor_message(self, cores: int, memory_gb: int, disk_gb: int) -> Promise | str:
        """That there is none, and the closest that there is."""
        flavors = self.flavors()
        if not flavors:
            return _("The cloud account offers no flavors.")

        def lacks(flavor: CloudResource) -> float:
            return (
                max(0, cores - _cores(flavor)) / cores
                + max(0, memory_gb - _memory_gb(flavor)) / memory_gb
                + max(0, disk_gb - _disk(flavor)) / max(1, disk_gb)
            )

        closest = min(flavors, key=lacks)
        return _(
            "No flavor has %(cores)s cores, %(memory)s GB of memory and %(disk)s GB of disk;"
            " the closest is %(name)s with %(its_cores)s, %(its_memory)s and %(its_disk)s."
        ) % {
            "cores": cores,
            "memory": memory_gb,
            "disk": disk_gb,
            "name": closest.name,
            "its_cores": _cores(closest),
            "its_memory": _memory_gb(closest),
            "its_disk": _disk(closest),
        }

    def _image(self, params: Mapping[str, Any], errors: Errors) -> CloudResource | None:
        images = self.images()
        if params.get("image"):
            found = next((image for image in images if image.cloud_id == params["image"]), None)
            if found is None:
                errors["image"] = [
                    _("There is no image '%(id)s' to boot from here.") % {"id": params["image"]}
                ]
            return found
        os_type, version = params["os_type"].casefold(), params.get("os_version", "").casefold()
        # Who names a system wants that system, not somebody's snapshot of it.
        of_type = [
            image
            for image in images
            if os_type in os_names(image) and not image.attributes.get("is_snapshot")
        ]
        if not of_type:
            known = sorted({name for image in images for name in os_names(image)})
            message = _("There is no image of '%(os)s'; there are images of: %(known)s.")
            errors["os_type"] = [message % {"os": params["os_type"], "known": ", ".join(known) or "-"}]
            return None
        found = next((image for image in of_type if not version or version == os_version(image)), None)
        if found is None:
            known = sorted({os_version(image) for image in of_type} - {""})
            message = _("There is no image of '%(os)s' %(version)s; there are: %(known)s.")
            errors["os_version"] = [
                message
                % {"os": params["os_type"], "version": params["os_version"], "known": ", ".join(known) or "-"}
            ]
        return found

    def _network(self, params: Mapping[str, Any], errors: Errors) -> CloudResource | None:
        networks = {network.cloud_id: network for network in self.networks()}
        known = ", ".join(f"{one.name} ({one.cloud_id})" for one in networks.values()) or "-"
        wanted = params.get("network") or self.system.default_network or self.system.tenant.default_network
        if wanted:
            if wanted not in networks:
                message = _("There is no network '%(id)s' to put a VM on; there are: %(known)s.")
                errors["network"] = [message % {"id": wanted, "known": known}]
            return networks.get(wanted)
        if len(networks) == 1:
            return next(iter(networks.values()))
        if networks:
            errors["network"] = [_("Name the network; there are: %(known)s.") % {"known": known}]
        else:
            errors["network"] = [_("The cloud account has no network to put a VM on.")]
        return None

    def _zone(self, params: Mapping[str, Any], errors: Errors) -> str | None:
        wanted, known = params.get("availability_zone", ""), [zone.cloud_id for zone in self.zones()]
        if wanted and wanted not in known:
            message = _("There is no availability zone '%(zone)s'; there are: %(known)s.")
            errors["availability_zone"] = [message % {"zone": wanted, "known": ", ".join(known) or "-"}]
        return wanted or None


def os_names(image: CloudResource) -> set[str]:
    """The words by which an image's system may be asked for: its type, its distribution, its name's first word."""
    words = [image.attributes.get("os_type", ""), image.attributes.get("os_distro", "")]
    words += re.split(r"[\s_-]", image.name.strip(), maxsplit=1)[:1]
    return {word.casefold() for word in words if word}


def os_version(image: CloudResource) -> str:
    """The version of an image's system: what it says, or the last word of its name that begins with a digit."""
    said = image.attributes.get("os_version", "")
    if said:
        return str(said).casefold()
    numbers = [word for word in re.split(r"[\s_-]", image.name) if word[:1].isdigit()]
    return numbers[-1].casefold() if numbers else ""


def flavor_size_columns(flavor: CloudResource, *, boot_disk_gb: int | None = None) -> dict[str, Any]:
    """A flavor as the VM columns that hold its size; with a boot volume, the disk is the volume's."""
    return {
        "cpu_cores": _cores(flavor),
        "memory_gb": _memory_gb(flavor),
        "disk_gb": boot_disk_gb if boot_disk_gb is not None else min(10000, max(10, _disk(flavor))),
        "flavor_name": flavor.name[:255],
    }


def _cores(flavor: CloudResource) -> int:
    return int(flavor.attributes.get("vcpus", 0))


def _memory_gb(flavor: CloudResource) -> int:
    # A flavor of 1,536 MB is no flavor of 2 GB: what was asked for must fit.
    return int(flavor.attributes.get("memory_mb", 0)) // 1024


def _disk(flavor: CloudResource) -> int:
    return int(flavor.attributes.get("disk_gb", 0))
