"""A threaded worker of gunicorn whose threads do not wait for slow clients.

gunicorn's own threaded worker hands a connection to a thread after its first byte, and the thread then waits for the rest
of the request without a limit: as many half-sent requests as there are threads block the portal. Its main loop also waits
up to two seconds for each client to close its end of a connection.
Here, the main loop collects requests without waiting (`request_buffer.py`), and threads get complete requests. A request
that is not complete in time is answered 408; a client that reads a response too slowly is disconnected
(`response_socket.py`). A buffering proxy in front of the portal does the same and more, but is not required.

This worker does not support TLS and HTTP/2; a proxy has to terminate them.
"""

from __future__ import annotations

import errno
import os
import socket
import threading
import time
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from selectors import EVENT_READ
from typing import Any

from gunicorn import http
from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER, TConn, ThreadWorker

from .request_buffer import Progress, RequestBuffer
from .response_socket import ResponseSocket

# The time limit of a request, from its first byte to its last. A megabyte in 30 seconds is 35 kB/s.
REQUEST_SECONDS = float(os.environ.get("WEB_REQUEST_SECONDS", "30"))
# The time limit of the first byte on a new connection.
FIRST_BYTE_SECONDS = 10.0
MAX_BODY_BYTES = 1024 * 1024
# The limit for all incomplete requests of a process together.
MAX_BUFFERED_BYTES = 64 * 1024 * 1024
# The time for which a closing connection is still read, so that the client gets the response before a reset.
LINGER_SECONDS = 2.0
CHUNK_BYTES = 64 * 1024
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def _build_response(status: str, code: str, detail: str) -> bytes:
    body = (
        f'{{"type":"/problems/{code}","title":"{status[4:]}","status":{status[:3]},'
        f'"detail":"{detail}","code":"{code}","request_id":""}}'
    )
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/problem+json\r\nContent-Length: {len(body)}\r\n"
    return f"{head}Cache-Control: no-store\r\nConnection: close\r\n\r\n{body}".encode()


TOO_SLOW = _build_response("408 Request Timeout", "too_slow", "The request did not arrive in time.")
TOO_LARGE_HEAD = _build_response(
    "431 Request Header Fields Too Large", "too_large", "The headers are too large."
)


class Connection(TConn):  # type: ignore[misc]
    """A connection whose requests the main loop reads. Its parser gets the collected bytes and never reads the socket."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.initialized = True
        self.parser = http.get_parser(self.cfg, [], self.client)
        self.buffer = RequestBuffer(MAX_BODY_BYTES)
        self.deadline = 0.0
        self.was_continued = False
        self.must_close = False


class BufferingWorker(ThreadWorker):  # type: ignore[misc]
    """A worker that collects complete requests in its main loop, and handles them in threads.

    Only the main loop uses the worker's collections of connections. A thread owns a connection from `enqueue_req` until
    `finish_request`, and the main loop does not use it during that time.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # In the order of their start, so the oldest are first.
        self.incoming: dict[Connection, None] = {}
        self.closing: dict[Connection, None] = {}
        self.buffered = 0
        self.slow_readers = threading.Semaphore(max(1, self.cfg.threads // 2))
        self.max_connections = max(1, self.worker_connections - self.cfg.threads)

    # --- Incoming requests ------------------------------------------------------------------------------------

    def accept(self, listener: socket.socket) -> None:
        """Accept a new connection. If there are too many, the oldest one that no thread owns is closed."""
        try:
            client, address = listener.accept()
        except OSError as error:
            if error.errno in {errno.EMFILE, errno.ENFILE}:
                self._end_oldest_connection()
            return  # Otherwise the client has already disconnected.
        if self.nr_conns >= self.max_connections:
            self._end_oldest_connection()
        self.nr_conns += 1
        conn = Connection(self.cfg, client, address, listener.getsockname())
        self._receive(conn, FIRST_BYTE_SECONDS)

    def on_client_socket_readable(self, conn: Connection, client: Any) -> None:
        """Read the next request of a kept-alive connection."""
        if (
            conn not in self.keepalived_conns
        ):  # It was closed for a new connection after the poller reported it.
            return
        self.poller.unregister(client)
        self.keepalived_conns.remove(conn)
        self._receive(conn, REQUEST_SECONDS)
        self._on_readable(conn, client)

    def _receive(self, conn: Connection, seconds: float) -> None:
        conn.deadline = time.monotonic() + seconds
        conn.sock.setblocking(False)
        self.incoming[conn] = None
        self.buffered += len(conn.buffer.data)
        self.poller.register(conn.sock, EVENT_READ, partial(self._on_readable, conn))

    def _on_readable(self, conn: Connection, client: Any) -> None:
        if conn not in self.incoming:  # It was dropped for another connection after the poller reported it.
            return
        try:
            data = conn.sock.recv(CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop(conn)
            return
        if not conn.buffer.data:
            conn.deadline = time.monotonic() + REQUEST_SECONDS
        self.buffered += len(data)
        conn.buffer.add(data)
        self._check_progress(conn)
        while self.buffered > MAX_BUFFERED_BYTES:
            self._drop(max(self.incoming, key=lambda one: len(one.buffer.data)))

    def _check_progress(self, conn: Connection) -> None:
        """Pass a request to a thread when it is complete or its head is sufficient."""
        progress = conn.buffer.progress()
        if progress is Progress.PARTIAL:
            if conn.buffer.expects_continue and not conn.was_continued:
                conn.was_continued = True
                self._send(conn, CONTINUE)
            return
        self._stop_receiving(conn)
        if progress is Progress.TOO_LARGE_HEAD:
            self._send(conn, TOO_LARGE_HEAD)
            self._begin_close(conn)
            return
        conn.must_close = progress is Progress.HEAD_ONLY
        self.enqueue_req(conn)

    # --- Requests that are handled in a thread ------------------------------------------------------------------

    def handle(self, conn: Connection) -> bool:
        """Handle a request; return whether the connection may be kept alive."""
        conn.parser.unreader.unread(bytes(conn.buffer.data))
        conn.buffer.data.clear()
        return bool(super().handle(conn))

    def handle_request(self, req: Any, conn: Connection) -> bool:
        """Handle a request, and disconnect a client that reads the response too slowly."""
        # The main loop has already sent "100 Continue" if the client expected it.
        req._expected_100_continue = False  # noqa: SLF001 - there is no public interface for this.
        if conn.must_close:
            req.force_close()  # This also adds the header to the response.
        plain, conn.sock = conn.sock, ResponseSocket(conn.sock, self.slow_readers)
        try:
            return bool(super().handle_request(req, conn))
        except TimeoutError:
            self.log.info("Disconnected a client that read the response too slowly: %s", conn.client)
            raise StopIteration from None
        finally:
            conn.sock.release()
            conn.sock = plain

    def _keepalive_after(self, conn: Connection, keepalive: bool) -> bool:
        """Return whether the connection can be kept alive. One that must be closed has a body that is not read."""
        return not conn.must_close and bool(super()._keepalive_after(conn, keepalive))

    def finish_request(self, conn: Connection, fs: Future[bool]) -> None:
        """Keep the connection alive or close it. Called in the main loop."""
        try:
            keep = not fs.cancelled() and fs.result()
        except Exception:  # noqa: BLE001 - `handle` has logged the error; the connection cannot be used any more.
            keep = False
        if not keep:
            self._begin_close(conn)
            return
        conn.was_continued = False
        conn.buffer = RequestBuffer(MAX_BODY_BYTES, conn.parser.unreader.take_buffered())
        if conn.buffer.data:
            self._receive(conn, REQUEST_SECONDS)
            self._check_progress(conn)
            return
        conn.sock.setblocking(False)
        conn.set_timeout()
        if not self.alive:
            conn.timeout = min(conn.timeout, time.monotonic() + STOP_KEEPALIVE_LINGER)
        self.keepalived_conns.append(conn)
        self.poller.register(conn.sock, EVENT_READ, partial(self.on_client_socket_readable, conn))

    # --- Connections that end ----------------------------------------------------------------------------------

    def murder_pending(self) -> None:
        """Close connections whose time is over. gunicorn's loop calls this at least once a second."""
        now = time.monotonic()
        # New connections wait for a first byte, others for the last one, so the deadlines are not in order.
        for conn in [one for one in self.incoming if one.deadline <= now or not self.alive]:
            self._stop_receiving(conn)
            if conn.buffer.data:
                self._send(conn, TOO_SLOW)
            self._begin_close(conn)
        for conn in [one for one in self.closing if one.deadline <= now]:
            self._finish_close(conn)

    def _send(self, conn: Connection, data: bytes) -> None:
        """Send a few bytes if the socket accepts them without waiting."""
        with suppress(OSError):
            conn.sock.send(data)

    def _stop_receiving(self, conn: Connection) -> None:
        del self.incoming[conn]
        self.buffered -= len(conn.buffer.data)
        self.poller.unregister(conn.sock)

    def _end_oldest_connection(self) -> None:
        """Close the oldest connection: a closing one, else one with an incomplete request, else a kept-alive one."""
        if self.closing:
            self._finish_close(next(iter(self.closing)))
        elif self.incoming:
            self._drop(next(iter(self.incoming)))
        elif self.keepalived_conns:
            conn = self.keepalived_conns.popleft()
            self.poller.unregister(conn.sock)
            self.nr_conns -= 1
            conn.close()

    def _drop(self, conn: Connection) -> None:
        """Close a connection with an incomplete request, without a response."""
        self._stop_receiving(conn)
        self.nr_conns -= 1
        conn.close()

    def _begin_close(self, conn: Connection) -> None:
        """Shut down the sending side and go on reading for a while: with unread bytes, the kernel would reset the connection."""
        try:
            conn.sock.setblocking(False)
            conn.sock.shutdown(socket.SHUT_WR)
            self.poller.register(conn.sock, EVENT_READ, partial(self._on_readable_after_close, conn))
        except (OSError, ValueError):
            self.nr_conns -= 1
            conn.close()
            return
        conn.deadline = time.monotonic() + LINGER_SECONDS
        self.closing[conn] = None

    def _on_readable_after_close(self, conn: Connection, client: Any) -> None:
        try:
            data = conn.sock.recv(CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data and conn in self.closing:
            self._finish_close(conn)

    def _finish_close(self, conn: Connection) -> None:
        del self.closing[conn]
        self.poller.unregister(conn.sock)
        self.nr_conns -= 1
        conn.close()
