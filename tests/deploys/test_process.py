"""Nothing of a program outlives its end, its time, or the worker that asked for it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deploys.executors.process import ProcessCancelledError, ProcessTimedOutError, run_program

REPOSITORY = Path(__file__).resolve().parents[2]
ENVIRONMENT = {"PATH": os.environ["PATH"]}
# A child in a session of its own, as Ansible's workers and ssh's masters are, which ignores polite signals.
STUBBORN = (
    "setsid sh -c 'trap \"\" TERM HUP; echo $$ >{pid}; sleep 60' & while [ ! -s {pid} ]; do sleep 0.02; done"
)


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def run(script, on_line=lambda _line: None, **more):
    values = {"seconds": 20, "environment": ENVIRONMENT, **more}
    return run_program(["/bin/sh", "-c", script], on_line, **values)


def test_lines_arrive_while_the_program_runs(tmp_path):
    seen = []

    def read(line):
        seen.append(line)
        # The program goes on only when its first line has been read.
        (tmp_path / "go").touch()

    code = run(
        "echo one; while [ ! -e go ]; do sleep 0.02; done; echo two >&2; printf three; exit 7",
        read,
        folder=tmp_path,
    )

    assert (code, seen) == (7, ["one", "two", "three"])


def test_a_program_may_read_its_input_or_not():
    seen = []

    assert run("cat", seen.append, stdin="given\n") == 0
    assert run("exit 0", stdin="x" * 1_000_000) == 0
    assert seen == ["given"]


def test_a_missing_program_is_reported():
    seen = []

    assert run_program(["/nowhere/program"], seen.append, seconds=5, environment={}) == 127
    assert seen == ["Cannot run /nowhere/program: [Errno 2] No such file or directory."]


def test_a_program_ended_by_a_signal_has_the_shells_exit_code():
    assert run("kill -9 $$") == 137


def test_background_processes_are_killed_although_they_hold_the_output_open(tmp_path):
    run(STUBBORN.format(pid=tmp_path / "pid"))

    assert not alive(int((tmp_path / "pid").read_text()))


def test_a_daemon_stays_with_leave_daemons(tmp_path):
    begun = time.monotonic()
    run("sleep 60 & echo $! >pid", folder=tmp_path, leave_daemons=True)

    pid = int((tmp_path / "pid").read_text())
    assert alive(pid)
    assert time.monotonic() - begun < 10
    os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("leave_daemons", [False, True])
def test_all_processes_are_killed_at_the_time_limit(tmp_path, leave_daemons):
    kept = tmp_path / "private"
    kept.mkdir()
    script = STUBBORN.format(pid=tmp_path / "pid") + "; sleep 60"
    with pytest.raises(ProcessTimedOutError):
        run(script, seconds=1, remove=kept, leave_daemons=leave_daemons)

    assert not alive(int((tmp_path / "pid").read_text()))
    assert not kept.exists()


def test_all_processes_are_killed_when_should_continue_is_false(tmp_path):
    pid = tmp_path / "pid"
    with pytest.raises(ProcessCancelledError):
        run(STUBBORN.format(pid=pid) + "; sleep 60", should_continue=lambda: not pid.exists())

    assert not alive(int(pid.read_text()))


def test_an_exception_such_as_celerys_soft_time_limit_kills_the_program(tmp_path):
    def interrupted(_line):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(STUBBORN.format(pid=tmp_path / "pid") + "; echo; sleep 60", interrupted)

    assert not alive(int((tmp_path / "pid").read_text()))


def test_nothing_outlives_a_worker_that_is_killed(tmp_path):
    pid, kept = tmp_path / "pid", tmp_path / "private"
    kept.mkdir()
    script = STUBBORN.format(pid=pid) + "; sleep 60"
    worker = f"""
from pathlib import Path
from deploys.executors.process import run_program
run_program(["/bin/sh", "-c", {script!r}], print, seconds=60, environment={{}}, remove=Path({str(kept)!r}))
"""
    process = subprocess.Popen(
        [sys.executable, "-c", worker],
        cwd=REPOSITORY,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "portal.settings"},
    )
    wait_until(lambda: pid.exists() and pid.read_text().strip())
    process.kill()
    process.wait()

    wait_until(lambda: not alive(int(pid.read_text())))
    wait_until(lambda: not kept.exists())
