"""A socket for a response: it disconnects clients that read too slowly, so that they do not hold threads."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

# A write that waits longer than this needs a slot of `slow_readers`.
SLOW_AFTER_SECONDS = 1.0
# The longest wait of a single write.
MAX_STALL_SECONDS = 10.0
# The limit of all waits of a response: this, plus one second for each `MIN_BYTES_PER_SECOND` sent.
MAX_WAIT_SECONDS = 10.0
MIN_BYTES_PER_SECOND = 20_000


class ResponseSocket:
    """The socket of a connection while a response is sent. It limits `sendall`; everything else is passed to the socket.

    `slow_readers` has a slot for each thread that slow clients may hold at once: half of the threads, so that the other half
    always serves requests. A slow client without a slot is disconnected at once.
    """

    def __init__(self, sock: socket.socket, slow_readers: threading.Semaphore) -> None:
        self._sock = sock
        self._slow_readers = slow_readers
        self._holds_slot = False
        self._waited = 0.0
        self._sent = 0
        self._write_timeout: float = MAX_STALL_SECONDS

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def settimeout(self, seconds: float | None) -> None:
        """Set how long a write may wait without progress; never longer than `MAX_STALL_SECONDS`."""
        self._write_timeout = MAX_STALL_SECONDS if seconds is None else min(seconds, MAX_STALL_SECONDS)

    def sendall(self, data: bytes) -> None:
        """Send all bytes. Raises TimeoutError when the client reads too slowly."""
        remaining = memoryview(data)
        while remaining:
            count = self._send(remaining)
            self._sent += count
            remaining = remaining[count:]

    def release(self) -> None:
        """Release the slot of a slow client at the end of the response."""
        if self._holds_slot:
            self._holds_slot = False
            self._slow_readers.release()

    def _send(self, data: memoryview) -> int:
        started_at = time.monotonic()
        try:
            if not self._holds_slot:
                self._sock.settimeout(min(SLOW_AFTER_SECONDS, self._write_timeout))
                try:
                    return self._sock.send(data)
                except TimeoutError:
                    self._holds_slot = self._slow_readers.acquire(blocking=False)
                    if not self._holds_slot:
                        raise
            waited = self._waited + time.monotonic() - started_at
            allowed = MAX_WAIT_SECONDS + self._sent / MIN_BYTES_PER_SECOND - waited
            if allowed <= 0:
                raise TimeoutError("The client reads the response too slowly.")
            self._sock.settimeout(min(self._write_timeout, allowed))
            return self._sock.send(data)
        finally:
            self._waited += time.monotonic() - started_at
