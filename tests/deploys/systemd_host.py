"""A host with a real systemd as its PID 1, in namespaces of its own, on the network of this machine.

It needs root, and Debian's packages systemd, dbus, libpam-systemd, sudo and openssh-server; polkitd when it is there.
Nothing of it is left when `stop` returns: its processes die with its PID 1, and its mounts with them.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from devserver import launch
from tests.deploys.loopback import SSHD, Host
from tests.servers import free_port

SCRIPT = Path(__file__).with_suffix(".sh")
SYSTEMD = Path("/usr/lib/systemd/systemd")
# Users of the host: with the documented line for sudo, with all of it, with a rule of polkit's, with nothing; and the
# one as whom a service runs that is not whom the portal logs in as.
USERS = {"deploy": 61500, "admin": 61501, "ruled": 61502, "plain": 61503, "shop": 61504}
UNSHARE = ["unshare", "--pid", "--mount", "--uts", "--ipc", "--cgroup", "--fork", "--kill-child"]


def cgroups() -> Path | None:
    """Where the second version of cgroups is mounted."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _device, place, kind, options = line.split()[:4]
        if kind == "cgroup2" and "rw" in options.split(","):
            return Path(place)
    return None


def why_not() -> str:
    """Why there can be no such host here; "" when there can."""
    if os.getuid() != 0:
        return "A systemd of one's own needs root"
    programs = ("unshare", "dbus-daemon", "sudo")
    if SSHD is None or not SYSTEMD.exists() or not all(map(shutil.which, programs)):
        return "apt-get install systemd dbus libpam-systemd sudo openssh-server"
    if cgroups() is None:
        return "There is no writable cgroup2 file system"
    tried = subprocess.run(
        [*UNSHARE, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False, text=True
    )
    return f"There can be no namespaces: {tried.stderr}" if tried.returncode else ""


class SystemdHost(Host):
    """Its services are units; those that `set_up` makes run from the start."""

    user = "deploy"
    pam = "yes"

    def __init__(self, name: str, folder: Path, authorized: str) -> None:
        self.services: dict[str, Service] = {}
        super().__init__(name, folder, authorized)

    def set_up(self) -> str:
        """More shell, run in the root folder that is to be."""
        return ""

    def service(self, name: str, user: str) -> Service:
        """One more service, deployed by this user."""
        self.services[name] = Service(self, name, user)
        return self.services[name]

    def start(self, sshd: list[str]) -> subprocess.Popen[bytes]:
        lines = []
        for name, number in USERS.items():
            lines += [
                f"echo '{name}:x:{number}:{number}::/home/{name}:/bin/sh' >>etc/passwd",
                f"echo '{name}:x:{number}:' >>etc/group",
                f"echo '{name}:*::0:99999:7:::' >>etc/shadow",
                f"mkdir home/{name}; chown {number}:{number} home/{name}",
            ]
        lines += [
            "mkdir -p etc/sudoers.d etc/systemd",
            "printf '%s\\n' 'root ALL=(ALL:ALL) ALL' '@includedir /etc/sudoers.d' >etc/sudoers",
            "chmod 440 etc/sudoers",
            "printf '[Unit]\\nWants=dbus.socket systemd-logind.service ssh.service\\n' >units/default.target",
            f"printf '[Service]\\nKillMode=process\\nExecStart={shlex.join(sshd)}\\n' >units/ssh.service",
        ]
        (self.folder / "set_up").write_text("\n".join([*lines, self.set_up()]) + "\n")
        (self.folder / "root").mkdir()
        found = cgroups()
        assert found is not None
        self.cgroup = Path(tempfile.mkdtemp(prefix="portal-systemd-", dir=found))
        # Whoever runs a systemd of their own looks for their place in it.
        self.cgroup.chmod(0o755)
        join = f"echo $$ >{self.cgroup}/cgroup.procs && exec {shlex.join([*UNSHARE, 'sh'])} {SCRIPT} {self.folder}"
        return launch.start(
            ["sh", "-c", join],
            log=self.folder / "sshd.log",
            # unshare does not listen to the other signals; its child dies with it.
            when_parent_dies=signal.SIGKILL,
        )

    def inside(self, *program: str) -> subprocess.CompletedProcess[str]:
        """Run a program there, as root."""
        systemd = launch.process_tree(self._sshd.pid)[1].pid
        enter = ["nsenter", "--target", str(systemd), "--all"]
        return subprocess.run([*enter, *program], capture_output=True, text=True, check=False)

    def stop(self) -> None:
        launch.end(self._sshd, stop_signal=signal.SIGKILL, seconds=5)
        deadline = time.monotonic() + 10
        while self.cgroup.exists():
            for folder, _folders, _files in os.walk(self.cgroup, topdown=False):
                with contextlib.suppress(OSError):
                    Path(folder).rmdir()
            if time.monotonic() > deadline:
                raise AssertionError(f"Something goes on running in {self.cgroup}.")
            time.sleep(0.02)


class Service(Host):
    """One service of such a host: it has a folder, a port and a unit, and shares the rest."""

    def __init__(self, machine: Host, name: str, user: str) -> None:
        self.machine, self.name, self.user = machine, name, user
        self.folder = machine.folder / "services" / name
        self.service_folder.mkdir(parents=True)
        self.ssh_port, self.service_port, self.keys = machine.ssh_port, free_port(), machine.keys

    def wait_for(self, version: str) -> None:
        """Return when this version answers."""
        deadline = time.monotonic() + 20
        while self.answers() != version:
            assert time.monotonic() < deadline, f"{self.name} does not come up."
            time.sleep(0.05)
