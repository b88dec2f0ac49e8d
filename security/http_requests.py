"""Requests to URLs that people enter: to a checked address, bounded in time and size, without redirects.

Not built on requests or urllib3: their timeouts are for each read, so a server that sends a byte now and then would hold a
thread for ever, and both resolve the name of the host themselves, after it was checked.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from .addresses import AddressPolicy
from .connections import open_checked


class InvalidUrlError(ValueError):
    """A URL that is not http or https, or has no host, a user name or an invalid port."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a request: its status, and its body up to the requested length."""

    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Target:
    """The parts of a URL that a request needs."""

    secure: bool
    host: str
    port: int
    path: str


def parse_url(url: str) -> Target:
    """Return the parts of a URL. Raises `InvalidUrlError` with the reason in English."""
    if not url.isascii() or not url.isprintable() or " " in url:
        raise InvalidUrlError("it has spaces, or characters that a URL must escape")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidUrlError(str(error)) from None
    if parts.scheme not in {"http", "https"} or not host or port == 0:
        raise InvalidUrlError("it does not begin with https:// or http:// and a host")
    if parts.username is not None or parts.password is not None:
        raise InvalidUrlError("it has a user name or a password")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme == "https", host, port or (443 if parts.scheme == "https" else 80), path)


def send_request(
    url: str,
    *,
    policy: AddressPolicy,
    seconds: float,
    max_bytes: int,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    ca_file: str | None = None,
) -> Answer:
    """Send a POST with a body, or without one a GET, and return the answer, whatever its status. Redirects are not followed.

    `seconds` bounds everything together, from the resolution of the name on. At most `max_bytes` of the body are read.
    `ca_file` has the authorities that are trusted instead of the machine's. Raises `InvalidUrlError`, `AddressRefusedError`,
    `TimeoutError`, OSError (also for TLS), and `http.client.HTTPException` for what is no HTTP.
    """
    target = parse_url(url)
    deadline = time.monotonic() + seconds
    connection = open_checked(target.host, target.port, policy=policy, timeout=seconds)
    with _Deadline(connection, deadline - time.monotonic()) as limit:
        try:
            if target.secure:
                context = ssl.create_default_context(cafile=ca_file)
                connection = context.wrap_socket(connection, server_hostname=target.host)
            answer = _exchange(connection, target, body, dict(headers or {}), max_bytes)
        except (OSError, http.client.HTTPException):
            if not limit.expired:
                raise
        finally:
            connection.close()
        # The connection that was shut down looks like an answer that has ended.
        if limit.expired:
            raise TimeoutError(f"no complete answer within {seconds:g} seconds")
        return answer


class _Deadline:
    """Shuts a connection down after a time, under whatever reads or writes it.

    It has a descriptor of its own for the connection, because TLS takes the first one over, and its handshake must be bounded
    as well.
    """

    def __init__(self, connection: socket.socket, seconds: float) -> None:
        self.expired = False
        self._connection = connection.dup()
        self._timer = threading.Timer(max(0.0, seconds), self._expire)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._timer.cancel()
        self._connection.close()

    def _expire(self) -> None:
        self.expired = True
        with suppress(OSError):  # It has ended meanwhile.
            self._connection.shutdown(socket.SHUT_RDWR)


def _exchange(
    connection: socket.socket, target: Target, body: bytes | None, headers: dict[str, str], max_bytes: int
) -> Answer:
    # The connection is made already; the class only decides which port is the usual one and left out of `Host`.
    kind = http.client.HTTPSConnection if target.secure else http.client.HTTPConnection
    client = kind(target.host, target.port)
    client.sock = connection
    client.request("GET" if body is None else "POST", target.path, body, {"Connection": "close", **headers})
    response = client.getresponse()
    return Answer(response.status, response.read(max_bytes))
