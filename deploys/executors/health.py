"""Health checks over HTTP: repeat a request until the service is healthy or the time is over.

The same file runs in two places: in the portal, and on a host, where Ansible carries it (the module `wait_healthy`).
So it needs the standard library alone, and no Python newer than 3.8.

A request goes to an address, never to a name, and no redirect is followed: a service cannot send the portal elsewhere.
Whoever calls it from the portal checks the address and the port first (`addresses.check_host_address`); they are connected to as they
are, so nothing can change between the check and the connection.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

# One request, from the connection to the last byte that is read, in seconds.
REQUEST_SECONDS = 3.0
ANSWER_BYTES = 65_536
STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([0-9]{3})(?: |$)")


@dataclass(frozen=True)
class Watched:
    """The result of a check: `code` is ok, unhealthy, flapping or cancelled; `last` describes the last failed request."""

    code: str
    last: str
    asked: int
    good: int


def ask(
    ip: str,
    port: int,
    path: str,
    *,
    expected_status: int = 200,
    contains: str = "",
    seconds: float = REQUEST_SECONDS,
) -> str:
    """Ask once. The empty text when the answer is good, or else what is wrong with it. Never longer than `seconds`.

    Written on a socket, because the time limits of HTTP libraries are for each read: a service that sends a byte now
    and then would hold a worker for ever.
    """
    deadline = time.monotonic() + seconds
    host = f"[{ip}]" if ":" in ip else ip
    request = f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUser-Agent: portal-health\r\nAccept: */*\r\n"
    answer = b""
    try:
        with socket.create_connection((ip, port), timeout=seconds) as connection:
            connection.sendall((request + "Connection: close\r\n\r\n").encode("ascii"))
            while len(answer) < ANSWER_BYTES and (contains or b"\r\n" not in answer):
                left = deadline - time.monotonic()
                if left <= 0:
                    # However little comes at a time, and however often.
                    raise socket.timeout  # noqa: UP041 - it is another class before Python 3.10.
                connection.settimeout(left)
                data = connection.recv(ANSWER_BYTES - len(answer))
                if not data:
                    break
                answer += data
                if contains and contains.encode() in answer:
                    break
    except socket.timeout:  # noqa: UP041 - it is another class before Python 3.10.
        # A connection that stays open although we asked to close it: what has come is what there is.
        if b"\r\n" not in answer:
            return "no answer in time"
    except OSError as error:
        return f"no connection: {error.strerror or error}"
    return _trouble_with(answer, expected_status, contains)


def _trouble_with(answer: bytes, expected_status: int, contains: str) -> str:
    match = STATUS_LINE.match(answer.split(b"\r\n", 1)[0])
    if match is None:
        return "the answer is not HTTP"
    status = int(match.group(1))
    if status != expected_status:
        return f"status {status} instead of {expected_status}"
    if contains and contains.encode() not in answer:
        return "the answer does not hold the expected text"
    return ""


def watch(
    ip: str,
    port: int,
    *,
    path: str = "/",
    expected_status: int = 200,
    in_a_row: int = 3,
    seconds: float = 60.0,
    interval: float = 1.0,
    contains: str = "",
    should_continue: Callable[[], bool] = lambda: True,
) -> Watched:
    """Ask until `in_a_row` answers running are good, or `seconds` are over, or `should_continue` says no (cancelled).

    A service that was good and then was not is `flapping` when the time is over, one that never was is `unhealthy`.
    """
    deadline = time.monotonic() + seconds
    asked = good = row = drops = 0
    last = ""
    while row < in_a_row:
        if not should_continue():
            return Watched("cancelled", "it was stopped", asked, good)
        trouble = ask(
            ip,
            port,
            path,
            expected_status=expected_status,
            contains=contains,
            seconds=min(REQUEST_SECONDS, seconds),
        )
        asked += 1
        if trouble:
            drops += row > 0
            row = 0
            last = trouble
        else:
            good += 1
            row += 1
        if row < in_a_row:
            if time.monotonic() + interval >= deadline:
                code = "flapping" if drops else "unhealthy"
                return Watched(code, last or "it came up too late", asked, good)
            time.sleep(interval)
    return Watched("ok", "", asked, good)
