"""The portal's tables as a file of SQL, made once a test run: to load it takes a tenth of the time of a migration.

`python -m tests.tables FILE` makes the tables in the database of the settings, and then dumps them to the file.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from devserver.postgres import PROGRAMS

# The environment variable with the path of the file, which may not be finished yet.
FILE = "PORTAL_TEST_TABLES"


def wait_for_file(seconds: float = 120) -> Path | None:
    """Wait for the file and return it; None if no file is made. Raises `TimeoutError` with the log of the program."""
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
    database = settings.DATABASES["default"]
    program = [PROGRAMS / "psql", "--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--file", file]
    variables = {
        "PGHOST": "HOST",
        "PGPORT": "PORT",
        "PGUSER": "USER",
        "PGPASSWORD": "PASSWORD",
        "PGDATABASE": "NAME",
    }
    environment = {**os.environ, **{name: str(database[key]) for name, key in variables.items()}}
    subprocess.run(program, env=environment, check=True, stdout=subprocess.DEVNULL)


def main(file: Path) -> None:
    """Migrate, and write the file. It gets its name when it is complete and no connection is left to the database."""
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
