"""What volumes an information system can have: the types of its accounts' pools."""

from __future__ import annotations

from dataclasses import dataclass

from tenants.models import InformationSystem
from tenants.scoping import Scope

from ..models import SpareVolume
from .claims import select_pools

# So many spares are shown by name: who wants one of a thousand by name knows which.
SPARES_SHOWN = 20


@dataclass(frozen=True, slots=True)
class SpareOption:
    """A spare that can be asked for by Cinder's id."""

    volume_id: str
    name: str


@dataclass(frozen=True, slots=True)
class VolumeOption:
    """A type: where it is, how large, how many are ready, and those of them that would be given next.

    `problem` says why no more can be made now; "" when they can.
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


def volume_options(*, scope: Scope) -> list[VolumeOption]:
    """The types of volumes that information systems of a scope can have: a fixed number of queries."""
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
            ready[pool.pk][:SPARES_SHOWN],
            pool.source_error if pool.lacks_its_source else "",
        )
        for pool in pools
    ]
