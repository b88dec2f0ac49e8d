from typing import Any

import structlog
from django.apps import AppConfig

log = structlog.get_logger(__name__)


class ApiConfig(AppConfig):
    """The base of the API."""

    name = "api"
    label = "portal_api"
    verbose_name = "API"

    def ready(self) -> None:
        """Log every login, whichever page or endpoint it came through."""
        from django.contrib.auth.signals import user_logged_in

        user_logged_in.connect(_log_login, dispatch_uid="api.log_login")


def _log_login(sender: Any, request: Any, user: Any, **kwargs: Any) -> None:
    from .client_address import client_address

    address = client_address(request) if request is not None else ""
    log.info("login", username=user.get_username(), address=address)
