"""The dev server, for real: its supervisor with PostgreSQL, Valkey and the simulator.

The portal's own processes are left out (`DRIVER` in machine.py), because starting them takes ten times as long and is the
business of the end-to-end test.
"""

import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import psycopg2
import pytest

from devserver import launch
from tests.installation.machine import REPOSITORY, Machine, assert_gone, stop
from tests.servers import free_ports
from tests.stories import select_evenly


@pytest.mark.story
@pytest.mark.parametrize("number", select_evenly([signal.SIGTERM, signal.SIGINT, signal.SIGHUP], 1))
def test_a_signal_ends_everything_and_the_next_start_keeps_the_data(used_machine, number):
    supervisor = used_machine.up()
    used_machine.sql("CREATE TABLE kept AS SELECT 42 AS answer")
    running = used_machine.everything()

    stop(supervisor, number)

    assert_gone(running, seconds=0.5)
    used_machine.up()
    assert used_machine.sql("SELECT answer FROM kept") == [(42,)]


@pytest.mark.story
def test_after_kill_9_of_everything_it_starts_and_keeps_the_data(used_machine):
    used_machine.up()
    used_machine.sql("CREATE TABLE kept AS SELECT 42 AS answer")

    for process in used_machine.everything():
        process.send(signal.SIGKILL)

    used_machine.up()
    assert used_machine.sql("SELECT answer FROM kept") == [(42,)]


@pytest.mark.story
def test_a_killed_supervisor_takes_everything_with_it(used_machine):
    supervisor = used_machine.up(TEST_PARTS="sleeper=exec sleep 1000")
    running = used_machine.everything()

    supervisor.kill()
    supervisor.wait()

    assert_gone(running)


@pytest.mark.story
def test_what_ignores_the_end_of_a_killed_supervisor_is_ended_by_down(used_machine):
    # Ready only once it has gone deaf: before that the supervisor's end would be its own.
    program = 'wait; trap "" TERM; touch "$PORTAL_DATA/deaf.ready"; while true; do sleep 0.1; done'
    supervisor = used_machine.up(TEST_PARTS=f"deaf={program}")
    deaf = launch.ProcessId.of(used_machine.pid("deaf"))
    supervisor.kill()
    supervisor.wait()
    assert deaf.alive

    said = used_machine.call("down").stdout

    assert "deaf" in said
    assert not deaf.alive


@pytest.mark.story
def test_a_lock_file_with_the_number_of_another_process_is_no_obstacle(used_machine):
    lock = used_machine.data / "postgres" / "data" / "postmaster.pid"
    lock.write_text(f"{os.getpid()}\n")

    used_machine.up()


def test_a_port_in_use_is_named_and_nothing_is_left_running(machine):
    with socket.socket() as occupied:
        occupied.bind(("127.0.0.1", machine.ports["VALKEY_PORT"]))
        occupied.listen()

        answer = machine.call("up")

    assert answer.returncode == 2
    assert f"Port {machine.ports['VALKEY_PORT']} is in use" in answer.stderr
    assert "make up VALKEY_PORT=" in answer.stderr
    assert not (machine.data / "postgres").exists()


def test_it_does_not_start_in_production(machine):
    answer = machine.call("up", PORTAL_ENV="production")

    assert answer.returncode == 2
    assert "PORTAL_ENV is 'production'" in answer.stderr
    assert not machine.data.exists()


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("PORTAL_PORT", "eighty", "PORTAL_PORT is 'eighty'"),
        ("SIMULATOR_PORT", "70000", "SIMULATOR_PORT is '70000'"),
        ("PORTAL_DATA", "/proc/nothing", "PORTAL_DATA"),
    ],
)
def test_a_wrong_setting_is_named(machine, setting, value, words):
    answer = machine.call("up", **{setting: value})

    assert answer.returncode == 2
    assert words in answer.stderr
    assert "Traceback" not in answer.stderr


def test_two_settings_with_one_port_are_refused(machine):
    answer = machine.call("up", VALKEY_PORT=str(machine.ports["POSTGRES_PORT"]))

    assert answer.returncode == 2
    assert "POSTGRES_PORT and VALKEY_PORT are both" in answer.stderr


@pytest.mark.story
def test_a_part_that_dies_at_the_start_stops_everything_and_shows_its_last_words(used_machine):
    answer = used_machine.call(
        "up", TEST_PARTS="broken=wait; echo there is no table; exit 7\nslow=wait; exec sleep 1000"
    )

    assert answer.returncode == 2
    assert "broken ended while starting" in answer.stderr
    assert "there is no table" in answer.stderr
    assert launch.processes_in_folder(used_machine.data / "postgres" / "data") == []
    assert not (used_machine.data / "run.json").exists()


@pytest.mark.story
@pytest.mark.parametrize("part", select_evenly(["postgres", "valkey", "sleeper"], 1))
def test_a_part_that_dies_later_is_started_again(used_machine, part):
    supervisor = used_machine.up(TEST_PARTS="sleeper=exec sleep 1000")
    used_machine.sql("CREATE TABLE kept AS SELECT 42 AS answer")
    before = used_machine.pid(part)

    os.kill(before, signal.SIGKILL)

    said = used_machine.read_until(supervisor, "was restarted.")
    assert f"{part} was killed by signal 9" in said
    assert used_machine.pid(part) != before
    deadline = time.monotonic() + 10
    while part == "postgres":
        with contextlib.suppress(psycopg2.OperationalError):
            assert used_machine.sql("SELECT answer FROM kept") == [(42,)]
            break
        assert time.monotonic() < deadline


@pytest.mark.story
def test_what_a_killed_part_leaves_is_ended_before_it_is_started_again(used_machine):
    """A killed gunicorn's workers go on listening: the next one would find its port taken."""
    supervisor = used_machine.up(TEST_PARTS="parent=sleep 1000 & exec sleep 1001")
    parent = used_machine.pid("parent")
    until = time.monotonic() + 10
    while len(launch.process_tree(parent)) < 2 and time.monotonic() < until:
        time.sleep(0.05)  # The shell has yet to start its child.
    _parent, child = launch.process_tree(parent)

    os.kill(parent, signal.SIGKILL)
    used_machine.read_until(supervisor, "was restarted.")

    assert not child.alive


def test_detached_it_runs_on_until_down(used_machine):
    answer = used_machine.call("up", "--detach")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert f"http://127.0.0.1:{used_machine.ports['PORTAL_PORT']}/" in answer.stdout
    running = used_machine.everything()
    listening = listening_ports()
    for name in ("SIMULATOR_PORT", "POSTGRES_PORT", "VALKEY_PORT"):
        assert listening[used_machine.ports[name]] == {"0100007F"}, "everything listens on this machine alone"
    status = used_machine.call("status").stdout
    for part in ("supervisor", "postgres", "valkey", "simulator"):
        assert str(used_machine.pid(part)) in status

    ports = used_machine.ports
    elsewhere = dict(zip(ports, map(str, free_ports(len(ports))), strict=True))
    status = used_machine.call("--no-simulator", "status", **elsewhere).stdout
    for port in used_machine.ports.values():
        assert str(port) in status
    for port in elsewhere.values():
        assert port not in status

    second = used_machine.call("up", **elsewhere)
    refused = used_machine.call("reset")
    down = used_machine.call("down")

    assert second.returncode == 0
    assert "already running" in second.stdout
    assert f"http://127.0.0.1:{used_machine.ports['PORTAL_PORT']}/" in second.stdout
    assert refused.returncode == 2
    assert "make down" in refused.stderr
    assert down.returncode == 0
    assert_gone(running, seconds=0.5)
    assert "Nothing is running" in used_machine.call("status").stdout
    assert "Nothing is running" in used_machine.call("down").stdout


@pytest.mark.story
def test_a_detached_start_that_fails_says_why(used_machine):
    answer = used_machine.call("up", "--detach", TEST_PARTS="broken=wait; echo there is no table; exit 7")

    assert answer.returncode == 2
    assert "there is no table" in answer.stderr


@pytest.mark.story
def test_reset_forgets_the_data_and_nothing_else(used_machine):
    mine = used_machine.data / "letters.txt"
    mine.write_text("mine")

    assert used_machine.call("reset").returncode == 0

    assert list(used_machine.data.iterdir()) == [mine]


def test_what_is_set_already_is_not_started(machine):
    machine.up(DATABASE_URL="postgresql://elsewhere", REDIS_URL="redis://elsewhere", OS_CLOUD="real")

    assert set(json.loads((machine.data / "run.json").read_text())) == {"supervisor"}


@pytest.mark.story
def test_without_the_simulator(used_machine):
    answer = used_machine.call("--no-simulator", "up", "--detach")

    assert answer.returncode == 0
    assert "simulator" not in json.loads((used_machine.data / "run.json").read_text())


def listening_ports():
    """Return the addresses on which each port of this machine is listened to, as the kernel writes them."""
    listening = {}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            address, state = line.split()[1], line.split()[3]
            if state == "0A":
                host, _, port = address.rpartition(":")
                listening.setdefault(int(port, 16), set()).add(host)

    return listening


def test_secrets_are_made_once_and_kept_private(used_machine):
    machine = used_machine
    secrets = machine.data / "secrets.env"
    first = secrets.read_text()
    assert "DEMO_PASSWORD=demo\n" in first
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o600
    assert stat.S_IMODE(machine.data.stat().st_mode) & 0o066 == 0
    assert stat.S_IMODE((machine.data / "logs").stat().st_mode) == 0o700

    answer = machine.call("up", "--detach", DEMO_PASSWORD="another")

    assert secrets.read_text() == first
    # The users were made with the first one and keep it.
    assert "with the password 'demo'" in answer.stdout


@pytest.mark.story
@pytest.mark.parametrize("number", select_evenly([signal.SIGKILL, signal.SIGINT, signal.SIGTERM], 1))
def test_a_test_run_that_is_interrupted_leaves_no_server(tmp_path, number):
    (tmp_path / "test_sleep.py").write_text(
        "import os, time\n"
        "def test_sleep():\n"
        "    print(os.environ['DATABASE_URL'], flush=True)\n"
        "    time.sleep(60)\n"
    )
    environment = {n: v for n, v in os.environ.items() if n not in {"DATABASE_URL", "REDIS_URL"}}
    environment = {n: v for n, v in environment.items() if not n.startswith("PYTEST_")}
    options = f"-s -p tests.servers -p no:django -p no:cacheprovider -c {os.devnull} --rootdir"
    run = subprocess.Popen(
        # A shell ignores SIGINT in what it runs in the background, and its children would inherit that.
        ["env", "--default-signal=INT", sys.executable, "-m", "pytest", *options.split(), tmp_path, tmp_path],
        env=environment,
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with run:
        said = Machine.read_until(run, "postgresql://")
        assert "postgresql://" in said
        process_tree = launch.process_tree(run.pid)

        run.send_signal(number)

        # Long, for a busy machine: how soon it ends is not what is asked here.
        assert_gone(process_tree, seconds=60)
