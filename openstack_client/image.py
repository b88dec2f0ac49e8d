"""Images: Glance."""

from __future__ import annotations

from .paging import json_pages
from .records import Image
from .transport import Transport


class Images:
    """Glance's calls."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list_images(self) -> list[Image]:
        """The images that this project may use: its own, public and shared ones."""
        pages = json_pages(self._transport, "image", "/images", "images", doing="list images", page_size=500)
        return [Image.from_json(raw) for page in pages for raw in page]
