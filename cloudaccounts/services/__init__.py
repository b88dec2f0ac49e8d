"""The verbs of the room: each locks, checks, writes and submits in one short transaction."""

from .accounts import (
    CREDENTIALS,
    account_saved,
    change_account,
    create_account,
    remove_account,
    verify_account,
)
from .freshness import stale_accounts
from .syncs import accept_losses, prune, request_sync, sweep, sync_scheduled
from .topology import topology_of

__all__ = [
    "CREDENTIALS",
    "accept_losses",
    "account_saved",
    "change_account",
    "create_account",
    "prune",
    "remove_account",
    "request_sync",
    "stale_accounts",
    "sweep",
    "sync_scheduled",
    "topology_of",
    "verify_account",
]
