"""Read servers and images for the engine's async tasks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime, timedelta

from cloudaccounts.sync.watchers import CloudWatcher
from openstack_client import Cloud, Image, RecordPage, Server
from tasks.polling import MISSING, Observation

from .server_columns import map_server_columns

# `changes-since` is asked by the cloud's own clock as its answers say it; five minutes cover what they do not say, such as a
# Nova whose hosts differ among themselves.
CLOCK_SKEW = timedelta(minutes=5)


class ServerWatcher(CloudWatcher[Server]):
    """A watcher of servers. Its scopes are those of `VirtualMachine.polling_scope`."""

    def fetch_object(self, cloud: Cloud, object_id: str) -> Server:
        """Get one server."""
        return cloud.compute.get_server(object_id)

    def list_objects(self, cloud: Cloud, since: datetime) -> Iterator[RecordPage[Server]]:
        """List what has changed since the first of the servers was watched."""
        return cloud.compute.server_pages(changes_since=since - CLOCK_SKEW)

    def build_observation(self, found: Server) -> Observation:
        """Return Nova's status, the fault, and the VM's columns."""
        status = MISSING if found.status == "DELETED" else found.status
        return Observation(status, found.fault or "", {"columns": asdict(map_server_columns(found))})


class ImageWatcher(CloudWatcher[Image]):
    """A watcher of images. Glance lists no changes, and there are few images, so all are listed."""

    def fetch_object(self, cloud: Cloud, object_id: str) -> Image:
        """Get one image."""
        return cloud.image.get_image(object_id)

    def list_objects(self, cloud: Cloud, since: datetime) -> Iterator[RecordPage[Image]]:
        """List all images that the project may use."""
        return cloud.image.image_pages()

    def build_observation(self, found: Image) -> Observation:
        """Return Glance's status, and the image's size."""
        status = MISSING if found.status in {"deleted", "pending_delete"} else found.status
        return Observation(status, "", {"size_bytes": found.size_bytes})
