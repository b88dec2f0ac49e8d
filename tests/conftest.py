"""Fixtures for every test: the simulated cloud, and real Celery workers. The servers are in `tests/servers.py`."""

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.db import connection
from django.db.backends.postgresql.creation import DatabaseCreation
from django.test import TransactionTestCase
from django.utils import timezone, translation

import simulator as simulated_cloud
from cloudaccounts.registry import write_resource_types
from devserver import launch
from portal.celery import app
from tests import tables
from tests.servers import TABLES
from tests.stories import ALL

# What migrations write and tests leave alone.
WRITTEN_BY_MIGRATIONS = {"django_content_type", "auth_permission"}
REPOSITORY = Path(__file__).resolve().parent.parent
_numbers = itertools.count(1)


def leave_stories_out(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect what is marked `story`, unless all stories are wanted (tests/stories.py)."""
    left_out = [item for item in items if not ALL and item.get_closest_marker("story")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give each process its share of the long tests first, or one of them would go on alone at the end.

    Long is what has a time limit of its own. With `--dist worksteal`, each process begins with an equal part of the list.
    """
    leave_stories_out(config, items)
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    long = [item for item in items if item.get_closest_marker("timeout")]
    others = iter([item for item in items if not item.get_closest_marker("timeout")])
    part = len(items) // processes
    ordered: list[pytest.Item] = []
    for number in range(processes):
        mine = long[number::processes]
        ordered += [*mine, *itertools.islice(others, max(0, part - len(mine)))]
    items[:] = [*ordered, *others]


def pytest_configure() -> None:
    """Have static files looked for when one is asked for, not all of them listed anew for the client of each test."""
    settings.WHITENOISE_AUTOREFRESH = True


@pytest.fixture(scope="session")
def simulator() -> Iterator[simulated_cloud.SimulatorServer]:
    """A simulated cloud in this process, for all tests of it: use resources of your own, or reset it first."""
    with simulated_cloud.start(port=0) as server:
        yield server


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None) -> None:
    """Have this process's database copied from the one with the tables, and not migrated anew."""
    if tables.wait_for_file() is not None:
        settings.DATABASES["default"]["TEST"] |= {"TEMPLATE": TABLES, "MIGRATE": False}


def empty_tables(self: TransactionTestCase) -> None:
    """What Django does after a test that commits, at a twentieth of the cost: there are hundreds of them.

    Django truncates fifty tables, which makes as many new files, and then writes every permission anew. Deleting is
    quick when there is little to delete. All in one transaction, because foreign keys are looked at when it ends.
    """
    names = set(connection.introspection.django_table_names(include_views=False)) - WRITTEN_BY_MIGRATIONS
    with connection.cursor() as cursor:
        cursor.execute("; ".join(f'DELETE FROM "{table}"' for table in sorted(names)))
    write_resource_types()


TransactionTestCase._fixture_teardown = empty_tables  # type: ignore[method-assign]


def drop_test_database(self: DatabaseCreation, test_database_name: str, verbosity: int) -> None:
    """Drop this process's database at the end, also when the thread of a live server still holds a connection to it.

    The server is thrown away a moment later. Without FORCE the last test of a process would be told as failed.
    """
    with self._nodb_cursor() as cursor:
        cursor.execute(f"DROP DATABASE {self.connection.ops.quote_name(test_database_name)} WITH (FORCE)")


DatabaseCreation._destroy_test_db = drop_test_database  # type: ignore[method-assign]


@pytest.fixture(autouse=True)
def no_language_of_another_test() -> None:
    """Begin each test in the language and the time zone of the settings: a request leaves those of its user behind."""
    translation.deactivate()
    timezone.deactivate()


def flush_broker() -> None:
    """Forget every message and every counter: the broker of this test process is nobody else's."""
    with app.connection_for_write() as connection:
        connection.default_channel.client.flushdb()


@pytest.fixture
def celery_worker(
    transactional_db: None, tmp_path: Path
) -> Iterator[Callable[..., "subprocess.Popen[bytes]"]]:
    """Start real Celery workers against this test's database and broker: `celery_worker(queues="jobs")`.

    A call returns when the worker answers. The broker is empty before the test and after it: what tests without a
    worker have rung for, nobody has taken.
    What it returns has the worker's `pid`, to be killed if the test wants that.
    Everything the test writes is committed (`transactional_db`), or the worker would not see it.
    """
    started: list[subprocess.Popen[bytes]] = []

    def start(
        *,
        queues: str = "jobs,polling",
        concurrency: int = 1,
        pool: str = "prefork",
        beside: dict[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start one; `beside` are more environment variables for it."""
        name = f"test{os.getpid()}-{next(_numbers)}@localhost"
        log = tmp_path / f"{name}.log"
        address = urlsplit(os.environ["DATABASE_URL"])
        # pytest-django has made a database with another name than the address has.
        address = address._replace(path=f"/{settings.DATABASES['default']['NAME']}")
        program = [sys.executable, "-m", "celery", "-A", "portal", "worker", "-n", name, "-Q", queues]
        program += ["-c", str(concurrency), "-P", pool, "--without-gossip", "--without-mingle"]
        process = launch.start(
            program,
            log=log,
            folder=REPOSITORY,
            environment={**os.environ, "DATABASE_URL": address.geturl(), **(beside or {})},
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
        # Cold: what it still has in hand belongs to a database that is being emptied.
        launch.end(process, stop_signal=signal.SIGQUIT, seconds=10)
    flush_broker()
