"""Tables whose columns can be hidden. The choice is kept with the user, so it is the same in each of their browsers.

A room declares its table beside the page that shows it. The first column names the row and is always shown.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# The style sheet has a rule for each position up to this one (`hide-2` in components.css).
MAX_COLUMNS = 12
# The column by which staff tell the rows of several tenants apart. It is left out where all rows are of one tenant.
TENANT_COLUMN = "tenant"


@dataclass(frozen=True, slots=True)
class Table:
    """A table, and the columns after the first one that can be hidden, as names and labels in the order of the table."""

    name: str
    columns: Sequence[tuple[str, Any]]

    def list_hidden(self, choice: object) -> list[str]:
        """Return the columns that a user has hidden. `choice` is what the user model has; what is not known is ignored."""
        hidden = choice.get(self.name) if isinstance(choice, Mapping) else None
        if not isinstance(hidden, list):
            return []
        return [name for name, _label in self.columns if name in hidden]

    def find_unknown(self, names: Collection[str]) -> str | None:
        """Return the first of the names that is no column of the table; None if all are known."""
        known = {name for name, _label in self.columns}
        return next((name for name in names if name not in known), None)


_tables: dict[str, Table] = {}


def declare_table(name: str, columns: Sequence[tuple[str, Any]]) -> Table:
    """Declare a table with the columns that can be hidden; return it. Raises ValueError for more than the styles know."""
    if len(columns) >= MAX_COLUMNS:
        raise ValueError(f"The table {name!r} has more than {MAX_COLUMNS - 1} columns that can be hidden.")
    _tables[name] = Table(name, columns)
    return _tables[name]


def list_table_names() -> list[str]:
    """Return the names of all tables that were declared."""
    return sorted(_tables)


def find_table(name: str) -> Table | None:
    """Return the table that was declared under a name, or None."""
    return _tables.get(name)
