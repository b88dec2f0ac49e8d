"""Back up the database of a test, and restore it while the cloud goes on."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg2
from django.core.cache import cache
from django.core.management import call_command
from django.db import connection

from devserver.postgres import PROGRAMS
from tasks import restore_guard
from tests.web_processes import get_test_database_url


class DatabaseCopy:
    """A backup of the test's database: another database that was copied from it, as a file system's snapshot would be."""

    def __init__(self) -> None:
        self.name = connection.settings_dict["NAME"]
        self.backup = f"{self.name}_backup"

    def take(self) -> None:
        """Copy the database as it is now."""
        self._replace(self.backup, self.name)

    def restore(self) -> None:
        """Put the copy in the place of the database. Nothing in this process knows of it."""
        self._replace(self.name, self.backup)

    def drop(self) -> None:
        """Drop the copy."""
        with _open_server() as cursor:
            cursor.execute(f"DROP DATABASE IF EXISTS {self.backup} WITH (FORCE)")

    def _replace(self, new: str, old: str) -> None:
        connection.close()
        with _open_server() as cursor:
            cursor.execute(f"DROP DATABASE IF EXISTS {new} WITH (FORCE)")
            # A thread that a test before this one has left may still be connected, and what is connected to cannot be copied.
            cursor.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", [old]
            )
            cursor.execute(f"CREATE DATABASE {new} TEMPLATE {old}")
        restore_guard.forget_trust()


class Dump:
    """A backup of the test's database: a file of pg_dump, which pg_restore puts back into the same database."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "portal.dump"

    def take(self) -> None:
        """Dump the database as it is now."""
        _run("pg_dump", "--format=custom", f"--file={self.file}", get_test_database_url())

    def restore(self) -> None:
        """Restore the dump: every table is dropped and created again."""
        connection.close()
        _run(
            "pg_restore",
            "--clean",
            "--if-exists",
            "--exit-on-error",
            f"--dbname={get_test_database_url()}",
            str(self.file),
        )
        restore_guard.forget_trust()


def run_check(*options: str) -> tuple[int, str]:
    """Run `manage.py check_restore`, and return its exit code and what it has printed."""
    printed = StringIO()
    try:
        call_command("check_restore", *options, stdout=printed, stderr=printed)
    except SystemExit as ended:
        return int(ended.code or 0), printed.getvalue()
    return 0, printed.getvalue()


def list_findings(*options: str) -> dict[str, list[dict[str, Any]]]:
    """Run `manage.py check_restore --json`, and return its findings by kind."""
    printed = StringIO()
    with contextlib.suppress(SystemExit):
        call_command("check_restore", "--json", *options, stdout=printed, stderr=StringIO())
    found: dict[str, list[dict[str, Any]]] = {}
    for finding in json.loads(printed.getvalue())["findings"]:
        found.setdefault(finding["kind"], []).append(finding)
    return found


def forget_epoch() -> None:
    """Remove the record by which a restored database is recognized, as a database of the release before has none."""
    restore_guard.DatabaseEpoch.objects.all().delete()
    restore_guard.forget_trust()
    cache.clear()


@contextlib.contextmanager
def _open_server() -> Iterator[Any]:
    address = urlsplit(os.environ["DATABASE_URL"])._replace(path="/postgres").geturl()
    with contextlib.closing(psycopg2.connect(address)) as server:
        server.autocommit = True
        yield server.cursor()


def _run(program: str, *arguments: str) -> None:
    done = subprocess.run([PROGRAMS / program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
