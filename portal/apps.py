from django.apps import AppConfig


class PortalConfig(AppConfig):
    """The project itself: its management commands and messages."""

    name = "portal"
