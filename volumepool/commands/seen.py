"""What a job has seen of a volume, for its row: whatever became of the job, that is what Cinder says."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from openstack_client import Cloud, CloudError, NotFound
from tasks.polling import MISSING

from ..mapping import columns_of
from ..models import Volume


def note_if_gone(data: dict[str, Any], cloud: Cloud, cinder_id: str | None) -> None:
    """After a 404: look whether it is the volume that is not there. What cannot be found out is left to the status sync."""
    if cinder_id is None:
        return
    try:
        found = columns_of(cloud.block_storage.get_volume(cinder_id))
    except NotFound:
        data["seen"] = {"status": MISSING}
    except CloudError:
        return
    else:
        data["seen"] = {"status": found.status, "size_gb": found.size_gb}


def write_seen(volume_id: str, data: Mapping[str, Any]) -> None:
    """Bring a volume's row to what the job last saw of it, in the transaction that ends the job."""
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
