"""The portal's tables, made once a test run, as a file of SQL: to load it takes a tenth of the time of a migration.

`python -m tests.tables FILE` makes them in the database of the settings, and then the file.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from devserver.postgres import PROGRAMS

# The environment's variable that tells where the file is, or will be in a moment.
FILE = "PORTAL_TEST_TABLES"


def wait_for_file(seconds: float = 120) -> Path | None:
    """The file, when it is there; None when nobody makes one. Raises `TimeoutError` with what was said instead."""
    if FILE not in os.environ:
        return None
    file = Path(os.environ[FILE])
    until = time.monotonic() + seconds
    while not file.exists():
        if time.monotonic() > until:
            log = file.with_suffix(".log").read_text()
            raise TimeoutError(f"The tables for the tests were not made within {seconds:.0f} s:\n{log}")
        time.sleep(0.05)
    return file


def make_tables() -> None:
    """Make the tables in the empty database of Django's settings."""
    from django.conf import settings
    from django.core.management import call_command

    file = wait_for_file()
    if file is None:
        call_command("migrate", verbosity=0)
        return
    where = settings.DATABASES["default"]
    program = [PROGRAMS / "psql", "--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--file", file]
    address = {
        "PGHOST": "HOST",
        "PGPORT": "PORT",
        "PGUSER": "USER",
        "PGPASSWORD": "PASSWORD",
        "PGDATABASE": "NAME",
    }
    environment = {**os.environ, **{name: str(where[key]) for name, key in address.items()}}
    subprocess.run(program, env=environment, check=True, stdout=subprocess.DEVNULL)


def main(file: Path) -> None:
    """Migrate, and write the file; it gets its name when it is whole, and when nobody is connected any more."""
    import django
    from django.core.management import call_command
    from django.db import connection

    django.setup()
    call_command("migrate", verbosity=0)
    connection.close()
    unfinished = file.with_suffix(".unfinished")
    program = [PROGRAMS / "pg_dump", "--no-owner", "--file", unfinished, os.environ["DATABASE_URL"]]
    subprocess.run(program, check=True)
    unfinished.rename(file)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
