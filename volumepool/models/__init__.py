"""Volumes of tenants, and spares of them kept ready."""

from .pools import PoolClaim, SpareVolume, SpareVolumeQuerySet, StrayVolume, VolumePool
from .volumes import VOLUME_WATCHER, Volume, VolumeQuerySet

__all__ = [
    "VOLUME_WATCHER",
    "PoolClaim",
    "SpareVolume",
    "SpareVolumeQuerySet",
    "StrayVolume",
    "Volume",
    "VolumePool",
    "VolumeQuerySet",
]
