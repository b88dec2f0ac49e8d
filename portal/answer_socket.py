"""A socket that an answer is written to: a reader who takes it too slowly is cut off, so that no thread is held by one."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

# A write may wait this long for the reader at no cost to others.
SLOW_AFTER_SECONDS = 1.0
# The longest wait without one byte taken.
STALLED_SECONDS = 10.0
# All waits together: this, and a second for so many bytes.
PATIENCE_SECONDS = 10.0
SLOWEST_BYTES_PER_SECOND = 20_000


class AnswerSocket:
    """The write side of a connection while one answer is sent. Of all others it is the socket itself.

    `slow_readers` has a place for each thread that slow readers may hold at once: half of them, so that the other half
    always answers. A reader who finds no place is cut off at once.
    """

    def __init__(self, sock: socket.socket, slow_readers: threading.Semaphore) -> None:
        self._sock = sock
        self._slow_readers = slow_readers
        self._has_place = False
        self._waited = 0.0
        self._sent = 0
        self._patience: float = STALLED_SECONDS

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def settimeout(self, seconds: float | None) -> None:
        """Set how long a write may wait without progress; never longer than `STALLED_SECONDS`."""
        self._patience = STALLED_SECONDS if seconds is None else min(seconds, STALLED_SECONDS)

    def sendall(self, data: bytes) -> None:
        """Send all of it. Raises TimeoutError when the reader is too slow."""
        left = memoryview(data)
        while left:
            count = self._send(left)
            self._sent += count
            left = left[count:]

    def release(self) -> None:
        """Give the place of a slow reader back, when the answer has ended."""
        if self._has_place:
            self._has_place = False
            self._slow_readers.release()

    def _send(self, data: memoryview) -> int:
        began = time.monotonic()
        try:
            if not self._has_place:
                self._sock.settimeout(min(SLOW_AFTER_SECONDS, self._patience))
                try:
                    return self._sock.send(data)
                except TimeoutError:
                    self._has_place = self._slow_readers.acquire(blocking=False)
                    if not self._has_place:
                        raise
            waited = self._waited + time.monotonic() - began
            allowed = PATIENCE_SECONDS + self._sent / SLOWEST_BYTES_PER_SECOND - waited
            if allowed <= 0:
                raise TimeoutError("The reader takes the answer too slowly.")
            self._sock.settimeout(min(self._patience, allowed))
            return self._sock.send(data)
        finally:
            self._waited += time.monotonic() - began
