"""Rows written without the ORM's compiler, which costs more than the database does for them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from django.db import connection
from django.db.models import Model
from django.db.models.expressions import DatabaseDefault


@cache
def _columns(model: type[Model]) -> tuple[str, list[Any], list[Any]]:
    """How an INSERT begins, the fields that it gives values to, and those that the database may set by default."""
    meta, quote = model._meta, connection.ops.quote_name  # noqa: SLF001 - documented API.
    fields = [field for field in meta.concrete_fields if not field.db_returning or field.has_db_default()]
    head = f"INSERT INTO {quote(meta.db_table)} ({', '.join(quote(str(field.column)) for field in fields)}) VALUES "  # noqa: S608
    return head, fields, [field for field in fields if field.has_db_default()]


def insert(*batches: Sequence[Model]) -> None:
    """Insert instances, each batch of one model, in one message to the database.

    What the database sets by default is read back into the instances of the last batch alone, and automatic keys
    into none: who needs them reads the rows.
    """
    batches = tuple(batch for batch in batches if batch)
    if not batches:
        return
    values: list[Any] = []
    statements = [_insert_of(batch, values) for batch in batches]
    defaults = _columns(type(batches[-1][0]))[2]
    names = ", ".join(connection.ops.quote_name(field.column) for field in defaults)
    with connection.cursor() as cursor:
        cursor.execute("; ".join(statements) + (f" RETURNING {names}" if names else ""), values)
        for instance, row in zip(batches[-1], cursor.fetchall() if names else [], strict=False):
            for field, value in zip(defaults, row, strict=True):
                setattr(instance, field.attname, value)
    for batch in batches:
        for instance in batch:
            instance._state.adding, instance._state.db = False, connection.alias  # noqa: SLF001


def _insert_of(batch: Sequence[Model], values: list[Any]) -> str:
    """The INSERT of a batch; its values are appended to `values`."""
    head, fields, _defaults = _columns(type(batch[0]))
    rows = []
    for instance in batch:
        marks = []
        for field in fields:
            value = field.pre_save(instance, add=True)
            if isinstance(value, DatabaseDefault):
                marks.append("DEFAULT")
            else:
                marks.append("%s")
                values.append(field.get_db_prep_save(value, connection))
        rows.append(f"({', '.join(marks)})")
    return head + ", ".join(rows)
