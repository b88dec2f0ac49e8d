from django.apps import AppConfig
from django.conf import settings
from django.utils.translation import gettext_lazy as _


class TasksConfig(AppConfig):
    """The task manager."""

    name = "tasks"
    verbose_name = _("Task manager")

    def ready(self) -> None:
        """Declare the schedules of the engine."""
        from .canary import EVERY_SECONDS  # The import also registers the canary's command and watcher.
        from .restore_guard import EVERY_SECONDS as RECORD_SECONDS
        from .schedules import Schedule, declare_schedule

        declare_schedule(
            Schedule(
                "tasks.sweep",
                "tasks.sweep",
                settings.JOB_SWEEP_SECONDS,
                _("Re-queues tasks that are overdue."),
            )
        )
        declare_schedule(
            Schedule(
                "tasks.canary",
                "tasks.canary",
                EVERY_SECONDS,
                _("Sends a test task through the whole system; its age shows whether all parts work."),
            )
        )
        declare_schedule(
            Schedule(
                "tasks.record_epoch",
                "tasks.record_epoch",
                RECORD_SECONDS,
                _("Records that the database has come this far, so that a restored one is recognized."),
            )
        )
        declare_schedule(Schedule("tasks.prune", "tasks.prune", 3600, _("Purges old tasks.")))
