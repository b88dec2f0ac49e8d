"""The executor `command`: a program's words and exit codes, its limits, and that it puts the version back."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from deploys.executors import (
    Code,
    Credentials,
    HealthCheck,
    Order,
    Release,
    Target,
    create_executor,
)
from tests.deploys.test_health import BAD, OK, service

ONE = Release("1.0", "https://ann:hunter2@store.example.org/1.tar.gz?sig=abcdefgh", "1" * 64)
TWO = Release("2.0", "https://store.example.org/2.tar.gz", "2" * 64)


def order(name="web-1", **more):
    target = Target(name, "127.0.0.1", "deploy", "shop", 8080, "/srv/shop")
    return Order(**{"target": target, "release": TWO, "settings": {"program": "it"}, **more})


def executor(script, **options):
    return create_executor(
        "command", {"programs": {"it": ["/bin/sh", "-c", script]}, "allow_local": True, **options}
    )


def deploy(script, *, lines=None, options=None, **more):
    lines = [] if lines is None else lines
    return executor(script, **(options or {})).deploy(order(**more), lines.append)


def test_a_program_gets_its_input_as_json_and_as_variables_without_the_key():
    lines = []
    script = 'echo "$PORTAL_ACTION $PORTAL_HOST $PORTAL_VERSION $PORTAL_SERVICE_PORT"; cat; echo; env'
    outcome = deploy(
        script,
        lines=lines,
        credentials=Credentials("the private key itself", "ssh-ed25519 AAAA"),
        previous=ONE,
    )

    assert (outcome.code, outcome.running) == (Code.OK, "2.0")
    assert lines[0] == "deploy web-1 2.0 8080"
    given = json.loads(lines[1])
    assert given["previous_version"] == "1.0"
    assert given["sha256"] == "2" * 64
    assert "private key" not in "\n".join(lines)
    # The portal's own variables hold its passwords.
    assert "DATABASE_URL" not in "\n".join(lines)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (10, Code.UNREACHABLE),
        (11, Code.UNKNOWN_HOST_KEY),
        (12, Code.KEY_REFUSED),
        (13, Code.DISK_FULL),
        (14, Code.ARTIFACT_GONE),
        (15, Code.ARTIFACT_WRONG_SUM),
        (16, Code.UNHEALTHY),
        (17, Code.FLAPPING),
        (18, Code.TIMED_OUT),
        (19, Code.ARTIFACT_UNAVAILABLE),
        (20, Code.ARTIFACT_BAD),
        (1, Code.FAILED),
        (127, Code.FAILED),
    ],
)
def test_each_exit_code_is_mapped_to_a_result(status, code):
    outcome = deploy(f"echo no room; exit {status}")

    assert (outcome.code, outcome.running) == (code, None)
    assert "no room" in outcome.lines


def test_a_program_reports_the_running_version():
    assert deploy("echo running=1.0; exit 14").running == "1.0"
    assert deploy("echo running=; exit 14").running == ""


def test_a_program_that_hangs_is_killed_with_its_children(tmp_path):
    outcome = deploy(f"sleep 60 & echo $! >{tmp_path}/pid; sleep 60", options={"seconds": 1})

    assert outcome.code is Code.TIMED_OUT
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists()


def test_the_previous_version_is_restored(tmp_path):
    script = f'echo "$PORTAL_VERSION" >>{tmp_path}/runs; [ "$PORTAL_VERSION" = 1.0 ] || exit 13'

    outcome = deploy(script, previous=ONE)
    assert (outcome.code, outcome.running) == (Code.DISK_FULL, "1.0")
    assert (tmp_path / "runs").read_text().split() == ["2.0", "1.0"]

    assert deploy(script, previous=ONE, auto_revert=False).running is None
    assert (tmp_path / "runs").read_text().split() == ["2.0", "1.0", "2.0"]


def test_an_unhealthy_version_is_reverted_and_flapping_is_distinguished():
    for answers, code in [([BAD], Code.UNHEALTHY), ([OK, BAD] * 500, Code.FLAPPING)]:
        with service(*answers) as (port, _asked):
            check = HealthCheck(port=port, in_a_row=3, seconds=0.3, interval=0.01)
            assert deploy("exit 0", health=check, previous=ONE).code is code

    with service(b"HTTP/1.1 200 OK\r\n\r\nversion 1.0") as (port, _asked):
        check = HealthCheck(port=port, in_a_row=1, seconds=0.3, interval=0.01, contains="version {version}")
        outcome = deploy("exit 0", health=check, previous=ONE)
    assert (outcome.code, outcome.running) == (Code.UNHEALTHY, "1.0")


def test_a_health_check_of_the_portals_own_machine_is_refused_unless_allowed():
    check = HealthCheck(port=8080)

    outcome = deploy("exit 0", health=check, options={"allow_local": False})

    assert (outcome.code, outcome.changed) == (Code.ADDRESS_REFUSED, False)
    # Nothing goes there when the program asks itself.
    settings = {"program": "it", "health_by": "program"}
    assert deploy("exit 0", health=check, options={"allow_local": False}, settings=settings).ok


def test_settings_are_checked_by_field():
    it = executor("exit 0")

    assert it.check_settings({"program": "it"}) == {}
    assert set(it.check_settings({"program": "rm", "health_by": "me", "x": 1})) == {
        "program",
        "health_by",
        "x",
    }
    assert deploy("exit 0", settings={"program": "/bin/sh"}).code is Code.FAILED


def test_secrets_are_masked_in_the_output():
    outcome = deploy('echo "$PORTAL_ARTIFACT_URL"; echo token=abc123', release=ONE)

    assert outcome.lines == ("https://***@store.example.org/1.tar.gz?***", "token=***")


def test_a_daemon_that_a_program_starts_stays(tmp_path):
    assert deploy(f"sleep 60 & echo $! >{tmp_path}/pid").ok

    pid = int((tmp_path / "pid").read_text())
    os.kill(pid, 0)
    os.kill(pid, signal.SIGKILL)


def test_a_cancelled_program_is_killed_with_its_children():
    begun = time.monotonic()
    stop = threading.Event()

    outcome = executor("echo go; sleep 60").deploy(
        order(previous=ONE), lambda _line: stop.set(), should_continue=lambda: not stop.is_set()
    )

    assert outcome.code is Code.CANCELLED
    assert time.monotonic() - begun < 20
