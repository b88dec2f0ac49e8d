from django.apps import AppConfig
from django.conf import settings
from django.utils.translation import gettext_lazy as _


class TasksConfig(AppConfig):
    """The task manager."""

    name = "tasks"
    verbose_name = _("Task manager")

    def ready(self) -> None:
        """Declare the schedules that the engine lives by."""
        from .schedules import Schedule, declare

        declare(
            Schedule(
                "tasks.sweep",
                "tasks.sweep",
                settings.JOB_SWEEP_SECONDS,
                "Rings again for every job that should have moved.",
            )
        )
        declare(Schedule("tasks.prune", "tasks.prune", 3600, "Deletes jobs that ended long ago."))
