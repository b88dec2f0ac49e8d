from django.apps import AppConfig


class ApiConfig(AppConfig):
    """What every API shares."""

    name = "portal.api"
    label = "portal_api"
    verbose_name = "API"
