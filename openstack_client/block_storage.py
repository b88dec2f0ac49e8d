"""Volumes, snapshots, volume types and quotas: Cinder."""

from __future__ import annotations

import json as json_text
from collections.abc import Iterator, Mapping
from typing import Any

from .errors import InvalidCloudRequestError
from .paging import Page, RecordPage, join_pages, json_pages, read_records
from .records import Quota, Snapshot, Volume, VolumeType
from .records.json_values import mapping
from .records.quota import quotas_from_json
from .translation import malformed_answer, state_conflict
from .transport import Transport
from .validation import validate_id, validate_metadata, validate_name, validate_size
from .volume_attachments import VolumeAttachments

_SERVICE = "block-storage"
# From microversion 3.42 on also a volume in use.
_EXTENSIBLE = frozenset({"available", "in-use"})
# Old enough for every cloud since Queens (2018), and what the contract suite has seen.
BLOCK_STORAGE_MICROVERSION = "3.50"


class BlockStorage(VolumeAttachments):
    """Cinder's calls. Each returns when Cinder has accepted the request."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def volume_pages(
        self, *, page_size: int = 1000, metadata: Mapping[str, str] | None = None
    ) -> Iterator[RecordPage[Volume]]:
        """List the project's volumes, newest first, page by page; with `metadata`, those that have all of it."""
        for page in self._raw_pages("volumes", page_size, metadata):
            yield read_records(page, Volume.from_json)

    def find_volumes_by_metadata(self, metadata: Mapping[str, str]) -> list[Volume]:
        """List the volumes that carry all of this metadata: an earlier attempt to create one may have left them.

        Raises `UnreadableRecordError` when one of them cannot be read: it must not be taken for none.
        """
        if not metadata:
            raise InvalidCloudRequestError("Without metadata, every volume would be found.")
        pages = self._raw_pages("volumes", 1000, metadata)
        return [Volume.from_json(raw) for page in pages for raw in page if _carries(raw, metadata)]

    def get_volume(self, volume_id: str) -> Volume:
        """Get one volume. Raises `CloudNotFoundError`."""
        path = f"/volumes/{validate_id(volume_id, 'volume')}"
        return _volume(self._call("GET", path, f"read volume {volume_id}"))

    def create_volume(
        self,
        *,
        name: str,
        size_gb: int,
        snapshot_id: str | None = None,
        image_id: str | None = None,
        volume_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
        availability_zone: str | None = None,
    ) -> Volume:
        """Ask for a volume: empty, from a snapshot, or from an image. Look for its metadata first: not safe to repeat.

        When it raises `CloudUnavailableError`, the volume may exist all the same. Raises `CloudQuotaExceededError`, `InvalidCloudRequestError`.
        """
        validate_size(size_gb)
        if snapshot_id is not None and image_id is not None:
            raise InvalidCloudRequestError(
                "A volume is made from a snapshot or from an image, not from both."
            )
        payload: dict[str, Any] = {
            "name": validate_name(name, "volume"),
            "size": size_gb,
            "metadata": validate_metadata(metadata),
        }
        if snapshot_id is not None:
            payload["snapshot_id"] = validate_id(snapshot_id, "snapshot")
        if image_id is not None:
            payload["imageRef"] = validate_id(image_id, "image")
        if volume_type is not None:
            payload["volume_type"] = validate_name(volume_type, "volume type")
        if availability_zone is not None:
            payload["availability_zone"] = validate_name(availability_zone, "availability zone")
        return _volume(self._call("POST", "/volumes", f"create volume {name}", json={"volume": payload}))

    def rename_volume(self, volume_id: str, name: str) -> None:
        """Give a volume another name, whatever its state. Raises `CloudNotFoundError`."""
        path = f"/volumes/{validate_id(volume_id, 'volume')}"
        payload = {"volume": {"name": validate_name(name, "volume")}}
        self._call("PUT", path, f"rename volume {volume_id}", json=payload)

    def add_metadata(self, volume_id: str, metadata: Mapping[str, str]) -> None:
        """Put metadata on a volume, beside what it has, whatever its state. Safe to repeat. Raises `CloudNotFoundError`."""
        path = f"/volumes/{validate_id(volume_id, 'volume')}/metadata"
        payload = {"metadata": validate_metadata(metadata)}
        self._call("POST", path, f"mark volume {volume_id}", json=payload)

    def extend_volume(self, volume_id: str, size_gb: int) -> None:
        """Ask for a larger volume (`extending`, then what it was before); one in use too, where Cinder's driver can.

        It ends in `error_extending`, at its old size, when the driver fails. Raises `CloudNotFoundError`, `CloudConflictError` when its state
        does not allow it, `CloudQuotaExceededError`, and `InvalidCloudRequestError` when it would not become larger.
        """
        path = f"/volumes/{validate_id(volume_id, 'volume')}/action"
        payload = {"os-extend": {"new_size": validate_size(size_gb)}}
        try:
            self._call("POST", path, f"extend volume {volume_id}", json=payload)
        except InvalidCloudRequestError as refused:
            # Cinder says 400 for a wrong size and for a state alike, so what the volume is now tells them apart.
            volume = self.get_volume(volume_id)
            if volume.size_gb >= size_gb or volume.status in _EXTENSIBLE:
                raise
            raise state_conflict(refused) from None

    def delete_volume(self, volume_id: str) -> None:
        """Ask for the end of a volume. Raises `CloudNotFoundError`, and `CloudConflictError` when its state does not allow it."""
        # Cinder answers 400 for a state: in use, already going, has snapshots.
        self._delete(f"/volumes/{validate_id(volume_id, 'volume')}", f"delete volume {volume_id}")

    def snapshot_pages(
        self, *, page_size: int = 1000, metadata: Mapping[str, str] | None = None
    ) -> Iterator[RecordPage[Snapshot]]:
        """List the project's snapshots of volumes, newest first, page by page; with `metadata`, those that have all of it."""
        for page in self._raw_pages("snapshots", page_size, metadata):
            yield read_records(page, Snapshot.from_json)

    def find_snapshots_by_metadata(self, metadata: Mapping[str, str]) -> list[Snapshot]:
        """List the snapshots that carry all of this metadata: an earlier attempt to create one may have left them.

        Raises `UnreadableRecordError` when one of them cannot be read: it must not be taken for none.
        """
        if not metadata:
            raise InvalidCloudRequestError("Without metadata, every snapshot would be found.")
        pages = self._raw_pages("snapshots", 1000, metadata)
        return [Snapshot.from_json(raw) for page in pages for raw in page if _carries(raw, metadata)]

    def get_snapshot(self, snapshot_id: str) -> Snapshot:
        """Get one snapshot of a volume. Raises `CloudNotFoundError`."""
        path = f"/snapshots/{validate_id(snapshot_id, 'snapshot')}"
        return _snapshot(self._call("GET", path, f"read snapshot {snapshot_id}"))

    def create_snapshot(
        self,
        volume_id: str,
        *,
        name: str,
        metadata: Mapping[str, str] | None = None,
        force: bool = False,
    ) -> Snapshot:
        """Ask for a snapshot of a volume. Look for its metadata first: not safe to repeat.

        A volume in use needs `force`: its snapshot is as a disk is whose power went. The volume's own status stays as it
        is. When it raises `CloudUnavailableError`, the snapshot may exist all the same. Raises `CloudNotFoundError`, `CloudQuotaExceededError`, and
        `CloudConflictError` when the volume's state does not allow it.
        """
        payload: dict[str, Any] = {
            "volume_id": validate_id(volume_id, "volume"),
            "name": validate_name(name, "snapshot"),
            "metadata": validate_metadata(metadata),
        }
        if force:
            payload["force"] = True
        try:
            body = self._call(
                "POST", "/snapshots", f"make a snapshot of volume {volume_id}", json={"snapshot": payload}
            )
        except InvalidCloudRequestError as refused:
            # Here Cinder says 400 for an id that is none of its own, too.
            self.get_volume(volume_id)
            raise state_conflict(refused) from None
        return _snapshot(body)

    def delete_snapshot(self, snapshot_id: str) -> None:
        """Ask for the end of a snapshot. Raises `CloudNotFoundError`, and `CloudConflictError` when its state does not allow it."""
        self._delete(f"/snapshots/{validate_id(snapshot_id, 'snapshot')}", f"delete snapshot {snapshot_id}")

    def list_volume_types(self) -> RecordPage[VolumeType]:
        """List the volume types that this project may use."""
        pages = json_pages(
            self._transport,
            _SERVICE,
            "/types",
            "volume_types",
            doing="list volume types",
            page_size=1000,
            microversion=BLOCK_STORAGE_MICROVERSION,
        )
        return join_pages(read_records(page, VolumeType.from_json) for page in pages)

    def list_quotas(self) -> list[Quota]:
        """List the project's limits and usage, sorted by name, those of each volume type included."""
        path = f"/os-quota-sets/{validate_id(self._transport.project_id, 'project')}"
        body = self._call("GET", path, "list quotas", params={"usage": "true"})
        if not isinstance(body, dict):
            raise malformed_answer("it holds no quota")
        return quotas_from_json(_SERVICE, body.get("quota_set"))

    def _raw_pages(self, kind: str, page_size: int, metadata: Mapping[str, str] | None) -> Iterator[Page]:
        return json_pages(
            self._transport,
            _SERVICE,
            f"/{kind}/detail",
            kind,
            doing=f"list {kind}",
            page_size=page_size,
            params=_metadata_filter(metadata),
            microversion=BLOCK_STORAGE_MICROVERSION,
        )

    def _delete(self, path: str, doing: str) -> None:
        try:
            self._call("DELETE", path, doing)
        except InvalidCloudRequestError as refused:
            raise state_conflict(refused) from None

    def _call(
        self, method: str, path: str, doing: str, *, json: Any = None, params: Mapping[str, Any] | None = None
    ) -> Any:
        return self._transport.request(
            _SERVICE,
            method,
            path,
            doing=doing,
            json=json,
            params=params,
            microversion=BLOCK_STORAGE_MICROVERSION,
        )


def _volume(body: Any) -> Volume:
    if not isinstance(body, dict):
        raise malformed_answer("it holds no volume")
    return Volume.from_json(body.get("volume"))


def _snapshot(body: Any) -> Snapshot:
    if not isinstance(body, dict):
        raise malformed_answer("it holds no snapshot")
    return Snapshot.from_json(body.get("snapshot"))


def _metadata_filter(metadata: Mapping[str, str] | None) -> dict[str, str]:
    # Cinder reads this parameter as a dictionary's text.
    return {"metadata": json_text.dumps(validate_metadata(metadata))} if metadata else {}


def _carries(raw: Any, metadata: Mapping[str, str]) -> bool:
    # A Cinder whose policy switches the filter off ignores it silently, so the answer is filtered again.
    found = mapping(raw.get("metadata")) if isinstance(raw, dict) else {}
    return all(found.get(key) == value for key, value in metadata.items())
