"""The room over REST, a file for each subject."""

from .pools import PoolBackfill, PoolDetail, PoolList, PoolReconcile, PoolSpares
from .volumes import VolumeDetail, VolumeList

__all__ = [
    "PoolBackfill",
    "PoolDetail",
    "PoolList",
    "PoolReconcile",
    "PoolSpares",
    "VolumeDetail",
    "VolumeList",
]
