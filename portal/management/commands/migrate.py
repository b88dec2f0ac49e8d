import time
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.management.commands.migrate import Command as MigrateCommand
from django.db import OperationalError, connections

from api.database_errors import is_lock_timeout
from portal.direct_connection import use_direct_connection

# How often a migration is tried whose lock was not free, and the pause between two tries.
ATTEMPTS = 60
PAUSE_SECONDS = 1.0


class Command(MigrateCommand):
    """Django's command, over the direct connection, which never lets requests wait long behind it.

    A migration may need a session, and may last longer than PgBouncer allows.

    A statement that waits for the lock of a table makes every later request for that table wait, too. So it gives up after
    `MIGRATION_LOCK_SECONDS`, which lets them pass, and the migration is tried again. What is built CONCURRENTLY waits for
    transactions, and nobody waits for it; it has no limit. A migration that is not atomic has to be repeatable.
    """

    def handle(self, *args: Any, **options: Any) -> None:
        """Migrate, and repeat it while a lock is not free. Raises what Django's command raises."""
        with use_direct_connection():
            connection = connections[options["database"]]
            try:
                with connection.execute_wrapper(limit_lock_wait):
                    self.migrate_patiently(*args, **options)
            finally:
                with connection.cursor() as cursor:
                    cursor.execute("RESET lock_timeout")

    def migrate_patiently(self, *args: Any, **options: Any) -> None:
        """Migrate as often as a lock is not free, up to `ATTEMPTS` times: what was applied is not applied again."""
        for attempt in range(ATTEMPTS):
            try:
                super().handle(*args, **options)
            except OperationalError as error:
                if not is_lock_timeout(error) or attempt == ATTEMPTS - 1:
                    raise
                self.stderr.write(f"A lock was not free: {str(error).strip()}; trying again.")
                time.sleep(PAUSE_SECONDS)
            else:
                return


def limit_lock_wait(
    execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]
) -> Any:
    """Execute a statement with the limit of its waits for locks: a wrapper of statements."""
    seconds = 0.0 if "CONCURRENTLY" in str(sql).upper() else settings.MIGRATION_LOCK_SECONDS
    context["cursor"].cursor.execute(f"SET lock_timeout = '{seconds * 1000:.0f}ms'")
    return execute(sql, params, many, context)
