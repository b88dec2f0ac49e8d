from django.apps import AppConfig
from django.conf import settings
from django.utils.translation import gettext_lazy as _


class VmsConfig(AppConfig):
    """Virtual machines."""

    name = "vms"
    verbose_name = _("Virtual machines")

    def ready(self) -> None:
        """Register the commands, the watcher of servers and the schedules."""
        from tasks.polling import register_watcher
        from tasks.schedules import Schedule, declare

        from . import commands  # noqa: F401 - importing registers.
        from .models import SERVER_WATCHER
        from .sync.watching import ServerWatcher

        register_watcher(SERVER_WATCHER, ServerWatcher())
        declare(
            Schedule(
                "vms.sync_status",
                "vms.sync_status",
                settings.VM_STATUS_SYNC_SECONDS,
                _("Asks every cloud account for the status of its VMs."),
            )
        )
