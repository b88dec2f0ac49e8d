"""The room's use cases: each locks, checks, writes and submits in one short transaction."""

from .backfill import backfill, select_pools_to_fill
from .changes import change_volume, extend_volume, remove_volume, rename_volume
from .claims import ClaimedSpare, build_volume, claim_spares, find_boot_pool, select_pools
from .options import VolumeOption, list_volume_options
from .reconciliation import reconcile, select_regions_to_reconcile
from .snapshots import remove_snapshot, take_snapshot
from .stock import prune_history, record_stock
from .volume_bin import empty_volume_bin, restore_volume
from .volume_sync import accept_volume_losses, request_volume_sync, select_stale_volume_states
from .volumes import (
    ClaimRequest,
    ClaimResult,
    VolumeCreationRequest,
    claim_volumes,
    create_volumes,
    explain_unknown_volume_type,
)

__all__ = [
    "ClaimRequest",
    "ClaimResult",
    "ClaimedSpare",
    "VolumeCreationRequest",
    "VolumeOption",
    "accept_volume_losses",
    "backfill",
    "build_volume",
    "change_volume",
    "claim_spares",
    "claim_volumes",
    "create_volumes",
    "empty_volume_bin",
    "explain_unknown_volume_type",
    "extend_volume",
    "find_boot_pool",
    "list_volume_options",
    "prune_history",
    "reconcile",
    "record_stock",
    "remove_snapshot",
    "remove_volume",
    "rename_volume",
    "request_volume_sync",
    "restore_volume",
    "select_pools",
    "select_pools_to_fill",
    "select_regions_to_reconcile",
    "select_stale_volume_states",
    "take_snapshot",
]
