"""The verbs of the room."""

from __future__ import annotations

from tasks.doorbell import ring

from .models import CloudAccount


def sync_soon(account: CloudAccount) -> None:
    """Have everything in an account listed, once the current transaction is committed."""
    ring("cloudaccounts.sync_account", [account.pk])
