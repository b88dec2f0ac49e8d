"""Syncers of Elastic Volume Service: snapshots, volumes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext_lazy as _

from ...registry import ListedResource, register_syncer
from .listings import Listing, Paging
from .provider import PAID_UNTIL, HuaweiSyncer
from .values import build_links, get_object, read_number, read_paid_until, read_tags


@register_syncer
class SnapshotSyncer(HuaweiSyncer):
    """Snapshots: `size_gb`, `description`, `created_at`; linked to their volume."""

    type = "snapshot"
    label = _("volume snapshot")
    order = 50
    listing = Listing(
        "evs",
        "/v2/{project_id}/cloudsnapshots/detail",
        "snapshots",
        "evs:snapshots:list",
        Paging.OFFSET,
        1000,
        total="count",
    )
    permissions = ("evs:snapshots:list",)

    def convert(self, found: dict[str, Any]) -> ListedResource:
        """Convert a snapshot."""
        return ListedResource(
            found["id"],
            found.get("name") or "",
            found.get("status") or "",
            {
                "size_gb": read_number(found.get("size")),
                "description": found.get("description") or "",
                "created_at": found.get("created_at") or "",
            },
            links=build_links(("volume", found.get("volume_id"))),
        )


@register_syncer
class VolumeSyncer(HuaweiSyncer):
    """Volumes: `size_gb`, `volume_type`, `is_encrypted`, `is_bootable`, `is_shareable`, `zone`, `attachments`, `is_prepaid`,
    `order_id`, `paid_until`, `created_at`, `tags`. Links lead to the servers that they are attached to, and to the snapshot that they were made from.
    """

    type = "volume"
    label = _("volume")
    order = 55
    listing = Listing(
        "evs",
        "/v2/{project_id}/cloudvolumes/detail",
        "volumes",
        "evs:volumes:list",
        Paging.LAST_ID,
        1000,
    )
    permissions = ("evs:volumes:list",)

    def is_prepaid(self, found: Mapping[str, Any]) -> bool:
        """Return whether a volume is paid by month or year: only such a one has an order."""
        return bool(get_object(found, "metadata").get("orderID"))

    def convert(self, found: dict[str, Any]) -> ListedResource:
        """Convert a volume."""
        attached = sorted(
            {
                (one["server_id"], one.get("device") or "")
                for one in found.get("attachments") or ()
                if one.get("server_id")
            }
        )
        metadata = found.get("metadata") or {}
        return ListedResource(
            found["id"],
            found.get("name") or "",
            found.get("status") or "",
            {
                "size_gb": read_number(found.get("size")),
                "volume_type": found.get("volume_type") or "",
                "is_encrypted": bool(found.get("encrypted")) or metadata.get("__system__encrypted") == "1",
                "is_bootable": str(found.get("bootable")).lower() == "true",
                "is_shareable": bool(found.get("multiattach")),
                "zone": found.get("availability_zone") or "",
                "attachments": [list(one) for one in attached],
                "description": found.get("description") or "",
                "is_prepaid": self.is_prepaid(found),
                "paid_until": read_paid_until(found.get(PAID_UNTIL)),
                "order_id": metadata.get("orderID") or "",
                "created_at": found.get("created_at") or "",
                "tags": read_tags(found.get("tags")),
            },
            links=build_links(
                *(("server", server_id) for server_id, _device in attached),
                ("snapshot", found.get("snapshot_id")),
            ),
        )
