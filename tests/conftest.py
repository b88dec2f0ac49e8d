"""Fixtures for every test: the simulated cloud, and real Celery workers. The servers are in `tests/servers.py`."""

import contextlib
import gc
import importlib
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.base import VALID_KEY_CHARS
from django.contrib.sessions.backends.db import SessionStore
from django.db import connection
from django.db.backends.postgresql.creation import DatabaseCreation
from django.http import HttpRequest
from django.test import Client, TransactionTestCase
from django.utils import timezone, translation
from django.utils.crypto import get_random_string

import simulator as simulated_cloud
from cloudaccounts.models import ResourceType
from cloudaccounts.registry import write_resource_types
from devserver import launch
from openstack_client import credentials
from portal.celery import app
from tenants.models import User
from tests import tables
from tests.servers import TABLES
from tests.stories import ALL
from tests.web_processes import get_test_database_url

# The tables that migrations fill and tests do not change.
TABLES_OF_MIGRATIONS = {"django_content_type", "auth_permission"}
REPOSITORY = Path(__file__).resolve().parent.parent
_numbers = itertools.count(1)
# The rows of the resource types, as they were written last.
_written_types: list[Any] = []


def pytest_sessionstart(session: pytest.Session) -> None:
    """Import the test modules before they are collected, in each process beginning with others.

    pytest rewrites the assertions of each module that it has not seen before, and keeps the result for later. In a fresh
    checkout, all processes would rewrite every module at the same moment, which takes each of them nine seconds of
    processor time; this way, each rewrites its share. An error of an import is reported when the module is collected.
    """
    name, count = (
        os.environ.get("PYTEST_XDIST_WORKER", ""),
        int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")),
    )
    if not name or session.config.args != session.config.getini("testpaths"):
        return
    number = int(name.removeprefix("gw"))
    modules = [
        ".".join(path.relative_to(REPOSITORY).with_suffix("").parts)
        for path in sorted((REPOSITORY / "tests").glob("**/test_*.py"))
    ]
    for share in range(count):
        for module in modules[(number + share) % count :: count]:
            with contextlib.suppress(Exception, pytest.skip.Exception):
                importlib.import_module(module)


def deselect_stories(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the tests that are marked `story`, unless all of them are to run (`tests/stories.py`)."""
    deselected = [item for item in items if not ALL and item.get_closest_marker("story")]
    if deselected:
        config.hook.pytest_deselected(items=deselected)
        items[:] = [item for item in items if item not in set(deselected)]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give each process its share of the long tests first, so that no process runs a long test alone at the end.

    A test that has a time limit of its own counts as long. With `--dist worksteal`, each process begins with an equal part
    of the list.
    """
    deselect_stories(config, items)
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    long = [item for item in items if item.get_closest_marker("timeout")]
    short = iter([item for item in items if not item.get_closest_marker("timeout")])
    part = len(items) // processes
    ordered: list[pytest.Item] = []
    for number in range(processes):
        share = long[number::processes]
        ordered += [*share, *itertools.islice(short, max(0, part - len(share)))]
    items[:] = [*ordered, *short]


def pytest_collection_finish() -> None:
    """Keep Python's garbage collector from going through everything that was imported and collected.

    With its usual limits, the collector takes a fourteenth of the processor time of tests. What a test leaves is collected
    as before, only later: after fifty thousand new objects instead of seven hundred (`tests/servers.py`).
    """
    gc.collect()
    gc.freeze()


def pytest_configure() -> None:
    """Set what is slow by design to be quick.

    Static files are looked for when one is asked for, and not all of them listed anew for the client of each test. A hash
    of an account's credentials takes one round instead of 20,000, because each test opens clouds of its own.
    """
    settings.WHITENOISE_AUTOREFRESH = True
    credentials._FINGERPRINT_ROUNDS = 1


@pytest.fixture(scope="session")
def simulator() -> Iterator[simulated_cloud.SimulatorServer]:
    """Run one simulated cloud for all tests of this process: use resources of your own, or reset it first."""
    with simulated_cloud.start(port=0) as server:
        yield server


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None) -> None:
    """Copy this process's database from the one that has the tables, instead of migrating it."""
    if tables.wait_for_file() is not None:
        settings.DATABASES["default"]["TEST"] |= {"TEMPLATE": TABLES, "MIGRATE": False}


def empty_tables(self: TransactionTestCase) -> None:
    """Empty the tables after a test that commits, at a twentieth of the cost of Django's own way.

    Django truncates fifty tables, which creates as many new files, and then writes every permission again. To delete is
    fast when there are few rows. No trigger runs, neither those of foreign keys nor the portal's own, because every table
    that they would look at or change is emptied by the same transaction. The rows of the resource types stay, unless the test
    has changed them.
    """
    names = set(connection.introspection.django_table_names(include_views=False)) - TABLES_OF_MIGRATIONS
    types = ResourceType.objects.order_by("pk").values_list()
    are_as_written = list(types) == _written_types
    if are_as_written:
        names.remove(ResourceType._meta.db_table)
    with connection.cursor() as cursor:
        deletions = [f'DELETE FROM "{table}"' for table in sorted(names)]
        cursor.execute(
            "; ".join(["BEGIN", "SET LOCAL session_replication_role = replica", *deletions, "COMMIT"])
        )
    if not are_as_written:
        write_resource_types()
        _written_types[:] = types.all()


TransactionTestCase._fixture_teardown = empty_tables  # type: ignore[method-assign]
# Django would connect anew after each test that commits, in case the test has rolled back what the connection was set to. A
# new connection costs 40 ms of processor time, because PostgreSQL then reads its catalogs again.
TransactionTestCase._should_reload_connections = lambda self: False  # type: ignore[method-assign]


def drop_test_database(self: DatabaseCreation, test_database_name: str, verbosity: int) -> None:
    """Drop this process's database at the end, even if the thread of a live server is still connected to it.

    Without FORCE, the last test of a process would be reported as failed.
    """
    with self._nodb_cursor() as cursor:
        cursor.execute(f"DROP DATABASE {self.connection.ops.quote_name(test_database_name)} WITH (FORCE)")


DatabaseCreation._destroy_test_db = drop_test_database  # type: ignore[method-assign]


def sign_in(self: Client, user: User, backend: str | None = None) -> None:
    """Sign a test's client in with one statement: insert a session that holds what a login writes into it.

    Django's own way takes fifteen statements: it saves the session three times, looks for free keys, and sends the signal of
    a login, which writes its time. Most tests need nothing of it; those of the login itself use its pages and endpoints.
    """
    if settings.SESSION_COOKIE_NAME in self.cookies:  # It was somebody else's; the login rotates its key.
        force_login(self, user, backend)
        return
    user.backend = backend or settings.AUTHENTICATION_BACKENDS[0]
    session = SessionStore(get_random_string(32, VALID_KEY_CHARS))
    content = {
        SESSION_KEY: str(user.pk),
        BACKEND_SESSION_KEY: user.backend,
        HASH_SESSION_KEY: user.get_session_auth_hash(),
    }
    session._session_cache = content  # Otherwise its expiry is looked for in the database.
    session.create_model_instance(content).save(force_insert=True)
    request = HttpRequest()
    request.session = session
    self._set_login_cookies(request)


force_login = Client.force_login
Client.force_login = sign_in  # type: ignore[method-assign]


@pytest.fixture(autouse=True)
def reset_language_and_time_zone() -> None:
    """Begin each test with the language and the time zone of the settings: a request leaves those of its user active."""
    translation.deactivate()
    timezone.deactivate()


def flush_broker() -> None:
    """Delete every message and every counter. No other process uses this broker database."""
    with app.connection_for_write() as connection:
        connection.default_channel.client.flushdb()


@pytest.fixture
def celery_worker(
    transactional_db: None, tmp_path: Path
) -> Iterator[Callable[..., "subprocess.Popen[bytes]"]]:
    """Start real Celery workers against this test's database and broker: `celery_worker(queues="jobs")`.

    A call returns the worker's process when the worker answers. The broker is flushed before the test and after it,
    because tests without a worker leave their messages there. Everything that the test writes is committed
    (`transactional_db`), so that the worker sees it.
    """
    started: list[subprocess.Popen[bytes]] = []

    def start(
        *,
        queues: str = "jobs,polling",
        concurrency: int = 1,
        pool: str = "prefork",
        environment: dict[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start one worker; `environment` holds additional variables."""
        name = f"test{os.getpid()}-{next(_numbers)}@localhost"
        log = tmp_path / f"{name}.log"
        program = [sys.executable, "-m", "celery", "-A", "portal", "worker", "-n", name, "-Q", queues]
        program += ["-c", str(concurrency), "-P", pool, "--without-gossip", "--without-mingle"]
        process = launch.start(
            program,
            log=log,
            folder=REPOSITORY,
            environment={**os.environ, "DATABASE_URL": get_test_database_url(), **(environment or {})},
            when_parent_dies=signal.SIGKILL,
        )
        started.append(process)
        deadline = time.monotonic() + 30
        while not app.control.ping(destination=[name], timeout=0.2):
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"The Celery worker did not start:\n{launch.read_last_lines(log, 40)}")
        return process

    flush_broker()
    yield start
    for process in started:
        # A cold shutdown: its tasks belong to a database whose tables are emptied next.
        launch.end(process, stop_signal=signal.SIGQUIT, seconds=10)
    flush_broker()
