from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class PortalConfig(AppConfig):
    """The project itself: its management commands and messages."""

    name = "portal"

    def ready(self) -> None:
        """Declare the schedule of `api/tasks.py`: `api` is below the task manager and cannot declare it.

        It also connects the receiver that adds route and duration to the log lines of requests, and the check of connections
        through a pooler.
        """
        from django.db.backends.signals import connection_created
        from django_structlog.signals import bind_extra_request_finished_metadata

        from tasks.schedules import Schedule, declare_schedule

        from .direct_connection import refuse_pooler_without_lock_timeout
        from .request_metrics import describe_request

        bind_extra_request_finished_metadata.connect(describe_request)
        connection_created.connect(refuse_pooler_without_lock_timeout)
        declare_schedule(
            Schedule(
                "portal.forget_old_keys",
                "portal.forget_old_keys",
                24 * 3600,
                _("Deletes old idempotency keys and expired sessions."),
            )
        )
