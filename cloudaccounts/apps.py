from django.apps import AppConfig
from django.conf import settings
from django.utils.translation import gettext_lazy as _


class CloudAccountsConfig(AppConfig):
    """Where: cloud accounts."""

    name = "cloudaccounts"
    verbose_name = _("Cloud accounts")

    def ready(self) -> None:
        """Declare the schedule."""
        from tasks.schedules import Schedule, declare

        declare(
            Schedule(
                "cloudaccounts.sync_catalogue",
                "cloudaccounts.sync_catalogue",
                settings.CATALOGUE_SYNC_SECONDS,
                _("Lists the flavors, images, networks, zones and volume types of every cloud account."),
            )
        )
