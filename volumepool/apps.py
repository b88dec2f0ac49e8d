from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class VolumePoolConfig(AppConfig):
    """Volumes, and spares of them kept ready."""

    name = "volumepool"
    verbose_name = _("Volumes")

    def ready(self) -> None:
        """Register the commands and the watcher of volumes."""
        from tasks.polling import register_watcher

        from . import commands  # noqa: F401 - importing registers.
        from .models import VOLUME_WATCHER
        from .sync.watching import VolumeWatcher

        register_watcher(VOLUME_WATCHER, VolumeWatcher())
