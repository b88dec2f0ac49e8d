from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from volumepool.services.pools import seed_pools


class Command(BaseCommand):
    """Create the volume pools of VOLUME_POOLS that do not exist. Run it at every deployment; existing pools keep their edits."""

    help = __doc__ or ""

    def handle(self, *args: Any, **options: Any) -> None:
        """Create the missing pools, and print the outcome for each."""
        try:
            for type_code, outcome in seed_pools(settings.VOLUME_POOLS):
                self.stdout.write(f"{type_code}: {outcome}")
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from None
