"""The verbs of the room: each locks, checks, writes and submits in one short transaction."""

from .backfill import backfill, pools_to_fill
from .changes import extend_volume, remove_volume, rename_volume
from .claiming import Taken, boot_pool, new_volume, pools_of, take
from .options import VolumeOption, volume_options
from .providing import NewVolumes, Provided, Wanted, create_volumes, request_volumes, unknown_volume_type
from .reconciling import places_to_reconcile, reconcile
from .snapshots import remove_snapshot, take_snapshot
from .stock import prune, record_stock
from .syncing import accept_volume_losses, request_volume_sync, stale_volume_states

__all__ = [
    "NewVolumes",
    "Provided",
    "Taken",
    "VolumeOption",
    "Wanted",
    "accept_volume_losses",
    "backfill",
    "boot_pool",
    "create_volumes",
    "extend_volume",
    "new_volume",
    "places_to_reconcile",
    "pools_of",
    "pools_to_fill",
    "prune",
    "reconcile",
    "record_stock",
    "remove_snapshot",
    "remove_volume",
    "rename_volume",
    "request_volume_sync",
    "request_volumes",
    "stale_volume_states",
    "take",
    "take_snapshot",
    "unknown_volume_type",
    "volume_options",
]
