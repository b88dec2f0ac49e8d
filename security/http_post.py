"""Requests to URLs that people enter: one POST to a checked address, bounded in time and size, without redirects.

Not built on requests or urllib3: their timeouts are for each read, so a receiver that sends a byte now and then would hold
a thread for ever, and both resolve the name of the host themselves, after it was checked.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
import time
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from .addresses import AddressPolicy
from .connections import open_checked

READ_BYTES = 4096


class InvalidUrlError(ValueError):
    """A URL that is not http or https, or has no host, a user name or an invalid port."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a POST: its status, and the beginning of its body."""

    status: int
    body: bytes
    retry_after: str


@dataclass(frozen=True, slots=True)
class Target:
    """The parts of a URL that a request needs."""

    secure: bool
    host: str
    port: int
    path: str


def parse_url(url: str) -> Target:
    """Return the parts of a URL. Raises `InvalidUrlError` with the reason in English."""
    if any(character <= " " or character == "\x7f" for character in url) or not url.isascii():
        raise InvalidUrlError("it has spaces, or characters that a URL must escape")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidUrlError(str(error)) from None
    if parts.scheme not in {"http", "https"} or not host:
        raise InvalidUrlError("it does not begin with https:// or http:// and a host")
    if parts.username is not None or parts.password is not None:
        raise InvalidUrlError("it has a user name or a password")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme == "https", host, port or (443 if parts.scheme == "https" else 80), path)


def post(url: str, body: bytes, headers: dict[str, str], *, policy: AddressPolicy, seconds: float) -> Answer:
    """Send a POST and return its answer, whatever its status. A redirect is an answer and is not followed.

    `seconds` bounds everything together. Raises `InvalidUrlError`, `AddressRefusedError`, `TimeoutError`, OSError (also for
    TLS), and `http.client.HTTPException` for what is no HTTP.
    """
    target = parse_url(url)
    deadline = time.monotonic() + seconds
    connection = open_checked(target.host, target.port, policy=policy, timeout=seconds)
    with _Deadline(connection, deadline) as limit:
        try:
            if target.secure:
                context = ssl.create_default_context()
                limit.connection = context.wrap_socket(connection, server_hostname=target.host)
            answer = _exchange(limit.connection, target, body, headers)
        except (OSError, http.client.HTTPException):
            if not limit.expired:
                raise
        # The connection that was shut down looks like an answer that has ended.
        if limit.expired:
            raise TimeoutError(f"no complete answer within {seconds:g} seconds")
        return answer


class _Deadline:
    """Shuts a connection down at a time, under whatever reads or writes it, and closes it at the end of the block."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self.connection = connection
        self.expired = False
        self._timer = threading.Timer(max(0.0, deadline - time.monotonic()), self._expire)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._timer.cancel()
        self.connection.close()

    def _expire(self) -> None:
        self.expired = True
        with contextlib.suppress(OSError):
            # Of the TCP connection, because TLS would wait for the other side's goodbye.
            socket.socket.shutdown(self.connection, socket.SHUT_RDWR)


def _exchange(connection: socket.socket, target: Target, body: bytes, headers: dict[str, str]) -> Answer:
    # The connection is made already; the class only decides which port is the usual one and left out of `Host`.
    kind = http.client.HTTPSConnection if target.secure else http.client.HTTPConnection
    client = kind(target.host, target.port)
    client.sock = connection
    client.request("POST", target.path, body, headers)
    response = client.getresponse()
    return Answer(response.status, response.read(READ_BYTES), response.headers.get("Retry-After", "")[:50])
