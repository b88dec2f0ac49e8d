"""List the volume types that information systems can claim."""

from __future__ import annotations

from dataclasses import dataclass

from tenants.models import InformationSystem
from tenants.scoping import Scope

from ..models import SpareVolume
from .claims import select_pools

# The number of spares that are listed by name.
MAX_LISTED_SPARES = 20


@dataclass(frozen=True, slots=True)
class SpareOption:
    """A spare that can be claimed by Cinder's id."""

    volume_id: str
    name: str


@dataclass(frozen=True, slots=True)
class VolumeOption:
    """A volume type: its account and region, its size, the number of ready spares, and the next spares to be claimed.

    `problem` is the reason why no volume of the type can be created now; "" without one.
    """

    type: str
    account: int
    account_name: str
    region: str
    size_gb: int
    volume_type: str
    available: int
    spares: list[SpareOption]
    problem: str


def list_volume_options(*, scope: Scope) -> list[VolumeOption]:
    """List the volume types that the information systems of a scope can claim: a fixed number of queries."""
    tenants = InformationSystem.objects.within(scope).order_by().values("tenant")
    pools = list(select_pools(tenants))
    ready: dict[int, list[SpareOption]] = {pool.pk: [] for pool in pools}
    spares = SpareVolume.objects.claimable().filter(pool__in=[pool.pk for pool in pools])
    for pool_id, volume_id, name in spares.values_list("pool_id", "volume_id", "name"):
        ready[pool_id].append(SpareOption(volume_id or "", name))
    return [
        VolumeOption(
            pool.type,
            pool.account_id,
            pool.account.name,
            pool.region,
            pool.size_gb,
            pool.volume_type,
            len(ready[pool.pk]),
            ready[pool.pk][:MAX_LISTED_SPARES],
            pool.source_error if pool.is_source_missing else "",
        )
        for pool in pools
    ]
