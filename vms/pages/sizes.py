"""Flavors as forms offer them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cloudaccounts.models import CloudResource

from ..catalogue import flavor_size_columns

MIN_DISK_GB = 10


@dataclass(frozen=True, slots=True)
class Size:
    """A flavor by its figures. `disk_gb` is the flavor's own, and may be 0: such a VM needs a boot volume."""

    id: str
    name: str
    cpu_cores: int
    memory_gb: int
    disk_gb: int

    @property
    def needs_boot_volume(self) -> bool:
        """Return whether the flavor's own disk is too small for a VM."""
        return self.disk_gb < MIN_DISK_GB


def list_sizes(flavors: Sequence[CloudResource], *, boots_from_volume: bool = False) -> list[Size]:
    """Return the flavors that a request with their figures would choose, in the order of `flavors`, the smallest first.

    The services take figures and choose the smallest flavor that fits. Of two flavors with the same figures, the second is
    never chosen, so it is not offered.
    """
    sizes = [_build_size(flavor) for flavor in flavors]

    def disk(size: Size) -> int:
        return 0 if boots_from_volume or size.needs_boot_volume else size.disk_gb

    return [size for size in sizes if _find_smallest(sizes, size, disk(size)) is size]


def _find_smallest(sizes: Sequence[Size], requested: Size, disk_gb: int) -> Size | None:
    if requested.memory_gb < 1:
        return None
    for size in sizes:
        if (
            size.cpu_cores >= requested.cpu_cores
            and size.memory_gb >= requested.memory_gb
            and size.disk_gb >= disk_gb
        ):
            return size
    return None


def is_figure(text: str) -> bool:
    """Return whether a text of a form is a whole number that a VM's size can have."""
    return text.isascii() and text.isdigit() and len(text) <= 6


def find_smallest(sizes: Sequence[Size], entered: Mapping[str, str]) -> Size | None:
    """Return the smallest size with at least the figures of a form; None if a figure is missing or nothing fits."""
    figures = [entered["cpu_cores"], entered["memory_gb"], entered["disk_gb"]]
    if not all(map(is_figure, figures)):
        return None
    cores, memory, disk = map(int, figures)
    least = 0 if entered["boot_volume"] else disk
    return next(
        (
            size
            for size in sizes
            if size.cpu_cores >= cores and size.memory_gb >= memory and size.disk_gb >= least
        ),
        None,
    )


def _build_size(flavor: CloudResource) -> Size:
    figures = flavor_size_columns(flavor)
    return Size(
        flavor.cloud_id,
        flavor.name,
        figures["cpu_cores"],
        figures["memory_gb"],
        int(flavor.attributes.get("disk_gb", 0)),
    )
