"""gunicorn's threaded worker, with threads that never wait for a client.

gunicorn's own hands a connection to a thread as soon as a byte of it is there, and the thread then waits for the rest as
long as the client likes: as many half-sent requests as there are threads stop the portal. It also waits in its main loop,
up to two seconds, for each client to close its end.
Here the main loop collects requests without waiting (`request_buffer.py`) and threads get whole ones. A request that
is not whole in time is answered 408; a reader who takes an answer too slowly is cut off (`answer_socket.py`).
A proxy in front that buffers does the same, and better; the portal survives without one.

TLS and HTTP/2 are not served by this worker: a proxy ends them.
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

from .answer_socket import AnswerSocket
from .request_buffer import Progress, RequestBuffer

# From its first byte to its last; a megabyte in 30 seconds is 35 kB a second.
REQUEST_SECONDS = float(os.environ.get("WEB_REQUEST_SECONDS", "30"))
# For its first byte, on a new connection.
FIRST_BYTE_SECONDS = 10.0
LARGEST_BODY = 1024 * 1024
# Of all requests together that are not whole yet, in one process.
MOST_BUFFERED = 64 * 1024 * 1024
# How long a closing connection is read on, so that the client sees the answer before the end.
LINGER_SECONDS = 2.0
READ_AT_ONCE = 64 * 1024
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def _build_answer(status: str, code: str, detail: str) -> bytes:
    body = (
        f'{{"type":"/problems/{code}","title":"{status[4:]}","status":{status[:3]},'
        f'"detail":"{detail}","code":"{code}","request_id":""}}'
    )
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/problem+json\r\nContent-Length: {len(body)}\r\n"
    return f"{head}Cache-Control: no-store\r\nConnection: close\r\n\r\n{body}".encode()


TOO_SLOW = _build_answer("408 Request Timeout", "too_slow", "The request did not arrive in time.")
TOO_LARGE_HEAD = _build_answer(
    "431 Request Header Fields Too Large", "too_large", "The headers are too large."
)


class Connection(TConn):  # type: ignore[misc]
    """A connection whose requests are read by the main loop. Its parser sees what was collected, and never the socket."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.initialized = True
        self.parser = http.get_parser(self.cfg, [], self.client)
        self.buffer = RequestBuffer(LARGEST_BODY)
        self.deadline = 0.0
        self.was_continued = False
        self.must_close = False


class BufferingWorker(ThreadWorker):  # type: ignore[misc]
    """Collects whole requests in its main loop, and answers them in threads.

    All that is kept here about connections is used by the main loop alone. A thread has a connection from
    `enqueue_req` until `finish_request`, and in that time the main loop does not touch it.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # By the time at which they began, so the oldest come first.
        self.incoming: dict[Connection, None] = {}
        self.closing: dict[Connection, None] = {}
        self.buffered = 0
        self.slow_readers = threading.Semaphore(max(1, self.cfg.threads // 2))
        self.most_connections = max(1, self.worker_connections - self.cfg.threads)

    # --- Requests that come in --------------------------------------------------------------------------------

    def accept(self, listener: socket.socket) -> None:
        """Take a new connection; when there are too many, in place of the oldest one that no thread has."""
        try:
            client, address = listener.accept()
        except OSError as error:
            if error.errno in {errno.EMFILE, errno.ENFILE}:
                self._make_room()
            return  # Or the client is gone already.
        if self.nr_conns >= self.most_connections:
            self._make_room()
        self.nr_conns += 1
        conn = Connection(self.cfg, client, address, listener.getsockname())
        self._receive(conn, FIRST_BYTE_SECONDS)

    def on_client_socket_readable(self, conn: Connection, client: Any) -> None:
        """Read the next request of a connection that was kept."""
        if conn not in self.keepalived_conns:  # It had to make room since the poller has seen its bytes.
            return
        self.poller.unregister(client)
        self.keepalived_conns.remove(conn)
        self._receive(conn, REQUEST_SECONDS)
        self._on_bytes(conn, client)

    def _receive(self, conn: Connection, seconds: float) -> None:
        conn.deadline = time.monotonic() + seconds
        conn.sock.setblocking(False)
        self.incoming[conn] = None
        self.buffered += len(conn.buffer.data)
        self.poller.register(conn.sock, EVENT_READ, partial(self._on_bytes, conn))

    def _on_bytes(self, conn: Connection, client: Any) -> None:
        if conn not in self.incoming:  # It was dropped for another one since the poller has seen its bytes.
            return
        try:
            data = conn.sock.recv(READ_AT_ONCE)
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
        while self.buffered > MOST_BUFFERED:
            self._drop(max(self.incoming, key=lambda one: len(one.buffer.data)))

    def _check_progress(self, conn: Connection) -> None:
        """Hand a request on when enough of it is here."""
        progress = conn.buffer.progress()
        if progress is Progress.PARTIAL:
            if conn.buffer.expects_continue and not conn.was_continued:
                conn.was_continued = True
                self._send(conn, CONTINUE)
            return
        self._forget(conn)
        if progress is Progress.TOO_LARGE_HEAD:
            self._send(conn, TOO_LARGE_HEAD)
            self._close(conn)
            return
        conn.must_close = progress is Progress.HEAD_ONLY
        self.enqueue_req(conn)

    # --- Requests that are answered, in a thread ----------------------------------------------------------------

    def handle(self, conn: Connection) -> bool:
        """Answer a request; return whether the connection may be kept."""
        conn.parser.unreader.unread(bytes(conn.buffer.data))
        conn.buffer.data.clear()
        return bool(super().handle(conn))

    def handle_request(self, req: Any, conn: Connection) -> bool:
        """Answer a request, to a reader who takes it in time."""
        # The main loop has answered that already, if the client waited for it.
        req._expected_100_continue = False  # noqa: SLF001 - there is no public way to say so.
        if conn.must_close:
            req.force_close()  # And the answer says so.
        plain, conn.sock = conn.sock, AnswerSocket(conn.sock, self.slow_readers)
        try:
            return bool(super().handle_request(req, conn))
        except TimeoutError:
            self.log.info("A reader took an answer too slowly and was cut off: %s", conn.client)
            raise StopIteration from None
        finally:
            conn.sock.release()
            conn.sock = plain

    def _keepalive_after(self, conn: Connection, keepalive: bool) -> bool:
        """Return whether the connection can be kept; one that must be closed has a body that nobody can read to its end."""
        return not conn.must_close and bool(super()._keepalive_after(conn, keepalive))

    def finish_request(self, conn: Connection, fs: Future[bool]) -> None:
        """Keep the connection, or close it; in the main loop."""
        try:
            keep = not fs.cancelled() and fs.result()
        except Exception:  # noqa: BLE001 - `handle` has logged what it could; the connection is of no use.
            keep = False
        if not keep:
            self._close(conn)
            return
        conn.was_continued = False
        conn.buffer = RequestBuffer(LARGEST_BODY, conn.parser.unreader.take_buffered())
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
        """End what has had its time. gunicorn's loop calls this at least once a second."""
        now = time.monotonic()
        # New connections wait for a first byte, others for the last one, so the deadlines are not in order.
        for conn in [one for one in self.incoming if one.deadline <= now or not self.alive]:
            self._forget(conn)
            if conn.buffer.data:
                self._send(conn, TOO_SLOW)
            self._close(conn)
        for conn in [one for one in self.closing if one.deadline <= now]:
            self._end(conn)

    def _send(self, conn: Connection, data: bytes) -> None:
        """Send a few bytes if the connection takes them now."""
        with suppress(OSError):
            conn.sock.send(data)

    def _forget(self, conn: Connection) -> None:
        del self.incoming[conn]
        self.buffered -= len(conn.buffer.data)
        self.poller.unregister(conn.sock)

    def _make_room(self) -> None:
        """End the oldest connection: of those that are closing, else that bring a request, else that wait for one."""
        if self.closing:
            self._end(next(iter(self.closing)))
        elif self.incoming:
            self._drop(next(iter(self.incoming)))
        elif self.keepalived_conns:
            conn = self.keepalived_conns.popleft()
            self.poller.unregister(conn.sock)
            self.nr_conns -= 1
            conn.close()

    def _drop(self, conn: Connection) -> None:
        """End a connection whose request is not whole."""
        self._forget(conn)
        self.nr_conns -= 1
        conn.close()

    def _close(self, conn: Connection) -> None:
        """Close our end, and read on for a while: what is not read would make the kernel take back the answer."""
        try:
            conn.sock.setblocking(False)
            conn.sock.shutdown(socket.SHUT_WR)
            self.poller.register(conn.sock, EVENT_READ, partial(self._on_late_bytes, conn))
        except (OSError, ValueError):
            self.nr_conns -= 1
            conn.close()
            return
        conn.deadline = time.monotonic() + LINGER_SECONDS
        self.closing[conn] = None

    def _on_late_bytes(self, conn: Connection, client: Any) -> None:
        try:
            data = conn.sock.recv(READ_AT_ONCE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data and conn in self.closing:
            self._end(conn)

    def _end(self, conn: Connection) -> None:
        del self.closing[conn]
        self.poller.unregister(conn.sock)
        self.nr_conns -= 1
        conn.close()
