from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class PortalConfig(AppConfig):
    """The project itself: its management commands and messages."""

    name = "portal"

    def ready(self) -> None:
        """Declare the schedule of `api/tasks.py`: `api` is below the task manager and cannot declare it."""
        from django.db.backends.signals import connection_created

        from tasks.schedules import Schedule, declare_schedule

        from .direct_connection import refuse_pooler_without_lock_timeout

        connection_created.connect(refuse_pooler_without_lock_timeout)
        declare_schedule(
            Schedule(
                "portal.forget_old_keys",
                "portal.forget_old_keys",
                24 * 3600,
                _("Deletes old idempotency keys and expired sessions."),
            )
        )
