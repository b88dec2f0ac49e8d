"""The room's use cases: each locks, checks, writes and submits in one short transaction."""

from .accounts import (
    CREDENTIAL_FIELDS,
    change_account,
    create_account,
    describe_providers,
    handle_saved_account,
    remove_account,
    verify_account,
)
from .dependencies import list_dependents, list_foundations
from .freshness import list_stale_accounts
from .hosts import read_hosts
from .syncs import accept_losses, open_scheduled_syncs, prune_history, request_sync, sweep_syncs
from .topology import build_topology

__all__ = [
    "CREDENTIAL_FIELDS",
    "accept_losses",
    "build_topology",
    "change_account",
    "create_account",
    "describe_providers",
    "handle_saved_account",
    "list_dependents",
    "list_foundations",
    "list_stale_accounts",
    "open_scheduled_syncs",
    "prune_history",
    "read_hosts",
    "remove_account",
    "request_sync",
    "sweep_syncs",
    "verify_account",
]
