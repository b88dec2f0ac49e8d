from django.apps import AppConfig
from django.conf import settings
from django.utils.translation import gettext_lazy as _


class VolumePoolConfig(AppConfig):
    """Volumes of tenants, and pools of spare volumes."""

    name = "volumepool"
    verbose_name = _("Volumes")

    def ready(self) -> None:
        """Register the commands and the watchers, and declare the schedules."""
        from cloudaccounts.cloud_rows import register_cloud_rows
        from events.tracking import TrackedTable, declare_tracked_tables
        from tasks.polling import register_watcher
        from tasks.schedules import Schedule, declare_schedule
        from tenants.scoping import Role

        from . import commands  # noqa: F401 - importing registers the commands.
        from .actions import VolumeAction, register_action
        from .models import SNAPSHOT_WATCHER, VOLUME_WATCHER, Volume, VolumeSnapshot
        from .services import extend_volume, take_snapshot
        from .sync.watchers import SnapshotWatcher, VolumeWatcher

        register_cloud_rows(Volume, "volume_id", "information_system__tenant")
        register_cloud_rows(VolumeSnapshot, "snapshot_id", "information_system__tenant")
        register_watcher(VOLUME_WATCHER, VolumeWatcher())
        register_watcher(SNAPSHOT_WATCHER, SnapshotWatcher())
        register_action("extend", VolumeAction(("size_gb",), Role.ADMIN, extend_volume))
        register_action("snapshot", VolumeAction(("name",), Role.OPERATOR, take_snapshot))
        for name, seconds, text in (
            (
                "volumepool.backfill_all",
                settings.POOL_BACKFILL_SECONDS,
                _("Refills volume pools."),
            ),
            (
                "volumepool.reconcile_all",
                settings.POOL_RECONCILE_SECONDS,
                _("Reconciles spare volumes with the clouds."),
            ),
            (
                "volumepool.sync_status",
                settings.VOLUME_STATUS_SYNC_SECONDS,
                _("Syncs the status of volumes and snapshots from all cloud accounts."),
            ),
            ("volumepool.empty_bin", 3600, _("Deletes volumes whose time in the bin is over.")),
            ("volumepool.prune", 86400, _("Purges old pool history and old claims.")),
        ):
            declare_schedule(Schedule(name, name, seconds, text))
        declare_tracked_tables(
            TrackedTable(
                "volumepool_volume",
                "volume",
                tenant="information_system_id",
                only=("tags", "deletion_protection"),
            ),
            TrackedTable(
                "volumepool_volumepool",
                "volume_pool",
                tenant="",
                ignored=(
                    "creation_seconds",
                    "current_snapshot_id",
                    "last_error",
                    "paused_until",
                    "pauses",
                    "source_error",
                ),
            ),
        )
