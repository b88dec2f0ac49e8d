"""Clients that send or read slowly, or never, hold no thread of the web process: asked of a real one over real sockets."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from urllib.parse import urlsplit

import pytest
import requests

from tests.web_processes import WebProcess, start_web_process

LOGIN = "POST /api/v1/auth/login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
LIVE = b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
THREADS = 4
# Far less than the portal gives them, far more than an answer takes.
SOON = 8


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory, django_db_setup: None) -> Iterator[WebProcess]:
    """A portal that gives a request a few seconds."""
    folder = tmp_path_factory.mktemp("web")
    with start_web_process(folder, threads=THREADS, environment={"WEB_REQUEST_SECONDS": "3"}) as web:
        yield web


def connect(web: WebProcess, receive_buffer: int = 0) -> socket.socket:
    address = urlsplit(web.url)
    made = socket.socket()
    if receive_buffer:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    made.settimeout(SOON)
    made.connect((address.hostname, address.port))
    return made


@contextmanager
def many(web: WebProcess, count: int, sent: bytes, receive_buffer: int = 0) -> Iterator[list[socket.socket]]:
    """So many connections, on each of which something was sent."""
    with ExitStack() as stack:
        made = [stack.enter_context(connect(web, receive_buffer)) for _ in range(count)]
        for one in made:
            one.sendall(sent)
        time.sleep(0.3)  # Not for the outcome: so that they hold what they can.
        yield made


def is_answered(web: WebProcess) -> bool:
    """Whether a request is answered that reads the body too."""
    live = requests.get(f"{web.url}/health/live", timeout=SOON)
    login = requests.post(f"{web.url}/api/v1/auth/login", json={"a": 1}, timeout=SOON)
    return (live.status_code, login.status_code) == (200, 400)


def answer_on(connection: socket.socket) -> tuple[int, bytes]:
    """The status and body of the next answer, which says its length."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = connection.recv(1)
        assert byte, head
        head += byte
    length = next(
        int(line.partition(b":")[2])
        for line in head.split(b"\r\n")
        if line.lower().startswith(b"content-length")
    )
    body = b""
    while len(body) < length:
        body += connection.recv(length - len(body))
    return int(head.split()[1]), body


HALF_SENT = {
    "bodies": f"{LOGIN}Content-Length: 100\r\n\r\n{{".encode(),
    "bodies that were waited for": f"{LOGIN}Content-Length: 100\r\nExpect: 100-continue\r\n\r\n".encode(),
    "headers": b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: ",
    "a request line": b"G",
    "nothing": b"",
    "the second request": LIVE + f"{LOGIN}Content-Length: 100\r\n\r\n{{".encode(),
    "large bodies": f"{LOGIN}Content-Length: 2000000\r\n\r\n{{".encode(),
    "chunks": f"{LOGIN}Transfer-Encoding: chunked\r\n\r\n5\r\n{{".encode(),
}


@pytest.mark.parametrize("sent", HALF_SENT.values(), ids=HALF_SENT)
def test_half_of_a_request_holds_no_thread(portal: WebProcess, sent: bytes) -> None:
    with many(portal, 34, sent):
        assert is_answered(portal)


def test_a_body_that_does_not_come_is_408_and_the_end(portal: WebProcess) -> None:
    with many(portal, 3, HALF_SENT["bodies"]) as connections:
        for one in connections:
            status, body = answer_on(one)
            assert (status, json.loads(body)["code"]) == (408, "too_slow")
            assert one.recv(100) == b""


def test_a_body_that_comes_drop_by_drop_is_408(portal: WebProcess) -> None:
    with connect(portal) as one:
        one.sendall(f"{LOGIN}Content-Length: 100000\r\n\r\n".encode())
        until = time.monotonic() + SOON
        one.settimeout(0.1)
        while time.monotonic() < until:
            try:
                one.sendall(b" ")
                if one.recv(12) == b"HTTP/1.1 408":
                    return
            except TimeoutError:
                pass
        pytest.fail("It was never refused.")


def test_readers_who_do_not_read_leave_half_of_the_threads(portal: WebProcess) -> None:
    page = b"GET /static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui-bundle.js HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    with many(portal, 12, page * 12, receive_buffer=4096):
        time.sleep(1.5)  # So that those who find no place are cut off.
        for _ in range(5):
            assert is_answered(portal)


def test_a_client_that_never_closes_its_end_holds_nobody_up(portal: WebProcess) -> None:
    with many(portal, 34, LIVE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")):
        assert is_answered(portal)


def test_a_request_comes_in_pieces_and_two_come_at_once(portal: WebProcess) -> None:
    body = json.dumps({"username": "x" * 200}).encode()
    request = f"{LOGIN}Content-Length: {len(body)}\r\n\r\n".encode() + body
    with connect(portal) as one:
        for start in range(0, len(request), 40):
            one.sendall(request[start : start + 40])
            time.sleep(0.002)
        assert answer_on(one)[0] == 400
        one.sendall(LIVE + request + LIVE[:10])
        assert [answer_on(one)[0] for _ in range(2)] == [200, 400]
        one.sendall(LIVE[10:])
        assert answer_on(one)[0] == 200


def test_a_client_that_waits_is_told_to_continue(portal: WebProcess) -> None:
    with connect(portal) as one:
        one.sendall(f"{LOGIN}Content-Length: 2\r\nExpect: 100-continue\r\n\r\n".encode())
        assert one.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        one.sendall(b"{}")
        assert answer_on(one)[0] == 400


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ("Content-Length: 1048577\r\n", 413, "too_large"),
        ("Content-Length: 99999999999999\r\n", 413, "too_large"),
        ("Transfer-Encoding: chunked\r\n", 411, "length_required"),
        ("X-A: " + "x" * 70_000 + "\r\n", 431, "too_large"),
        ("Content-Length: 1\r\nContent-Length: 2\r\n", 400, None),
        ("Content-Length: x\r\n", 400, None),
        ("Content-Length: -1\r\n", 400, None),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400, None),
        ("A: 1\r\n" * 70, 431, None),
    ],
    ids=lambda value: str(value)[:30].strip(),
)
def test_what_cannot_be_read_is_answered_once_and_the_connection_ends(
    portal: WebProcess, headers: str, status: int, code: str | None
) -> None:
    with connect(portal) as one:
        one.sendall(f"{LOGIN}{headers}\r\n".encode() + b"0\r\n\r\n" + LIVE)
        answered, body = answer_on(one)
        assert answered == status
        assert code is None or json.loads(body)["code"] == code
        # What follows may be the rest of a body, and is never taken for a request.
        with suppress(ConnectionResetError):
            assert one.recv(100) == b""
