"""Real hosts on loopback: an unprivileged sshd each, with its own host key, folder and service, and an artifact server.

Nothing here needs root, nothing listens elsewhere than on 127.0.0.1, and all that is started is ended by its id.
The services end by themselves too, should the tests be killed.
"""

from __future__ import annotations

import contextlib
import getpass
import gzip
import hashlib
import http.server
import io
import os
import shutil
import signal
import socket
import subprocess
import tarfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from deploys.executors import Credentials, HealthCheck, Order, Release, Target
from devserver import launch
from tests.servers import free_port

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
INSTALL_SSHD = "There is no sshd: apt-get install openssh-server"
SECONDS_OF_A_SERVICE = 150

# What the artifacts hold: a service that tells its version, is up at once, and behaves as `MANNER` says.
SERVICE = """\
import http.server, os, sys, threading
threading.Timer(SECONDS, os._exit, [0]).start()
folder = os.path.dirname(os.path.realpath(__file__))
version = open(folder + "/VERSION").read().strip()
asked = 0
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        global asked
        asked += 1
        bad = "MANNER" == "flapping" and asked % 2 == 0 or "MANNER" == "sick"
        body = ("version " + version + "\\n").encode()
        self.send_response(503 if bad else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
if "MANNER" == "broken":
    # At once: the timer's thread would outlive an ordinary end.
    os._exit(3)
http.server.HTTPServer.allow_reuse_address = True
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
RESTART = """\
#!/bin/sh
# Ends the service that runs, if one does, and starts the one that `current` leads to.
cd "$(dirname "$0")" || exit 1
if [ -f pid ]; then
    kill -9 "$(cat pid)" 2>/dev/null
    # Its port is free when it is a zombie, or gone.
    while grep -qs "^[0-9]* ([^)]*) [^Z]" "/proc/$(cat pid)/stat"; do sleep 0.02; done
fi
setsid /usr/bin/python3 -S -E service/current/service.py "$PORTAL_PORT" </dev/null >service.log 2>&1 &
echo $! >pid
echo "restarted with password=hunter2hunter2"
"""


@dataclass(frozen=True)
class KeyPair:
    private: str = field(repr=False)
    public: str

    @classmethod
    def new(cls) -> KeyPair:
        key = Ed25519PrivateKey.generate()
        private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
        return cls(private, key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode())


def archive(members: dict[str, bytes | tarfile.TarInfo]) -> bytes:
    """A .tar.gz in memory."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, content in members.items():
            if isinstance(content, tarfile.TarInfo):
                tar.addfile(content)
            else:
                member = tarfile.TarInfo(name)
                member.size, member.mode = len(content), 0o644
                tar.addfile(member, io.BytesIO(content))
    return gzip.compress(packed.getvalue(), 1)


def link(name: str, to: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    """A link, as a member of an archive."""
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, to
    return member


def service_archive(version: str, manner: str = "well", **more: bytes | tarfile.TarInfo) -> bytes:
    """An artifact with the small service. `manner` is well, broken, sick or flapping."""
    program = SERVICE.replace("SECONDS", str(SECONDS_OF_A_SERVICE)).replace("MANNER", manner)
    return archive({"service.py": program.encode(), "VERSION": version.encode(), **more})


class Artifacts:
    """An HTTP server on loopback with artifacts; what it does not have is 404."""

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}
        self.asked: list[str] = []
        artifacts = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.split("?")[0]
                artifacts.asked.append(self.path)
                content = artifacts.contents.get(path)
                self.send_response(404 if content is None else 200)
                self.send_header("Content-Length", str(len(content or b"")))
                self.end_headers()
                with contextlib.suppress(OSError):
                    self.wfile.write(content or b"")

            def log_message(self, *_: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def add(self, label: str, content: bytes, *, query: str = "") -> Release:
        """Have an artifact, and its release."""
        self.contents[f"/{label}.tar.gz"] = content
        return Release(label, f"{self.url}/{label}.tar.gz{query}", hashlib.sha256(content).hexdigest())

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Host:
    """A host: an sshd on a port of its own, a folder, and the service that a deployment starts in it."""

    # As whom one logs in.
    user = getpass.getuser()
    pam = "no"

    def __init__(self, name: str, folder: Path, authorized: str, *, wrapper: str = "") -> None:
        self.name = name
        self.folder = folder
        self.keys = KeyPair.new()
        self.ssh_port, self.service_port = free_port(), free_port()
        folder.mkdir()
        (folder / "restart.sh").write_text(RESTART)
        (folder / "host_key").write_text(self.keys.private)
        (folder / "host_key").chmod(0o600)
        (folder / "authorized_keys").write_text(authorized + "\n")
        lines = [
            f"Port {self.ssh_port}",
            "ListenAddress 127.0.0.1",
            f"HostKey {folder}/host_key",
            f"AuthorizedKeysFile {folder}/authorized_keys",
            "PidFile none",
            f"UsePAM {self.pam}",
            # The folders of tests are writable for others in places.
            "StrictModes no",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "PrintMotd no",
            # Not the home of whoever runs the tests: the shell of each session would read its start-up files.
            f"SetEnv HOME={folder}",
            # One of them may stand for many hosts.
            "MaxStartups 100",
        ]
        lines += [f"ForceCommand {wrapper}"] if wrapper else []
        (folder / "sshd_config").write_text("\n".join(lines) + "\n")
        assert SSHD is not None, INSTALL_SSHD
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        self._sshd = self.start([SSHD, "-D", "-e", "-f", str(folder / "sshd_config")])

    def start(self, sshd: list[str]) -> subprocess.Popen[bytes]:
        """Start its sshd."""
        return launch.start(sshd, log=self.folder / "sshd.log")

    def wait(self) -> Host:
        """Return when its sshd listens."""
        deadline = time.monotonic() + 10
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.ssh_port), 1):
                return self
            if self._sshd.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(
                    f"sshd did not start:\n{launch.read_last_lines(self.folder / 'sshd.log')}"
                )
            time.sleep(0.02)

    @property
    def service_folder(self) -> Path:
        return self.folder / "service"

    @property
    def restart_command(self) -> list[str]:
        return ["/bin/sh", str(self.folder / "restart.sh")]

    def target(self) -> Target:
        return Target(
            name=self.name,
            ip="127.0.0.1",
            user=self.user,
            service="shop",
            service_port=self.service_port,
            folder=str(self.service_folder),
            ssh_port=self.ssh_port,
        )

    def order(self, release: Release, key: KeyPair, **more: Any) -> Order:
        """What puts a release here; the health check is a quick one, and sees to it that the new version answers."""
        health = HealthCheck(
            port=self.service_port, in_a_row=2, seconds=4, interval=0.1, contains="version {version}\n"
        )
        values: dict[str, Any] = {
            "target": self.target(),
            "release": release,
            "credentials": Credentials(key.private, self.keys.public),
            "health": health,
            "settings": {"restart_command": self.restart_command},
        }
        return Order(**{**values, **more})

    def answers(self) -> str:
        """Which version answers on the service's port; "" when none does."""
        with (
            contextlib.suppress(OSError),
            urllib.request.urlopen(f"http://127.0.0.1:{self.service_port}/", timeout=2) as answer,
        ):
            return str(answer.read().decode().split()[1])
        return ""

    def run_by_hand(self, label: str, content: bytes, sha256: str) -> None:
        """Bring the host into the state of a finished deployment, without the cost of one."""
        self.unpack(label, content, sha256)
        self.restart()

    def unpack(self, label: str, content: bytes, sha256: str) -> None:
        """Have a release in its place, and `current` lead to it."""
        release = self.service_folder / "releases" / label
        release.mkdir(parents=True)
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as tar:
            # As an attribute, which Pythons before 3.11.4 ignore; they have no such argument.
            tar.extraction_filter = getattr(tarfile, "data_filter", None)
            tar.extractall(release)  # noqa: S202 - an archive that the test has made.
        (release / ".portal-sha256").write_text(sha256 + "\n")
        current = self.service_folder / "current"
        current.unlink(missing_ok=True)
        current.symlink_to(f"releases/{label}")

    def deploy_died(self, label: str, content: bytes, sha256: str) -> None:
        """Bring the host into the state of a deployment that died between switching and restarting."""
        before = (self.service_folder / "current").readlink().name
        self.unpack(label, content, sha256)
        (self.service_folder / "under_way").symlink_to(f"releases/{before}")

    def restart(self) -> None:
        """Restart the service, as a deployment does."""
        subprocess.run(
            ["/bin/sh", self.folder / "restart.sh"],
            env={"PORTAL_PORT": str(self.service_port), "PATH": os.environ["PATH"]},
            stdout=subprocess.DEVNULL,
            check=True,
        )

    def stop(self) -> None:
        """End sshd and the service."""
        launch.end(self._sshd, stop_signal=signal.SIGTERM, seconds=5)
        with contextlib.suppress(OSError, ValueError):
            pid = int((self.folder / "pid").read_text())
            program = Path(f"/proc/{pid}/cmdline").read_bytes()
            # The number may be another process's by now.
            if str(self.service_port).encode() in program:
                os.kill(pid, signal.SIGKILL)


class Loopback:
    """Several hosts that one key opens, and the artifacts for them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = KeyPair.new()
        self.artifacts = Artifacts()
        self.hosts: dict[str, Host] = {}

    def host(self, name: str, **more: Any) -> Host:
        """Start one more host; `wait` for it before it is used."""
        self.hosts[name] = Host(name, self.folder / name, self.key.public, **more)
        return self.hosts[name]

    def stop(self) -> None:
        for host in self.hosts.values():
            host.stop()
        self.artifacts.stop()


@contextlib.contextmanager
def loopback(folder: Path) -> Iterator[Loopback]:
    place = Loopback(folder)
    try:
        yield place
    finally:
        place.stop()


def deploy_side_by_side(executor, orders, lines=None):
    """The outcome of each order by its host's name, as the jobs of one batch have them; `lines` gets what is printed."""
    said = {} if lines is None else lines

    def deploy(order):
        name = order.target.name
        return name, executor.deploy(order, said.setdefault(name, []).append)

    with ThreadPoolExecutor(8) as threads:
        return dict(threads.map(deploy, orders))
