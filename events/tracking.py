"""Tables whose changes are events: a trigger of the database writes an event for each changed row.

A trigger misses nothing: it sees what REST, pages, the admin, a command line and a bulk update do, and costs no further
statement. An event that is no change of a row (a sign-in, an export) is recorded by `record_event` instead.

A room declares its tables in its `AppConfig.ready()`, and creates their triggers in a migration with `TrackTable`. Both name
the same values; a test compares them with the triggers of the database.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db import migrations

# Columns that change without anybody having changed anything.
ALWAYS_IGNORED = ("version", "created_at", "updated_at", "updated_by_id", "written_at")


@dataclass(frozen=True, slots=True)
class TrackedTable:
    """A table whose changes are events.

    `tenant` is the column that leads to the tenant: `tenant_id`, `id` (the table of tenants itself), `information_system_id`
    or `service_id`; "" for rows of the platform. `hidden` are columns whose values are never written into an event, only that
    they have changed; `ignored` are columns whose changes are no events. With `only`, just updates of these columns are
    events: for tables that tasks and syncs write all the time, which a trigger without them would slow down. `updates_of` are
    all columns that are not ignored, for a table whose ignored columns are written often: a statement that sets none of these
    does not call the trigger.
    """

    table: str
    object_type: str
    tenant: str = "tenant_id"
    hidden: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    updates_of: tuple[str, ...] = ()

    @property
    def arguments(self) -> list[str]:
        """Return the arguments of the trigger."""
        ignored = sorted({*ALWAYS_IGNORED, *self.ignored})
        return [
            self.object_type,
            self.tenant,
            ",".join(sorted(self.hidden)),
            ",".join(ignored),
            ",".join(sorted(self.only)),
        ]

    def create_trigger_sql(self) -> str:
        """Return the statement that creates the trigger."""
        arguments = ", ".join(f"'{argument}'" for argument in self.arguments)
        columns = f" OF {', '.join(self.updates_of)}" if self.updates_of else ""
        changes, condition = f"INSERT OR DELETE OR UPDATE{columns}", ""
        if self.only:
            changes = f"UPDATE OF {', '.join(self.only)}"
            differences = (f"OLD.{column} IS DISTINCT FROM NEW.{column}" for column in self.only)
            condition = f"WHEN ({' OR '.join(differences)}) "
        return (
            f"CREATE TRIGGER events_record_row AFTER {changes} ON {self.table} "
            f"FOR EACH ROW {condition}EXECUTE FUNCTION events_record_row({arguments})"
        )


_tables: dict[str, TrackedTable] = {}


def declare_tracked_tables(*tables: TrackedTable) -> None:
    """Declare tables whose changes are events. Called from a room's `AppConfig.ready()`."""
    _tables.update({one.table: one for one in tables})


def find_tracked_table(table: str) -> TrackedTable | None:
    """Return the declaration of a table, or None when its changes are no events."""
    return _tables.get(table)


def list_tracked_tables() -> list[TrackedTable]:
    """Return all declarations, by the name of the table."""
    return [_tables[name] for name in sorted(_tables)]


class TrackTable(migrations.RunSQL):
    """The operation of a migration that creates the trigger of a table. A trigger of the same name is replaced."""

    def __init__(self, table: str, object_type: str, **options: Any) -> None:
        self._options = {"table": table, "object_type": object_type, **options}
        tracked = TrackedTable(table, object_type, **options)
        drop = f"DROP TRIGGER IF EXISTS events_record_row ON {table}"
        super().__init__(f"{drop}; {tracked.create_trigger_sql()}", reverse_sql=drop)

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        """Return the operation as a migration writes it."""
        return self.__class__.__name__, [], self._options
