"""The simulated Tencent Cloud on an address of this machine."""

from __future__ import annotations

import threading
from email.utils import formatdate

from ..http_messages import Request, Response
from ..http_server import HttpServer
from .cloud import TencentCloud


class TencentServer:
    """Serves a cloud until it is closed. All services have the same address, as in a private cloud."""

    def __init__(self, cloud: TencentCloud | None = None) -> None:
        self.cloud = cloud or TencentCloud()
        self._http = HttpServer(("127.0.0.1", 0), self._serve)
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        """The address of the cloud."""
        host, port = self._http.server_address[:2]
        return f"http://{host!s}:{port}"

    def close(self) -> None:
        """Stop listening, and close all connections."""
        self._http.shutdown()
        self._http.drop_connections()
        self._http.server_close()

    def _serve(self, request: Request) -> Response:
        found = self.cloud.serve(request)
        found.headers.setdefault("Date", formatdate(self.cloud.now(), usegmt=True))
        return found
