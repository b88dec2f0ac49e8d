"""The syncer of Glance's images."""

from __future__ import annotations

from collections.abc import Iterator

from django.utils.translation import gettext_lazy as _

from openstack_client import Cloud, Image, RecordPage

from ...registry import Link, ListedResource, register_syncer
from .provider import OpenStackSyncer


@register_syncer
class ImageSyncer(OpenStackSyncer):
    """Images, with the attributes of `build_image_resource`."""

    type = "image"
    label = _("image")
    order = 12
    catalogue = True

    def list_records(self, client: Cloud) -> Iterator[RecordPage[Image]]:
        """Yield the images that the project may use."""
        return client.image.image_pages()

    def convert(self, record: Image) -> ListedResource | None:
        """Convert an image; None for a hidden one."""
        return None if record.is_hidden else build_image_resource(record)


def build_image_resource(image: Image) -> ListedResource:
    """Build the resource of an image: its operating system, requirements, visibility, and the portal's properties of a snapshot.

    A job that has just created an image writes its resource with this, without waiting for the next listing.
    """
    return ListedResource(
        image.id,
        image.name,
        image.status,
        {
            "os_type": image.os_type or "",
            "os_distro": image.os_distro or "",
            "os_version": image.os_version or "",
            "min_disk_gb": image.min_disk_gb,
            "min_memory_mb": image.min_memory_mb,
            "size_bytes": image.size_bytes,
            "visibility": image.visibility or "",
            "is_snapshot": image.is_snapshot,
            "is_volume_backed": bool(image.snapshot_ids),
            "created_at": image.created_at.isoformat() if image.created_at else "",
            **{name: value for name, value in image.properties.items() if name.startswith("portal_")},
        },
        links=(
            *(Link("snapshot", snapshot_id) for snapshot_id in image.snapshot_ids),
            *([Link("server", image.instance_id)] if image.instance_id else []),
        ),
    )
