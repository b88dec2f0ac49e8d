"""Read many rows with only some of them in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from django.db import connections
from django.db.models import Model, QuerySet

Row = TypeVar("Row", bound=Model)


def iterate_rows(rows: QuerySet[Row], *, per_fetch: int) -> Iterator[Row]:
    """Yield all rows of a queryset in its order; `per_fetch` of them are in memory at a time.

    PostgreSQL keeps the result in a cursor. Behind PgBouncer there is no such cursor, and Django's `iterator()` would
    silently hold the whole result in memory; so the keys are read first, and then the rows by their keys. A row that is
    deleted in between is left out.
    """
    if not connections[rows.db].settings_dict["DISABLE_SERVER_SIDE_CURSORS"]:
        yield from rows.iterator(chunk_size=per_fetch)
        return
    keys = list(rows.values_list("pk", flat=True))
    unordered = rows.order_by()
    for start in range(0, len(keys), per_fetch):
        some = keys[start : start + per_fetch]
        found = unordered.in_bulk(some)
        yield from (found[key] for key in some if key in found)
