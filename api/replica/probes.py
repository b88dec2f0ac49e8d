"""Ask a database server one question, with a deadline also for a server that has taken the connection and is silent."""

from __future__ import annotations

import contextlib
import select
import time
from typing import Any

import psycopg2
from django.db import connections
from psycopg2.extensions import POLL_OK, POLL_WRITE


class Probe:
    """A connection of its own to one of the databases of the settings, for one thread at a time.

    It is not Django's: it belongs to no thread, and it is asynchronous, because only so a client can give up waiting.
    """

    def __init__(self, alias: str, answer_seconds: float) -> None:
        self._alias = alias
        self._answer_seconds = answer_seconds
        self._connection: Any = None

    def fetch_row(self, statement: str) -> tuple[Any, ...]:
        """Return the row that a statement returns. Raises `psycopg2.Error`, also when there is no answer in time."""
        try:
            if self._connection is None:
                parameters = connections[self._alias].copy().get_connection_params()
                self._connection = psycopg2.connect(**parameters, async_=True)
                self._wait()
            with self._connection.cursor() as cursor:
                cursor.execute(statement)
                self._wait()
                row: tuple[Any, ...] = cursor.fetchone()
        except psycopg2.Error:
            self.close()
            raise
        return row

    def close(self) -> None:
        """Close the connection; the next question opens another one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(psycopg2.Error):
                connection.close()

    def _wait(self) -> None:
        deadline = time.monotonic() + self._answer_seconds
        while (state := self._connection.poll()) != POLL_OK:
            sockets = [self._connection.fileno()]
            left = max(0.0, deadline - time.monotonic())
            is_writing = state == POLL_WRITE
            if not any(select.select([] if is_writing else sockets, sockets if is_writing else [], [], left)):
                raise psycopg2.OperationalError(f"No answer within {self._answer_seconds:g} s.")
