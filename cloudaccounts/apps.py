from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class CloudAccountsConfig(AppConfig):
    """Cloud accounts and their resources."""

    name = "cloudaccounts"
    verbose_name = _("Cloud accounts")

    def ready(self) -> None:
        """Register commands, providers and syncers, connect signals, and declare periodic tasks."""
        from events.tracking import TrackedTable, declare_tracked_tables
        from tasks.schedules import Schedule, declare_schedule

        from . import commands  # noqa: F401 - importing registers.
        from .registry import write_resource_types
        from .schedules import connect_receivers
        from .sync import alibaba, aws, huawei, openstack, tencent  # noqa: F401 - importing registers.

        connect_receivers()
        post_migrate.connect(write_resource_types, sender=self)
        for name, seconds, description in (
            (
                "cloudaccounts.sweep",
                30,
                _("Closes syncs whose worker died, and repairs the schedules of accounts."),
            ),
            (
                "cloudaccounts.remind",
                3600,
                _("Tells in time which prepaid resources of other clouds end."),
            ),
            (
                "cloudaccounts.prune",
                86400,
                _("Purges old sync logs, old changes, and resources that expired long ago."),
            ),
        ):
            declare_schedule(Schedule(name, name, seconds, description))
        declare_tracked_tables(
            TrackedTable(
                "cloudaccounts_cloudaccount",
                "cloud_account",
                hidden=("encrypted_secret",),
                ignored=(
                    "clock_offsets",
                    "facts",
                    "last_error",
                    "last_verified_at",
                    "resume_schedule",
                    "scheduled_minutes",
                    "sign_in_failed_at",
                ),
            ),
            TrackedTable("cloudaccounts_cataloguegrant", "catalogue_grant"),
        )
