"""The verbs of the room: each locks, checks, writes and submits in one short transaction."""

from .backfill import backfill, pools_to_fill
from .claiming import Claim, Wanted, request_volumes
from .reconciling import places_to_reconcile, reconcile
from .removal import remove_volume

__all__ = [
    "Claim",
    "Wanted",
    "backfill",
    "places_to_reconcile",
    "pools_to_fill",
    "reconcile",
    "remove_volume",
    "request_volumes",
]
