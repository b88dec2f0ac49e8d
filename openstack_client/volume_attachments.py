"""Cinder's attachments: a request that dies between Nova and Cinder leaves one behind."""

from __future__ import annotations

from typing import Any

from .errors import InvalidCloudRequestError
from .paging import json_pages
from .records.history import VolumeReservation
from .translation import state_conflict
from .transport import Transport
from .validation import validate_id

_SERVICE = "block-storage"
# Cinder has kept attachments as objects of their own since 3.27; the rest is `BLOCK_STORAGE_MICROVERSION`.
_MICROVERSION = "3.50"


class VolumeAttachments:
    """Cinder's calls about attachments. Nova makes and removes them; these are for those that it has forgotten."""

    _transport: Transport

    def list_reservations(self, volume_id: str) -> list[VolumeReservation]:
        """List Cinder's attachments of one volume, also those that are only reserved. An unknown volume has none."""
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
        # A Cinder whose policy switches the filter off shows everybody's.
        return [one for one in found if one.volume_id in {volume_id, None}]

    def delete_reservation(self, reservation_id: str) -> None:
        """Remove an attachment that no server uses, which makes its volume available again.

        Raises `CloudNotFoundError`, and `CloudConflictError` when a server uses it: Cinder then wants Nova to detach it (CVE-2023-2088).
        """
        path = f"/attachments/{validate_id(reservation_id, 'attachment')}"
        self._ask("DELETE", path, f"delete attachment {reservation_id}")

    def roll_detaching(self, volume_id: str) -> None:
        """Make a volume that is `detaching` `in-use` again: for when the server's side of it was lost.

        Raises `CloudNotFoundError`, and `CloudConflictError` when it is not being detached.
        """
        path = f"/volumes/{validate_id(volume_id, 'volume')}/action"
        self._ask(
            "POST", path, f"take back the detaching of volume {volume_id}", json={"os-roll_detaching": {}}
        )

    def _ask(self, method: str, path: str, doing: str, *, json: Any = None) -> None:
        try:
            self._transport.request(
                _SERVICE, method, path, doing=doing, json=json, microversion=_MICROVERSION
            )
        except InvalidCloudRequestError as refused:
            raise state_conflict(refused) from None
