from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from volumepool.services.pools import seed_pools


class Command(BaseCommand):
    """Write the volume pools that VOLUME_POOLS names. Run at every deploy; what an operator changed stays."""

    help = __doc__ or ""

    def handle(self, *args: Any, **options: Any) -> None:
        """Make what is missing, and say what became of each."""
        try:
            for type_code, outcome in seed_pools(settings.VOLUME_POOLS):
                self.stdout.write(f"{type_code}: {outcome}")
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from None
