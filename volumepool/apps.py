from django.apps import AppConfig
from django.conf import settings
from django.utils.translation import gettext_lazy as _


class VolumePoolConfig(AppConfig):
    """Volumes, and spares of them kept ready."""

    name = "volumepool"
    verbose_name = _("Volumes")

    def ready(self) -> None:
        """Register the commands and the watchers, and declare the schedules."""
        from tasks.polling import register_watcher
        from tasks.schedules import Schedule, declare_schedule
        from tenants.scoping import Role

        from . import commands  # noqa: F401 - importing registers.
        from .actions import VolumeAction, register_action
        from .models import SNAPSHOT_WATCHER, VOLUME_WATCHER
        from .services import extend_volume, take_snapshot
        from .sync.watchers import SnapshotWatcher, VolumeWatcher

        register_watcher(VOLUME_WATCHER, VolumeWatcher())
        register_watcher(SNAPSHOT_WATCHER, SnapshotWatcher())
        register_action("extend", VolumeAction(("size_gb",), Role.ADMIN, extend_volume))
        register_action("snapshot", VolumeAction(("name",), Role.OPERATOR, take_snapshot))
        for name, seconds, text in (
            (
                "volumepool.backfill_all",
                settings.POOL_BACKFILL_SECONDS,
                _("Has spare volumes made where a pool lacks some."),
            ),
            (
                "volumepool.reconcile_all",
                settings.POOL_RECONCILE_SECONDS,
                _("Compares spare volumes with what the clouds have of them."),
            ),
            (
                "volumepool.sync_status",
                settings.VOLUME_STATUS_SYNC_SECONDS,
                _("Asks every cloud account for the status of its volumes and their snapshots."),
            ),
            ("volumepool.prune", 86400, _("Forgets how full pools were long ago, and old claims.")),
        ):
            declare_schedule(Schedule(name, name, seconds, text))
