"""Cinder's attachments, which a request that dies between Nova and Cinder leaves behind."""

from __future__ import annotations

from typing import Any

from .errors import InvalidCloudRequestError
from .paging import json_pages
from .records.history import VolumeReservation
from .translation import state_conflict
from .transport import Transport
from .validation import validate_id

_SERVICE = "block-storage"
# Attachments need 3.27; this is `BLOCK_STORAGE_MICROVERSION`, which cannot be imported here.
_MICROVERSION = "3.50"


class VolumeAttachments:
    """Cinder's calls for attachments. Nova creates and deletes them; these calls repair what it left behind."""

    _transport: Transport

    def list_reservations(self, volume_id: str) -> list[VolumeReservation]:
        """List Cinder's attachments of one volume, reserved ones included. An unknown volume has none."""
        pages = json_pages(
            self._transport,
            _SERVICE,
            "/attachments/detail",
            "attachments",
            doing=f"list the attachments of volume {volume_id}",
            page_size=1000,
            params={"volume_id": validate_id(volume_id, "volume")},
            microversion=_MICROVERSION,
        )
        found = [VolumeReservation.from_json(raw) for page in pages for raw in page]
        # A Cinder whose policy disables the filter returns the attachments of all volumes.
        return [reservation for reservation in found if reservation.volume_id in {volume_id, None}]

    def delete_reservation(self, reservation_id: str) -> None:
        """Delete an attachment that no server uses, which makes its volume available again.

        Raises `CloudNotFoundError`, and `CloudConflictError` when a server uses it: Cinder then requires that Nova detaches it (CVE-2023-2088).
        """
        path = f"/attachments/{validate_id(reservation_id, 'attachment')}"
        self._request_change("DELETE", path, f"delete attachment {reservation_id}")

    def roll_detaching(self, volume_id: str) -> None:
        """Set a volume from `detaching` back to `in-use`, after Nova has lost the detachment.

        Raises `CloudNotFoundError`, and `CloudConflictError` when it is not being detached.
        """
        path = f"/volumes/{validate_id(volume_id, 'volume')}/action"
        self._request_change(
            "POST", path, f"roll back the detaching of volume {volume_id}", json={"os-roll_detaching": {}}
        )

    def _request_change(self, method: str, path: str, doing: str, *, json: Any = None) -> None:
        try:
            self._transport.request(
                _SERVICE, method, path, doing=doing, json=json, microversion=_MICROVERSION
            )
        except InvalidCloudRequestError as refused:
            raise state_conflict(refused) from None
