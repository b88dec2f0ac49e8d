"""Choose flavor, image, network and zone of a VM from what the last sync found in the account.

A choice that fails is refused here, before anything is recorded, with the requested value and the closest match.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db.models import Q
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from cloudaccounts.models import CloudResource
from cloudaccounts.placements import Errors, Placement
from cloudaccounts.services.catalogue import list_granted
from tenants.models import InformationSystem, Tenant
from volumepool.models import VolumePool
from volumepool.services import find_boot_pool

from .models import VirtualMachine, VMSnapshot


@dataclass(slots=True)
class Choice:
    """The result of a choice; what could not be chosen is None, and `errors` has the reason, by field."""

    flavor: CloudResource | None = None
    image: CloudResource | None = None
    network: CloudResource | None = None
    zone: str | None = None
    boots_from_volume: bool = False
    # The Cinder snapshot that the boot volume is a copy of; empty when it is a copy of the image.
    volume_snapshot_id: str = ""
    # The pool whose volumes it can boot from. With a pool of snapshots no image is chosen.
    pool: VolumePool | None = None
    errors: Errors = field(default_factory=dict)


class Catalogue:
    """The resources of one account and region that one tenant may choose from: one query."""

    def __init__(self, place: Placement, system: InformationSystem) -> None:
        self.place, self.system = place, system
        # A tenant's own snapshots need no grant.
        snapshots = VMSnapshot.objects.filter(
            information_system__tenant=system.tenant_id, account=place.account, image_id__isnull=False
        )
        present = list_granted(
            system.tenant,
            place.account,
            region=place.region,
            own=Q(type="image", cloud_id__in=snapshots.values("image_id")),
        ).filter(type__in=["flavor", "image", "network", "zone", "volume_type"])
        self._by_type: dict[str, list[CloudResource]] = {}
        for resource in present.order_by("name", "cloud_id"):
            self._by_type.setdefault(resource.type, []).append(resource)
        self._snapshots: dict[str, VMSnapshot] | None = None

    def flavors(self) -> list[CloudResource]:
        """Return the flavors that a VM may have, the smallest first."""
        usable = [
            flavor
            for flavor in self._by_type.get("flavor", [])
            if flavor.status == "active" and _cores(flavor) <= 64 and _memory_gb(flavor) <= 512
        ]
        return sorted(
            usable, key=lambda flavor: (_cores(flavor), _memory_gb(flavor), _disk(flavor), flavor.name)
        )

    def images(self) -> list[CloudResource]:
        """Return the images that this tenant may boot from, the newest first.

        A snapshot in a shared account is visible to its own tenant alone.
        """
        return sorted(
            (
                image
                for image in self._by_type.get("image", [])
                if image.status == "active" and self._is_bootable(image)
            ),
            key=lambda image: (image.attributes.get("created_at", ""), image.name),
            reverse=True,
        )

    def _is_bootable(self, image: CloudResource) -> bool:
        owner = image.attributes.get("portal_tenant")
        if owner:
            return self.find_snapshot(image) is not None
        if image.attributes.get("is_volume_backed"):
            return False  # Nova would create volumes of it that have no row and outlive their VM.
        private = image.attributes.get("visibility") not in {"public", "community", "shared"}
        foreign = bool(image.attributes.get("is_snapshot")) and private
        return not foreign or self.place.account.tenant_id == self.system.tenant_id

    def find_snapshot(self, image: CloudResource) -> VMSnapshot | None:
        """Return the tenant's snapshot that an image is, or None.

        The portal's rows decide, not the image's properties: anybody with access to the project can write those.
        """
        if self._snapshots is None:
            own = VMSnapshot.objects.filter(
                information_system__tenant=self.system.tenant_id, account=self.place.account
            )
            self._snapshots = {
                snapshot.image_id: snapshot for snapshot in own if snapshot.image_id is not None
            }
        return self._snapshots.get(image.cloud_id)

    def networks(self) -> list[CloudResource]:
        """Return the networks that a VM can be put on: no external ones, and none without addresses."""
        return [
            network
            for network in self._by_type.get("network", [])
            if not network.attributes.get("is_external")
            and network.status == "ACTIVE"
            and network.attributes.get("cidrs")
        ]

    def find_network(self, network_id: str, errors: list[str | Promise]) -> CloudResource | None:
        """Return a network that a VM can be put on, by its id; for any other id, add the error to `errors` and return None."""
        networks = {network.cloud_id: network for network in self.networks()}
        if network_id not in networks:
            message = _("Network '%(id)s' not found. Available: %(known)s.")
            errors.append(message % {"id": network_id, "known": _name_networks(networks.values())})
        return networks.get(network_id)

    def zones(self) -> list[CloudResource]:
        """Return the availability zones that take servers."""
        return [zone for zone in self._by_type.get("zone", []) if zone.status == "available"]

    def volume_types(self) -> list[CloudResource]:
        """Return the volume types."""
        return self._by_type.get("volume_type", [])

    def choose(self, params: Mapping[str, Any]) -> Choice:
        """Choose for the parameters of a request; the errors name every field that could not be chosen."""
        choice = Choice()
        choice.pool = self._find_pool_by_type(params)
        if params.keys() & {"os_type", "image"} and choice.pool is None:
            choice.image = self._choose_image(params, choice.errors)
        if params.keys() >= {"cpu_cores", "memory_gb", "disk_gb"}:
            choice.flavor = self._choose_flavor(params, choice.image, choice.errors)
        choice.boots_from_volume = self.boots_from_volume(params, choice.image)
        snapshot = self.find_snapshot(choice.image) if choice.image else None
        if snapshot is not None and snapshot.volume_snapshots:
            choice.volume_snapshot_id = snapshot.volume_snapshots[0]
        choice.network = self._choose_network(params, choice.errors)
        choice.zone = self._choose_zone(params, choice.errors)
        if choice.pool is not None:
            choice.volume_snapshot_id = choice.pool.source_snapshot_id
        elif choice.boots_from_volume and choice.image is not None and not choice.volume_snapshot_id:
            choice.pool = self._find_pool(params, image_id=choice.image.cloud_id)
        return choice

    def _find_pool_by_type(self, params: Mapping[str, Any]) -> VolumePool | None:
        """Return the pool whose type is the requested system: a pool of type "igw" defines what an igw boots from."""
        if not params.get("boot_volume") or params.get("image") or params.get("os_version"):
            return None
        return self._find_pool(params, type_code=params.get("os_type", "").casefold())

    def _find_pool(
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

    def _choose_flavor(
        self, params: Mapping[str, Any], image: CloudResource | None, errors: Errors
    ) -> CloudResource | None:
        cores, memory, disk = params["cpu_cores"], params["memory_gb"], params["disk_gb"]
        needs_disk = 0 if self.boots_from_volume(params, image) else disk
        if image is not None:
            snapshot = self.find_snapshot(image)
            least_disk = max(image.attributes.get("min_disk_gb", 0), snapshot.min_disk_gb if snapshot else 0)
            if disk < least_disk:
                message = _("The image '%(image)s' needs a disk of at least %(least)s GiB.")
                errors.setdefault("disk_gb", []).append(message % {"image": image.name, "least": least_disk})
            least_memory = -(-image.attributes.get("min_memory_mb", 0) // 1024)
            if memory < least_memory:
                message = _("The image '%(image)s' needs at least %(least)s GiB of memory.")
                errors.setdefault("memory_gb", []).append(
                    message % {"image": image.name, "least": least_memory}
                )
        flavor = self.find_smallest_flavor(cores, memory, needs_disk)
        if flavor is None:
            errors.setdefault("cpu_cores", []).append(self.describe_missing_flavor(cores, memory, needs_disk))
        return flavor

    def boots_from_volume(self, params: Mapping[str, Any], image: CloudResource | None) -> bool:
        """Return whether a VM is to boot from a volume: by request, or because its image is a snapshot of a boot volume.

        Of such an image Nova itself would create a volume without a row.
        """
        snapshot = self.find_snapshot(image) if image is not None else None
        return bool(params.get("boot_volume") or (snapshot is not None and snapshot.volume_snapshots))

    def find_smallest_flavor(self, cores: int, memory_gb: int, disk_gb: int) -> CloudResource | None:
        """Return the smallest flavor with at least this much of each, or None."""
        for flavor in self.flavors():
            if _cores(flavor) >= cores and _memory_gb(flavor) >= memory_gb and _disk(flavor) >= disk_gb:
                return flavor
        return None

    def describe_missing_flavor(self, cores: int, memory_gb: int, disk_gb: int) -> Promise | str:
        """Return the error that no flavor fits, with the closest one."""
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
            "No flavor offers %(cores)s vCPU / %(memory)s GiB / %(disk)s GiB."
            " Closest: %(name)s with %(its_cores)s vCPU / %(its_memory)s GiB / %(its_disk)s GiB."
        ) % {
            "cores": cores,
            "memory": memory_gb,
            "disk": disk_gb,
            "name": closest.name,
            "its_cores": _cores(closest),
            "its_memory": _memory_gb(closest),
            "its_disk": _disk(closest),
        }

    def _choose_image(self, params: Mapping[str, Any], errors: Errors) -> CloudResource | None:
        images = self.images()
        if params.get("image"):
            found = next((image for image in images if image.cloud_id == params["image"]), None)
            if found is None:
                errors["image"] = [_("Image not found: %(id)s.") % {"id": params["image"]}]
            return found
        os_type, version = params["os_type"].casefold(), params.get("os_version", "").casefold()
        # A request for an operating system means its image, not a snapshot of a VM.
        of_type = [
            image
            for image in images
            if os_type in os_names(image) and not image.attributes.get("is_snapshot")
        ]
        if not of_type:
            known = sorted({name for image in images for name in os_names(image)})
            message = _("No image of '%(os)s' was found. Available: %(known)s.")
            errors["os_type"] = [message % {"os": params["os_type"], "known": ", ".join(known) or "-"}]
            return None
        found = next((image for image in of_type if not version or version == os_version(image)), None)
        if found is None:
            known = sorted({os_version(image) for image in of_type} - {""})
            message = _("No image of '%(os)s' %(version)s was found. Available: %(known)s.")
            errors["os_version"] = [
                message
                % {"os": params["os_type"], "version": params["os_version"], "known": ", ".join(known) or "-"}
            ]
        return found

    def _choose_network(self, params: Mapping[str, Any], errors: Errors) -> CloudResource | None:
        requested = params.get("network") or self.system.default_network or self.system.tenant.default_network
        problems: list[str | Promise] = []
        if requested:
            network = self.find_network(requested, problems)
        elif len(networks := self.networks()) == 1:
            (network,) = networks
        else:
            network = None
            known = _name_networks(networks)
            problems.append(
                _("Select a network. Available: %(known)s.") % {"known": known}
                if networks
                else _("The cloud account has no network for VMs.")
            )
        if problems:
            errors["network"] = problems
        return network

    def _choose_zone(self, params: Mapping[str, Any], errors: Errors) -> str | None:
        requested, known = params.get("availability_zone", ""), [zone.cloud_id for zone in self.zones()]
        if requested and requested not in known:
            message = _("Availability zone '%(zone)s' not found. Available: %(known)s.")
            errors["availability_zone"] = [message % {"zone": requested, "known": ", ".join(known) or "-"}]
        return requested or None


def _name_networks(networks: Iterable[CloudResource]) -> str:
    return ", ".join(f"{network.name} ({network.cloud_id})" for network in networks) or "-"


def os_names(image: CloudResource) -> set[str]:
    """Return the names by which `os_type` finds an image: its type, its distribution, the first word of its name."""
    names = [image.attributes.get("os_type", ""), image.attributes.get("os_distro", "")]
    names += re.split(r"[\s_-]", image.name.strip(), maxsplit=1)[:1]
    return {name.casefold() for name in names if name}


def os_version(image: CloudResource) -> str:
    """Return the version of an image's system: its attribute, or the last word of its name that begins with a digit."""
    version = image.attributes.get("os_version", "")
    if version:
        return str(version).casefold()
    numbers = [word for word in re.split(r"[\s_-]", image.name) if word[:1].isdigit()]
    return numbers[-1].casefold() if numbers else ""


def flavor_size_columns(flavor: CloudResource, *, boot_disk_gb: int | None = None) -> dict[str, Any]:
    """Return a flavor as the VM columns that hold its size; with a boot volume, the disk is the volume's."""
    return {
        "cpu_cores": _cores(flavor),
        "memory_gb": _memory_gb(flavor),
        "disk_gb": boot_disk_gb if boot_disk_gb is not None else min(10000, max(10, _disk(flavor))),
        "flavor_name": flavor.name[:255],
    }


def _cores(flavor: CloudResource) -> int:
    return int(flavor.attributes.get("vcpus", 0))


def _memory_gb(flavor: CloudResource) -> int:
    # A flavor of 1,536 MB does not fit a request for 2 GB.
    return int(flavor.attributes.get("memory_mb", 0)) // 1024


def _disk(flavor: CloudResource) -> int:
    return int(flavor.attributes.get("disk_gb", 0))


def list_withdrawn_names(vm: VirtualMachine) -> frozenset[str]:
    """Return the names of a VM's flavor and networks that its tenant is no longer granted: the VM keeps them."""
    used = Q(type="flavor", name=vm.flavor_name) | Q(type="network", name__in=_list_network_names(vm))
    return _list_missing_grants(Placement(vm.account, vm.region), vm.information_system.tenant, used)


def find_missing_networks(vms: Sequence[VirtualMachine], tenant: Tenant) -> dict[UUID, frozenset[str]]:
    """Return the names of networks that another tenant is not granted, by the ids of the VMs that have such.

    One statement for each account and region.
    """
    names = {vm.pk: _list_network_names(vm) for vm in vms}
    by_place: dict[tuple[int, str], list[VirtualMachine]] = {}
    for vm in vms:
        by_place.setdefault((vm.account_id, vm.region), []).append(vm)
    found: dict[UUID, frozenset[str]] = {}
    for there in by_place.values():
        all_names = frozenset[str]().union(*(names[vm.pk] for vm in there))
        used = Q(type="network", name__in=all_names)
        missing = _list_missing_grants(Placement(there[0].account, there[0].region), tenant, used)
        found |= {vm.pk: names[vm.pk] & missing for vm in there if names[vm.pk] & missing}
    return found


def _list_network_names(vm: VirtualMachine) -> frozenset[str]:
    return frozenset(str(address.get("network")) for address in vm.addresses if isinstance(address, dict))


def _list_missing_grants(place: Placement, tenant: Tenant, used: Q) -> frozenset[str]:
    """Return the names of used resources that are not granted. Those that the account has no more are left out."""
    if place.account.tenant_id == tenant.pk:
        return frozenset()
    present = CloudResource.objects.present().filter(used, account=place.account, region=place.region)
    granted = list_granted(tenant, place.account, region=place.region).values("pk")
    return frozenset(present.exclude(pk__in=granted).values_list("name", flat=True))
