"""A real RabbitMQ, of Debian's package rabbitmq-server."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from kombu import Connection

from devserver import launch
from tests.servers import free_ports

# The program itself: the one in /usr/sbin becomes the user of the package, and works in its folder.
PROGRAM = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")


class RabbitMq:
    """A RabbitMQ on 127.0.0.1, with its data in one folder. It can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self.node_port, self.names_port = free_ports(3)
        self.password = f"@/:{secrets.token_hex(8)}"
        self.process: subprocess.Popen[bytes] | None = None
        (folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\ndefault_user = portal\ndefault_pass = {self.password}\n"
            "default_vhost = portal\ndisk_free_limit.absolute = 1MB\nlog.console = true\nlog.file = false\n"
        )
        (folder / "enabled_plugins").write_text("[].\n")
        self.variables = {
            **os.environ,
            "HOME": str(folder),
            "ERL_EPMD_PORT": str(self.names_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": "portal-tests@localhost",
            "RABBITMQ_DIST_PORT": str(self.node_port),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "no-such-file"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "logs"),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "LANG": "C.UTF-8",
        }
        # RabbitMQ would start this daemon of Erlang itself, and leave it running.
        self.names = launch.start(
            ["epmd"], log=folder / "epmd.log", environment=self.variables, when_parent_dies=signal.SIGKILL
        )

    @property
    def environment(self) -> dict[str, str]:
        """The settings of a portal with this broker."""
        return {
            "RABBITMQ_URL": f"amqp://portal@127.0.0.1:{self.port}/portal",
            "RABBITMQ_PASSWORD": self.password,
        }

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        log = self.folder / "rabbitmq.log"
        self.process = launch.start(
            [PROGRAM],
            log=log,
            folder=self.folder,
            environment=self.variables,
            when_parent_dies=signal.SIGKILL,
        )
        deadline = time.monotonic() + 90
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"RabbitMQ did not start:\n{launch.read_last_lines(log, 40)}")
            time.sleep(0.2)

    def kill(self) -> None:
        """Kill it and its children."""
        assert self.process is not None
        tree = launch.process_tree(self.process.pid)
        launch.kill(tree)
        self.process.wait()
        assert launch.wait_until_gone(tree, seconds=10)

    def stop(self) -> None:
        """End it and Erlang's daemon."""
        if self.process is not None and self.process.poll() is None:
            self.kill()
        launch.end(self.names, stop_signal=signal.SIGTERM, seconds=5)

    def connect(self) -> Connection:
        """Return a connection, which is opened when it is used."""
        return Connection(
            hostname="127.0.0.1",
            port=self.port,
            userid="portal",
            password=self.password,
            virtual_host="portal",
            transport="pyamqp",
            connect_timeout=2,
        )

    def _answers(self) -> bool:
        try:
            with self.connect() as connection:
                connection.connect()
                return True
        except OSError:
            return False


@contextmanager
def start_rabbitmq() -> Iterator[RabbitMq]:
    """Run RabbitMQ while the block runs; skip the test where it is not installed."""
    if not PROGRAM.exists() or shutil.which("epmd") is None:
        pytest.skip("RabbitMQ is not installed. On Debian: apt-get install rabbitmq-server")
    with tempfile.TemporaryDirectory(prefix="portal-rabbitmq-", ignore_cleanup_errors=True) as folder:
        server = RabbitMq(Path(folder))
        try:
            server.start()
            yield server
        finally:
            server.stop()
