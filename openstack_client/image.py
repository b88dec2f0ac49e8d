"""Images: Glance."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .errors import InvalidCloudRequestError
from .paging import Page, RecordPage, join_pages, json_pages, read_records
from .records import Image
from .transport import Transport
from .validation import validate_id, validate_property

_SERVICE = "image"


class Images:
    """Glance's calls."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list_images(self) -> RecordPage[Image]:
        """List the images that this project may use: its own, public and shared ones. Hidden ones are left out."""
        return join_pages(self.image_pages())

    def image_pages(self, *, page_size: int = 500) -> Iterator[RecordPage[Image]]:
        """List the images of `list_images`, newest first, page by page.

        Raises `CloudUnavailableError` when the listing breaks off: the pages until then are incomplete.
        """
        for page in self._raw_pages({}, page_size):
            yield read_records(page, Image.from_json)

    def find_images_by_property(self, name: str, value: str) -> list[Image]:
        """List the images with this property, whatever their status: an earlier attempt to create one may have left them.

        Raises `UnreadableRecordError` when one of them cannot be read, because it must not count as absent.
        """
        if not value:
            raise InvalidCloudRequestError("Without a value, every image would be found.")
        key = validate_property(name)
        # A proxy, or a Glance that ignores the filter, returns all images, so the answer is filtered again.
        return [
            Image.from_json(raw)
            for page in self._raw_pages({key: value})
            for raw in page
            if isinstance(raw, dict) and raw.get(key) == value
        ]

    def get_image(self, image_id: str) -> Image:
        """Get one image. Raises `CloudNotFoundError`, also when it was deleted."""
        path = f"/images/{validate_id(image_id, 'image')}"
        return Image.from_json(self._transport.request(_SERVICE, "GET", path, doing=f"read image {image_id}"))

    def delete_image(self, image_id: str) -> None:
        """Delete an image; it is gone when this returns. Cinder's snapshots that it refers to stay.

        Raises `CloudNotFoundError`, `CloudForbiddenError` (protected, or another project's), and `CloudConflictError` when it is in use.
        """
        path = f"/images/{validate_id(image_id, 'image')}"
        self._transport.request(_SERVICE, "DELETE", path, doing=f"delete image {image_id}")

    def _raw_pages(self, params: dict[str, Any], page_size: int = 500) -> Iterator[Page]:
        return json_pages(
            self._transport,
            _SERVICE,
            "/images",
            "images",
            doing="list images",
            page_size=page_size,
            params=params,
        )
