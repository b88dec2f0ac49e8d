"""Queries that are compiled once in a process.

Django takes longer to compile a query of many parts than PostgreSQL takes to answer it: the sums of a tenant's usage took 10
of the 63 milliseconds of a list page. Use it for such a query alone, and measure: everything else is easier to read, and to
change, as a queryset.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.db import connections, router
from django.db.models import Model, QuerySet

# Stands for the id while the query is compiled. No row has it: it is no random UUID.
ANY_ID = UUID(int=0)


class CompiledQuery:
    """A query of values that depends on the id of a row alone.

    `build` returns the queryset for an id, made with `values_list`; its values are returned as PostgreSQL sends them.
    Safe with several threads: two of them compile the same text at worst, and write the same result.
    """

    def __init__(self, build: Callable[[UUID], QuerySet[Any, tuple[Any, ...]]]) -> None:
        self._build = build
        self._compiled: tuple[type[Model], str, tuple[Any, ...]] | None = None

    def fetch(self, pk: UUID) -> list[tuple[Any, ...]]:
        """Return the rows for an id, from the database that a queryset would read."""
        if self._compiled is None:
            queryset = self._build(ANY_ID)
            sql, params = queryset.query.sql_with_params()
            if ANY_ID not in params:
                raise TypeError("The query compares nothing with the id for which it is built.")
            self._compiled = queryset.model, sql, params
        model, sql, params = self._compiled
        with connections[router.db_for_read(model)].cursor() as cursor:
            cursor.execute(sql, [pk if value == ANY_ID else value for value in params])
            rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows
