"""Watchers that poll servers and images for the task manager."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime, timedelta

from cloudaccounts.sync.watchers import CloudWatcher
from openstack_client import Cloud, Image, RecordPage, Server
from tasks.polling import MISSING, Observation

from .server_columns import map_server_columns

# Times for `changes-since` are by the clock that the cloud's answers show. Five minutes cover what they do not show, such as
# differences between Nova's hosts.
CLOCK_SKEW = timedelta(minutes=5)


class ServerWatcher(CloudWatcher[Server]):
    """Polls servers. A scope is `VirtualMachine.polling_scope`."""

    def fetch_object(self, cloud: Cloud, object_id: str) -> Server:
        """Fetch one server."""
        return cloud.compute.get_server(object_id)

    def list_pages(self, cloud: Cloud, since: datetime) -> Iterator[RecordPage[Server]]:
        """List the servers that have changed since the first of them was watched."""
        return cloud.compute.server_pages(changes_since=since - CLOCK_SKEW)

    def build_observation(self, found: Server) -> Observation:
        """Return Nova's status, the fault, and the VM columns."""
        status = MISSING if found.status == "DELETED" else found.status
        return Observation(status, found.fault or "", {"columns": asdict(map_server_columns(found))})


class ImageWatcher(CloudWatcher[Image]):
    """Polls images. Glance cannot list changes only, so all images are listed."""

    def fetch_object(self, cloud: Cloud, object_id: str) -> Image:
        """Fetch one image."""
        return cloud.image.get_image(object_id)

    def list_pages(self, cloud: Cloud, since: datetime) -> Iterator[RecordPage[Image]]:
        """List all images that the project may use."""
        return cloud.image.image_pages()

    def build_observation(self, found: Image) -> Observation:
        """Return Glance's status, and the image's size."""
        status = MISSING if found.status in {"deleted", "pending_delete"} else found.status
        return Observation(status, "", {"size_bytes": found.size_bytes})
