"""The database that a query goes to: the primary, except for the rows of lists while a block allows the replica."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import Model

REPLICA_ALIAS = "replica"
# The rows that lists show. Whatever decides about access is read from the primary, also within a list's block: users, tenants,
# memberships, permissions, sessions, tokens. So a model that is not named here cannot be read late by accident.
REPLICATED_ROOMS = frozenset({"cloudaccounts", "volumepool", "networks", "vms", "deploys", "tasks"})
REPLICATED_MODELS = frozenset({"tenants.informationsystem"})


@dataclass
class ReplicaUse:
    """The permission of a block to read from the replica, and a flag that it has done so."""

    is_allowed: bool = True
    has_read: bool = False


_use: ContextVar[ReplicaUse | None] = ContextVar("replica_use", default=None)


@contextmanager
def allow_replica() -> Iterator[ReplicaUse]:
    """Let queries of this thread read rows of lists from the replica while the block runs."""
    token = _use.set(use := ReplicaUse())
    try:
        yield use
    finally:
        _use.reset(token)


@contextmanager
def read_primary() -> Iterator[None]:
    """Read from the primary while the block runs, and as before after it. For a part of a page that decides about access.

    The block must send its queries itself, and not return a queryset.
    """
    token = _use.set(None)
    try:
        yield
    finally:
        _use.reset(token)


def require_primary() -> None:
    """Read from the primary for the rest of the block of `allow_replica`; without such a block, do nothing.

    For a query that joins what decides about access, such as memberships: a router knows the model of a query, and not the
    tables that it joins.
    """
    if (use := _use.get()) is not None:
        use.is_allowed = False


class ReplicaRouter:
    """Django's database router of a portal with a replica.

    Nothing is read from the replica within a transaction: it would not see the transaction's own writes. Locks are safe by
    themselves, because Django routes `select_for_update` as a write.
    """

    def db_for_read(self, model: type[Model], **_hints: Any) -> str:
        """Return the database to read rows of a model from.

        The answer never depends on where a related object was read, as it would if this returned None.
        """
        use = _use.get()
        if use is None or not use.is_allowed or connections[DEFAULT_DB_ALIAS].in_atomic_block:
            return DEFAULT_DB_ALIAS
        options = model._meta  # noqa: SLF001 - Django's documented API.
        if options.app_label not in REPLICATED_ROOMS and options.label_lower not in REPLICATED_MODELS:
            return DEFAULT_DB_ALIAS
        use.has_read = True
        return REPLICA_ALIAS

    def db_for_write(self, model: type[Model], **_hints: Any) -> str:
        """Return the primary, also for an object that was read from the replica."""
        return DEFAULT_DB_ALIAS

    def allow_relation(self, first: Model, second: Model, **_hints: Any) -> bool:
        """Allow relations between objects of both: they are the same database."""
        return True

    def allow_migrate(self, alias: str, app_label: str, **_hints: Any) -> bool | None:
        """Refuse migrations of the replica, which gets the tables from the primary."""
        return False if alias == REPLICA_ALIAS else None
