"""A small threaded HTTP/1.1 server with keep-alive.

Werkzeug's own server closes every connection after one answer, which costs more than the answer and would hide errors of
clients with kept connections. Here each connection has a thread, each answer is one write, and Nagle's algorithm is off.
"""

from __future__ import annotations

import socket
import socketserver
import struct
import sys
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

from .http_messages import Request, Response

_MAX_LINE = 65536
_REASONS = {status.value: status.phrase for status in HTTPStatus}


class DroppedConnectionError(Exception):
    """Raised to close the connection without a response; with `reset`, by a TCP reset."""

    def __init__(self, *, reset: bool) -> None:
        super().__init__("dropped")
        self.reset = reset


Application = Callable[[Request], Response]


class HttpServer(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Listen on one address and pass each request to an application."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 256

    def __init__(self, address: tuple[str, int], application: Application) -> None:
        self.application = application
        self._connections: set[socket.socket] = set()
        self._connections_guard = threading.Lock()
        super().__init__(address, _Connection)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start a thread for the connection, and remember the connection for `drop_connections`."""
        with self._connections_guard:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection."""
        with self._connections_guard:
            self._connections.discard(request)
        super().shutdown_request(request)

    def drop_connections(self) -> None:
        """Close every open connection."""
        with self._connections_guard:
            connections = list(self._connections)
        for connection in connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore errors of clients that disconnected, and report all others as socketserver does."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Connection(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True
    server: HttpServer

    def handle(self) -> None:
        try:
            while self._serve_one_request():
                pass
        except DroppedConnectionError as dropped:
            if dropped.reset:
                # With a linger time of zero, the kernel sends a reset instead of an orderly close.
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
        except (OSError, ValueError):
            # The client has disconnected, or does not speak HTTP.
            return

    def _serve_one_request(self) -> bool:
        first = self.rfile.readline(_MAX_LINE)
        if first in {b"", b"\r\n"}:
            return first != b""
        method, target, version = first.decode("latin-1").split()
        headers: dict[str, str] = {}
        while (line := self.rfile.readline(_MAX_LINE)) not in {b"\r\n", b"\n", b""}:
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()
        if headers.get("expect", "").lower() == "100-continue":
            self.connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        path, _, query = target.partition("?")
        keep = version == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
        request = Request(method, unquote(path), query, headers, self._read_body(headers), time.monotonic())
        answer = self.server.application(request)
        payload = answer.payload()
        lines = [f"HTTP/1.1 {answer.status} {_REASONS.get(answer.status, 'Unknown')}"]
        if answer.status != 204:
            lines.append(f"Content-Type: {answer.content_type}")
            lines.append(f"Content-Length: {len(payload)}")
        lines.extend(f"{name}: {value}" for name, value in answer.headers.items())
        lines.append("Connection: keep-alive" if keep else "Connection: close")
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        if answer.is_truncated:
            self.connection.sendall(head + payload[: len(payload) // 2])
            return False
        self.connection.sendall(head if method == "HEAD" or answer.status == 204 else head + payload)
        return keep

    def _read_body(self, headers: dict[str, str]) -> bytes:
        if "chunked" in headers.get("transfer-encoding", "").lower():
            parts = []
            while size := int(self.rfile.readline(_MAX_LINE).split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline(_MAX_LINE)
            self.rfile.readline(_MAX_LINE)
            return b"".join(parts)
        length = int(headers.get("content-length") or 0)
        return self.rfile.read(length) if length else b""
