"""A real PgBouncer in front of the tests' PostgreSQL, with the configuration that docs/pgbouncer.md shows."""

from __future__ import annotations

import os
import re
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from configparser import RawConfigParser
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import psycopg2
import pytest

from devserver import launch
from devserver.launch import Identity
from tests.servers import free_port
from tests.web_processes import REPOSITORY, get_test_database_url

PAGE = REPOSITORY / "docs" / "pgbouncer.md"
# Debian installs it where the path of an ordinary user does not lead.
PROGRAM = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")


@dataclass(frozen=True)
class Pooler:
    """A running PgBouncer: the addresses of the test's database through it and beside it."""

    url: str
    direct_url: str

    @property
    def environment(self) -> dict[str, str]:
        """The settings of a portal behind it."""
        return {
            "DATABASE_URL": self.url,
            "DATABASE_POOLER": "transaction",
            "DATABASE_DIRECT_URL": self.direct_url,
        }


def read_documented_configuration() -> RawConfigParser:
    """Return the pgbouncer.ini of the page."""
    configuration = RawConfigParser(delimiters=("=",))
    (text,) = re.findall(r"```ini\n(.*?)```", PAGE.read_text(), re.DOTALL)
    configuration.read_string(text)
    return configuration


@contextmanager
def start_pgbouncer(*, pool_size: int, lock_timeout: int | None = 5000) -> Iterator[Pooler]:
    """Run PgBouncer in transaction mode while the block runs; skip the test where it is not installed.

    It has the configuration of the page, but for addresses, paths, the size of the pool, and `lock_timeout` in milliseconds:
    with None, it sets none.
    """
    if PROGRAM is None:
        pytest.skip("PgBouncer is not installed. On Debian: apt-get install pgbouncer")
    direct_url = get_test_database_url()
    server = urlsplit(direct_url)
    name = server.path.removeprefix("/")
    configuration = read_documented_configuration()
    target = configuration["databases"].pop("portal")
    for documented, own in {
        "host=db.example.org": f"host={server.hostname}",
        "port=5432": f"port={server.port}",
        "dbname=portal": f"dbname={name}",
    }.items():
        assert documented in target
        target = target.replace(documented, own)
    assert "connect_query='SET lock_timeout = 5000'" in target
    if lock_timeout is None:
        target = target.partition(" connect_query")[0]
    else:
        target = target.replace("= 5000'", f"= {lock_timeout}'")
    configuration["databases"][name] = target
    with tempfile.TemporaryDirectory(prefix="portal-pgbouncer-") as name_of_folder:
        folder = Path(name_of_folder)
        port = free_port()
        configuration["pgbouncer"].update(
            {
                "listen_addr": "127.0.0.1",
                "listen_port": str(port),
                "unix_socket_dir": "",
                "auth_file": str(folder / "userlist.txt"),
                "default_pool_size": str(pool_size),
                "logfile": str(folder / "pgbouncer.log"),
                "pidfile": str(folder / "pgbouncer.pid"),
            }
        )
        with (folder / "pgbouncer.ini").open("w") as file:
            configuration.write(file)
        password = unquote(server.password or "")
        (folder / "userlist.txt").write_text(f'"{server.username}" "{password}"\n')
        identity = Identity.SELF
        if os.geteuid() == 0:  # PgBouncer refuses to run as root.
            identity = Identity.NOBODY
            for path in (folder, *folder.iterdir()):
                shutil.chown(path, "nobody")
        process = launch.start(
            [PROGRAM, folder / "pgbouncer.ini"],
            log=folder / "output.log",
            folder=folder,
            identity=identity,
            when_parent_dies=signal.SIGKILL,
        )
        url = server._replace(netloc=f"{server.netloc.rpartition(':')[0]}:{port}").geturl()
        try:
            deadline = time.monotonic() + 20
            while not _answers(url):
                if process.poll() is not None or time.monotonic() > deadline:
                    pytest.fail(
                        f"PgBouncer did not start:\n{launch.read_last_lines(folder / 'output.log', 40)}"
                    )
                time.sleep(0.02)
            yield Pooler(url, direct_url)
        finally:
            launch.end(process, stop_signal=signal.SIGTERM, seconds=5)


def _answers(url: str) -> bool:
    try:
        with closing(psycopg2.connect(url, connect_timeout=3)) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            return True
    except psycopg2.OperationalError:
        return False
