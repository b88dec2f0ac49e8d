"""The web pages of the room, a module for each subject. They change data through the services alone."""

from .creation import new_volumes_page
from .pool_forms import edit_pool_page, new_pool_page, remove_pool_page
from .pools import pool_detail_page, pool_page, reconcile_pool_page, refill_pool_page
from .snapshots import copy_snapshot_page, remove_volume_snapshot_page, volume_snapshot_page
from .volumes import (
    change_volume_tags_page,
    extend_volume_page,
    protect_volume_page,
    remove_volume_page,
    rename_volume_page,
    restore_volume_page,
    snapshot_volume_page,
    volume_page,
)

__all__ = [
    "change_volume_tags_page",
    "copy_snapshot_page",
    "edit_pool_page",
    "extend_volume_page",
    "new_pool_page",
    "new_volumes_page",
    "pool_detail_page",
    "pool_page",
    "protect_volume_page",
    "reconcile_pool_page",
    "refill_pool_page",
    "remove_pool_page",
    "remove_volume_page",
    "remove_volume_snapshot_page",
    "rename_volume_page",
    "restore_volume_page",
    "snapshot_volume_page",
    "volume_page",
    "volume_snapshot_page",
]
