from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class CloudAccountsConfig(AppConfig):
    """Where: cloud accounts, and what is in them."""

    name = "cloudaccounts"
    verbose_name = _("Cloud accounts")

    def ready(self) -> None:
        """Register commands, providers and syncers, keep schedules in step, and declare the room's own."""
        from tasks.schedules import Schedule, declare_schedule

        from . import commands  # noqa: F401 - importing registers.
        from .registry import write_resource_types
        from .schedules import connect_receivers
        from .sync import openstack  # noqa: F401 - as above.

        connect_receivers()
        post_migrate.connect(write_resource_types, sender=self)
        for name, seconds, text in (
            (
                "cloudaccounts.sweep",
                30,
                _("Closes syncs whose worker died, and keeps the accounts' schedules in step."),
            ),
            (
                "cloudaccounts.prune",
                86400,
                _("Forgets old sync logs, old changes, and resources that expired long ago."),
            ),
        ):
            declare_schedule(Schedule(name, name, seconds, text))
