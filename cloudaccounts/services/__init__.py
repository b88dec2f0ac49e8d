"""The verbs of the room: each locks, checks, writes and submits in one short transaction."""

from .accounts import (
    CREDENTIALS,
    change_account,
    create_account,
    handle_saved_account,
    remove_account,
    verify_account,
)
from .freshness import list_stale_accounts
from .syncs import accept_losses, open_scheduled_syncs, prune, request_sync, sweep
from .topology import build_topology

__all__ = [
    "CREDENTIALS",
    "accept_losses",
    "build_topology",
    "change_account",
    "create_account",
    "handle_saved_account",
    "list_stale_accounts",
    "open_scheduled_syncs",
    "prune",
    "remove_account",
    "request_sync",
    "sweep",
    "verify_account",
]
