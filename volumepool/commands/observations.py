"""Observations of volumes that jobs made, written to the rows however the job ended."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from openstack_client import Cloud, CloudError, CloudNotFoundError
from tasks.polling import MISSING

from ..cinder_columns import to_columns
from ..models import Volume


def record_if_gone(data: dict[str, Any], cloud: Cloud, cinder_id: str | None) -> None:
    """Record after a 404 whether the volume is gone. When Cinder does not answer, the status sync finds out."""
    if cinder_id is None:
        return
    try:
        found = to_columns(cloud.block_storage.get_volume(cinder_id))
    except CloudNotFoundError:
        data["seen"] = {"status": MISSING}
    except CloudError:
        return
    else:
        data["seen"] = {"status": found.status, "size_gb": found.size_gb}


def write_observed_volume(volume_id: str, data: Mapping[str, Any]) -> None:
    """Write what the job last observed of a volume to its row, in the transaction that ends the job."""
    seen = data.get("seen")
    observed = data.get("observed") or {}
    if seen is None and "server_ids" in observed:
        seen = {"status": observed["status"]}
        with suppress(KeyError):
            seen["size_gb"] = observed["columns"]["size_gb"]
    elif seen is None and observed.get("status") == MISSING and "columns" not in observed:
        seen = {"status": MISSING}
    if seen is None:
        return
    rows = Volume.objects.filter(pk=volume_id, volume_id__isnull=False)
    if seen["status"] == MISSING:
        rows.mark_gone()
    else:
        rows.update(missing_count=0, **seen)
