"""An OpenStack in one process, over real HTTP, for the demo, tests and benchmarks.

`python -m simulator` starts one by itself; `start()` starts one inside this process.
Its control API (`/_control/...`) needs no token, so by default it listens on the loopback address only.
"""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from . import data_file, standard_content
from .application import Application
from .http_server import HttpServer
from .state import State

__all__ = ["SimulatorServer", "start"]

_SAVE_EVERY_SECONDS = 5.0


class SimulatorServer:
    """A running simulated cloud. `url` is its address; `auth_url` is Keystone's."""

    def __init__(
        self, *, host: str = "127.0.0.1", port: int = 0, data: Path | None = None, seed: int = 0
    ) -> None:
        """Listen, and serve in threads. Raises `OSError` when the port is taken, `ValueError` for an unreadable data file."""
        self.state = State()
        self._data = data
        if data is not None and data.exists():
            data_file.load(self.state, data)
        else:
            standard_content.reset(self.state, seed=seed)
        self._application = Application(self.state)
        self._server = HttpServer((host, port), self._application)
        self.host = host
        self.port = int(self._server.server_address[1])
        self._threads = [
            threading.Thread(target=self._server.serve_forever, args=(0.05,), name="simulator", daemon=True)
        ]
        if data is not None:
            self._threads.append(
                threading.Thread(target=self._keep_saving, name="simulator-saver", daemon=True)
            )
        for thread in self._threads:
            thread.start()

    @property
    def url(self) -> str:
        """Return the address without a trailing slash."""
        return f"http://{self.host}:{self.port}"

    @property
    def auth_url(self) -> str:
        """Return Keystone's address."""
        return f"{self.url}/identity/v3"

    def stop(self) -> None:
        """End every connection, save, and release the port. A second call does nothing."""
        if self._application.stopping.is_set():
            return
        self._application.stopping.set()
        self._server.shutdown()
        self._server.drop_connections()
        self._server.server_close()
        for thread in self._threads:
            thread.join(timeout=5)
        if self._data is not None:
            data_file.save(self.state, self._data)

    def _keep_saving(self) -> None:
        while not self._application.stopping.wait(_SAVE_EVERY_SECONDS):
            if self._data is not None and self.state.dirty:
                data_file.save(self.state, self._data)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def start(
    *, host: str = "127.0.0.1", port: int = 0, data_file: Path | str | None = None, seed: int = 0
) -> SimulatorServer:
    """Start a simulator in this process; port 0 takes a free one. Raises `OSError` when the port is taken."""
    return SimulatorServer(host=host, port=port, data=Path(data_file) if data_file else None, seed=seed)
