"""The same cloud, account and VMs as the tests of the room; and web processes."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import ExitStack

import pytest

from api.models import ApiToken
from devserver import launch
from tests.conftest import REPOSITORY
from tests.vms.conftest import account, cloud, member, scope, vms_of
from tests.web_processes import get_test_database_url, start_web_process

__all__ = ["account", "cloud", "member", "scope", "vms_of"]


@pytest.fixture
def web(transactional_db, tmp_path):
    """Serve the portal by a real gunicorn: `web(workers=2)`; it ends with the test."""
    with ExitStack() as running:
        yield lambda **options: running.enter_context(start_web_process(tmp_path, **options))


@pytest.fixture
def authorization(member):
    """The header of a program that acts for the operator."""
    _row, token = ApiToken.objects.create(user=member.user, name="test", expiry=None)
    return {"Authorization": f"Token {token}"}


@pytest.fixture
def celery_process(transactional_db, tmp_path):
    """Return a function that starts `celery -A portal <arguments>` and returns the process and its log.

    For portals with servers of their own, which `celery_worker` could not ping. The processes are killed at the end.
    """
    started = []

    def start(*arguments, environment):
        log = tmp_path / f"celery-{len(started)}-{arguments[0]}.log"
        process = launch.start(
            [sys.executable, "-m", "celery", "-A", "portal", *arguments],
            log=log,
            folder=REPOSITORY,
            environment={**os.environ, "DATABASE_URL": get_test_database_url(), **environment},
            when_parent_dies=signal.SIGKILL,
        )
        started.append(process)
        return process, log

    yield start
    for process in started:
        launch.kill(launch.process_tree(process.pid))
        process.wait()


@pytest.fixture
def start_beat(celery_process):
    """Return a function that starts a beat with additional variables, and returns it with its log."""

    def start(environment):
        return celery_process(
            "beat", "--pidfile=", "-l", "INFO", environment={"LOG_LEVEL": "INFO", **environment}
        )

    return start
