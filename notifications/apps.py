from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class NotificationsConfig(AppConfig):
    """Messages about events: webhooks for programs, mail and chats for people."""

    name = "notifications"
    verbose_name = _("Notifications")

    def ready(self) -> None:
        """Declare the tables whose changes are events, and the schedules."""
        from events.tracking import TrackedTable, declare_tracked_tables
        from tasks.schedules import Schedule, declare_schedule

        from .models import DELIVERY_COLUMNS

        declare_tracked_tables(
            TrackedTable(
                "notifications_webhook",
                "webhook",
                hidden=("encrypted_url", "encrypted_secret", "encrypted_old_secret"),
                ignored=(*DELIVERY_COLUMNS, "secret_changed_at"),
            ),
            TrackedTable(
                "notifications_subscription",
                "subscription",
                hidden=("encrypted_address", "encrypted_secret"),
                ignored=DELIVERY_COLUMNS,
            ),
        )
        declare_schedule(
            Schedule(
                "notifications.deliver",
                "notifications.deliver",
                5,
                _("Delivers new events to webhooks and subscribers."),
            )
        )
        declare_schedule(
            Schedule(
                "notifications.remove_old", "notifications.remove_old", 3600, _("Purges old deliveries.")
            )
        )
