"""Health checks over HTTP: repeat a request until the service is healthy or the time is over.

The same file runs in two places: in the portal, and on a host, where Ansible copies it (the module `wait_healthy`).
So it uses only the standard library, and runs on Python 3.8.

A request goes to an address, never to a name, and redirects are not followed: a service cannot send the portal elsewhere.
Callers in the portal check the address and the port first (`addresses.check_host_address`). Because no name is resolved
after that, the checked address is the one that is connected to.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

# In seconds: one request, from the connection to the last byte that is read.
REQUEST_SECONDS = 3.0
MAX_RESPONSE_BYTES = 65_536
STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([0-9]{3})(?: |$)")


@dataclass(frozen=True)
class HealthResult:
    """The result of a check: `code` is ok, unhealthy, flapping or cancelled; `last_error` describes the last failed request."""

    code: str
    last_error: str
    requests: int
    good_requests: int


def request_once(
    ip: str,
    port: int,
    path: str,
    *,
    expected_status: int = 200,
    contains: str = "",
    seconds: float = REQUEST_SECONDS,
) -> str:
    """Send one request and return the error, or "" for a good response. Takes at most `seconds`.

    It uses a socket, because HTTP libraries limit the time of each read: a service that sends a byte now and then would
    block a worker for ever.
    """
    deadline = time.monotonic() + seconds
    host = f"[{ip}]" if ":" in ip else ip
    request = f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUser-Agent: portal-health\r\nAccept: */*\r\n"
    response = b""
    try:
        with socket.create_connection((ip, port), timeout=seconds) as connection:
            connection.sendall((request + "Connection: close\r\n\r\n").encode("ascii"))
            while len(response) < MAX_RESPONSE_BYTES and (contains or b"\r\n" not in response):
                left = deadline - time.monotonic()
                if left <= 0:
                    raise socket.timeout  # noqa: UP041 - it is another class before Python 3.10.
                connection.settimeout(left)
                data = connection.recv(MAX_RESPONSE_BYTES - len(response))
                if not data:
                    break
                response += data
                if contains and contains.encode() in response:
                    break
    except socket.timeout:  # noqa: UP041 - it is another class before Python 3.10.
        # The server may keep the connection open in spite of `Connection: close`. The received part is judged.
        if b"\r\n" not in response:
            return "no answer in time"
    except OSError as error:
        return f"no connection: {error.strerror or error}"
    return _find_response_error(response, expected_status, contains)


def _find_response_error(response: bytes, expected_status: int, contains: str) -> str:
    match = STATUS_LINE.match(response.split(b"\r\n", 1)[0])
    if match is None:
        return "the answer is not HTTP"
    status = int(match.group(1))
    if status != expected_status:
        return f"status {status} instead of {expected_status}"
    if contains and contains.encode() not in response:
        return "the answer does not hold the expected text"
    return ""


def wait_until_healthy(
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
) -> HealthResult:
    """Repeat the request until `in_a_row` successive responses are good, `seconds` are over, or `should_continue` is False.

    At the end of the time, a service that was good and then failed is `flapping`; one that was never good is `unhealthy`.
    """
    deadline = time.monotonic() + seconds
    requests = good_requests = good_in_a_row = drop_count = 0
    last_error = ""
    while good_in_a_row < in_a_row:
        if not should_continue():
            return HealthResult("cancelled", "it was stopped", requests, good_requests)
        error = request_once(
            ip,
            port,
            path,
            expected_status=expected_status,
            contains=contains,
            seconds=min(REQUEST_SECONDS, seconds),
        )
        requests += 1
        if error:
            drop_count += good_in_a_row > 0
            good_in_a_row = 0
            last_error = error
        else:
            good_requests += 1
            good_in_a_row += 1
        if good_in_a_row < in_a_row:
            if time.monotonic() + interval >= deadline:
                code = "flapping" if drop_count else "unhealthy"
                return HealthResult(code, last_error or "it came up too late", requests, good_requests)
            time.sleep(interval)
    return HealthResult("ok", "", requests, good_requests)
