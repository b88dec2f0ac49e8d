"""The room's web pages, a file for each subject."""

from .volumes import remove_volume_page, volume_page

__all__ = ["remove_volume_page", "volume_page"]
