"""Attaching volumes to servers by Nova, which calls Cinder."""

from __future__ import annotations

from .errors import InvalidCloudRequestError
from .nova_requests import NovaRequests, unwrap_list, unwrap_object
from .records import VolumeAttachment
from .records.json_values import text
from .translation import state_conflict
from .validation import validate_id


class ServerVolumes(NovaRequests):
    """Attaching and detaching. The volume's status shows when it is done: "in-use", or "available" again.

    Neither changes the server's `updated_at`, so a listing of servers with `changes_since` does not show them.
    """

    def attach_volume(self, server_id: str, volume_id: str) -> str | None:
        """Attach a volume to a server; return its device there ("/dev/vdb"), or None when Nova does not report one.

        Raises `CloudNotFoundError` for the server or the volume, and `CloudConflictError` when the state of either does not allow it (Nova
        answers 409 for a server, 400 for a volume that is not available).
        """
        payload = {"volumeAttachment": {"volumeId": validate_id(volume_id, "volume")}}
        path = f"/servers/{validate_id(server_id, 'server')}/os-volume_attachments"
        try:
            body = self._call("POST", path, f"attach volume {volume_id} to server {server_id}", json=payload)
        except InvalidCloudRequestError as refused:
            raise state_conflict(refused) from None
        return text(unwrap_object(body, "volumeAttachment").get("device"))

    def detach_volume(self, server_id: str, volume_id: str) -> None:
        """Detach a volume from a server.

        Raises `CloudNotFoundError` when it is not on that server, and `CloudConflictError` when the state of either does not allow it, or it
        is the volume that the server boots from (400 since Zed; older releases answer 403: `CloudForbiddenError`).
        """
        doing = f"detach volume {volume_id} from server {server_id}"
        path = f"/servers/{validate_id(server_id, 'server')}/os-volume_attachments/{validate_id(volume_id, 'volume')}"
        try:
            self._call("DELETE", path, doing)
        except InvalidCloudRequestError as refused:
            raise state_conflict(refused) from None

    def list_volume_attachments(self, server_id: str) -> list[VolumeAttachment]:
        """List the volumes on a server, its boot volume included. Raises `CloudNotFoundError`."""
        path = f"/servers/{validate_id(server_id, 'server')}/os-volume_attachments"
        body = self._call("GET", path, f"list the volumes of server {server_id}")
        return [VolumeAttachment.from_json(raw) for raw in unwrap_list(body, "volumeAttachments")]
