from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class DeploysConfig(AppConfig):
    """Microservices, and deployments of them."""

    name = "deploys"
    verbose_name = _("Deployments")

    def ready(self) -> None:
        """Register the commands."""
        from . import commands  # noqa: F401 - importing registers.
