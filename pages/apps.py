"""The room's entry in Django."""

from django.apps import AppConfig


class PagesConfig(AppConfig):
    """Components of web pages. The room has no tables."""

    name = "pages"
