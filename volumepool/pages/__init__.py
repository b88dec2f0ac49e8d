"""The web pages of the room, a module for each subject. They change data through the services alone."""

from .pools import pool_detail_page, pool_live_fragment, pool_page, reconcile_pool_page, refill_pool_page
from .snapshots import copy_snapshot_page, remove_volume_snapshot_page, volume_snapshot_page
from .volumes import change_volume_page, new_volumes_page, remove_volume_page, volume_page

__all__ = [
    "change_volume_page",
    "copy_snapshot_page",
    "new_volumes_page",
    "pool_detail_page",
    "pool_live_fragment",
    "pool_page",
    "reconcile_pool_page",
    "refill_pool_page",
    "remove_volume_page",
    "remove_volume_snapshot_page",
    "volume_page",
    "volume_snapshot_page",
]
