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
# From microversion 3.42 on, a volume in use can be extended too.
_EXTENSIBLE = frozenset({"available", "in-use"})
# Every cloud since Queens (2018) has it, and the contract suite runs with it.
BLOCK_STORAGE_MICROVERSION = "3.50"


class BlockStorage(VolumeAttachments):
    """Cinder's calls. Each returns when Cinder has accepted the request."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def volume_pages(
        self, *, page_size: int = 1000, metadata: Mapping[str, str] | None = None
    ) -> Iterator[RecordPage[Volume]]:
        """List the project's volumes, newest first, page by page; with `metadata`, only those that have all of it."""
        for page in self._raw_pages("volumes", page_size, metadata):
            yield read_records(page, Volume.from_json)

    def find_volumes_by_metadata(self, metadata: Mapping[str, str]) -> list[Volume]:
        """List the volumes that have all of this metadata: an earlier attempt to create one may have left them.

        Raises `UnreadableRecordError` when one of them cannot be read, because it must not count as absent.
        """
        if not metadata:
            raise InvalidCloudRequestError("Without metadata, every volume would be found.")
        pages = self._raw_pages("volumes", 1000, metadata)
        return [Volume.from_json(raw) for page in pages for raw in page if _has_metadata(raw, metadata)]

    def get_volume(self, volume_id: str) -> Volume:
        """Get one volume. Raises `CloudNotFoundError`."""
        path = f"/volumes/{validate_id(volume_id, 'volume')}"
        return _read_volume(self._call("GET", path, f"read volume {volume_id}"))

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
        """Request a volume: empty, from a snapshot, or from an image. Not safe to repeat: look for its metadata first.

        After `CloudUnavailableError` the volume may exist nevertheless. Raises `CloudQuotaExceededError`,
        `InvalidCloudRequestError`.
        """
        validate_size(size_gb)
        if snapshot_id is not None and image_id is not None:
            raise InvalidCloudRequestError(
                "A volume is created from a snapshot or from an image, not from both."
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
        return _read_volume(self._call("POST", "/volumes", f"create volume {name}", json={"volume": payload}))

    def rename_volume(self, volume_id: str, name: str) -> None:
        """Rename a volume, whatever its state. Raises `CloudNotFoundError`."""
        path = f"/volumes/{validate_id(volume_id, 'volume')}"
        payload = {"volume": {"name": validate_name(name, "volume")}}
        self._call("PUT", path, f"rename volume {volume_id}", json=payload)

    def add_metadata(self, volume_id: str, metadata: Mapping[str, str]) -> None:
        """Add metadata to a volume, whatever its state. Safe to repeat. Raises `CloudNotFoundError`."""
        path = f"/volumes/{validate_id(volume_id, 'volume')}/metadata"
        payload = {"metadata": validate_metadata(metadata)}
        self._call("POST", path, f"add metadata to volume {volume_id}", json=payload)

    def extend_volume(self, volume_id: str, size_gb: int) -> None:
        """Request an extension of a volume (`extending`, then its former status); in use too, where Cinder's driver supports it.

        When the driver fails, it ends in `error_extending` at its old size. Raises `CloudNotFoundError`, `CloudConflictError` when its state
        does not allow it, `CloudQuotaExceededError`, and `InvalidCloudRequestError` when it would not become larger.
        """
        path = f"/volumes/{validate_id(volume_id, 'volume')}/action"
        payload = {"os-extend": {"new_size": validate_size(size_gb)}}
        try:
            self._call("POST", path, f"extend volume {volume_id}", json=payload)
        except InvalidCloudRequestError as refused:
            # Cinder answers 400 both for an invalid size and for a state; the volume's present state tells them apart.
            volume = self.get_volume(volume_id)
            if volume.size_gb >= size_gb or volume.status in _EXTENSIBLE:
                raise
            raise state_conflict(refused) from None

    def delete_volume(self, volume_id: str) -> None:
        """Request the deletion of a volume. Raises `CloudNotFoundError`, and `CloudConflictError` when its state does not allow it."""
        # Cinder answers 400 for a state: in use, already being deleted, has snapshots.
        self._delete(f"/volumes/{validate_id(volume_id, 'volume')}", f"delete volume {volume_id}")

    def snapshot_pages(self, *, page_size: int = 1000) -> Iterator[RecordPage[Snapshot]]:
        """List the project's snapshots of volumes, newest first, page by page."""
        for page in self._raw_pages("snapshots", page_size, None):
            yield read_records(page, Snapshot.from_json)

    def find_snapshots_by_metadata(self, metadata: Mapping[str, str]) -> list[Snapshot]:
        """List the snapshots that have all of this metadata: an earlier attempt to create one may have left them.

        Raises `UnreadableRecordError` when one of them cannot be read, because it must not count as absent.
        """
        if not metadata:
            raise InvalidCloudRequestError("Without metadata, every snapshot would be found.")
        pages = self._raw_pages("snapshots", 1000, metadata)
        return [Snapshot.from_json(raw) for page in pages for raw in page if _has_metadata(raw, metadata)]

    def get_snapshot(self, snapshot_id: str) -> Snapshot:
        """Get one snapshot of a volume. Raises `CloudNotFoundError`."""
        path = f"/snapshots/{validate_id(snapshot_id, 'snapshot')}"
        return _read_snapshot(self._call("GET", path, f"read snapshot {snapshot_id}"))

    def create_snapshot(
        self,
        volume_id: str,
        *,
        name: str,
        metadata: Mapping[str, str] | None = None,
        force: bool = False,
    ) -> Snapshot:
        """Request a snapshot of a volume. Not safe to repeat: look for its metadata first.

        A volume in use needs `force`: its snapshot is crash-consistent. The volume's status does not change. After
        `CloudUnavailableError` the snapshot may exist nevertheless. Raises `CloudNotFoundError`, `CloudQuotaExceededError`, and
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
                "POST", "/snapshots", f"create a snapshot of volume {volume_id}", json={"snapshot": payload}
            )
        except InvalidCloudRequestError as refused:
            # Cinder answers 400 for an unknown volume, too; `get_volume` raises `CloudNotFoundError` for it.
            self.get_volume(volume_id)
            raise state_conflict(refused) from None
        return _read_snapshot(body)

    def delete_snapshot(self, snapshot_id: str) -> None:
        """Request the deletion of a snapshot. Raises `CloudNotFoundError`, and `CloudConflictError` when its state does not allow it."""
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
            params=_build_metadata_filter(metadata),
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


def _read_volume(body: Any) -> Volume:
    if not isinstance(body, dict):
        raise malformed_answer("it holds no volume")
    return Volume.from_json(body.get("volume"))


def _read_snapshot(body: Any) -> Snapshot:
    if not isinstance(body, dict):
        raise malformed_answer("it holds no snapshot")
    return Snapshot.from_json(body.get("snapshot"))


def _build_metadata_filter(metadata: Mapping[str, str] | None) -> dict[str, str]:
    # Cinder parses this parameter as the text of a dictionary.
    return {"metadata": json_text.dumps(validate_metadata(metadata))} if metadata else {}


def _has_metadata(raw: Any, metadata: Mapping[str, str]) -> bool:
    # A Cinder whose policy disables the filter ignores it silently, so the answer is filtered again.
    found = mapping(raw.get("metadata")) if isinstance(raw, dict) else {}
    return all(found.get(key) == value for key, value in metadata.items())
