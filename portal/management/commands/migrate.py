from typing import Any

from django.core.management.commands import migrate

from portal.direct_connection import use_direct_connection


class Command(migrate.Command):
    """Django's command, over the direct connection: a migration may need a session, and may last longer than PgBouncer allows."""

    def handle(self, *args: Any, **options: Any) -> None:
        """Migrate."""
        with use_direct_connection():
            super().handle(*args, **options)
