"""Bounds of answers in size and time: exceeding one raises `CloudUnavailableError`, and the request is not repeated."""

import gzip
import itertools
import json
import re
import socket
import threading
import tracemalloc
import zlib
from contextlib import contextmanager, suppress

import pytest

from openstack_client import (
    Cloud,
    CloudCredentials,
    CloudError,
    CloudUnavailableError,
    ConnectionRules,
    InvalidCloudRequestError,
    listing_bounds,
    server_groups,
)
from openstack_client.http_session import HttpSession

MIB = 1024 * 1024
# The server ends each connection, so it says so: a client that keeps one would send its next request into a closed one.
OK = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/json\r\n"


def read_request(connection):
    """Read one request whole: what is left unread when a connection is closed makes the kernel reset it."""
    received = b""
    while part := connection.recv(65536):
        received += part
        head, end, body = received.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
        if end and len(body) >= (int(length[1]) if length else 0):
            break
    return received.decode("latin-1")


class Server:
    """Answers each connection with what `answer` yields, until the client goes away; remembers what was sent to it."""

    def __init__(self, answer, address="127.0.0.1"):
        self.answer = answer
        self.requests = []
        self.connection = None
        self.listener = socket.create_server((address, 0))
        self.port = self.listener.getsockname()[1]
        self.url = f"http://{address}:{self.port}"
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connection = connection
            with connection:
                connection.settimeout(10)
                try:
                    self.requests.append(read_request(connection))
                    for part in self.answer():
                        connection.sendall(part)
                        if self.stopped.is_set():
                            return
                    connection.shutdown(socket.SHUT_WR)
                    connection.recv(65536)
                except OSError:
                    pass

    def close(self):
        self.stopped.set()
        for one in filter(None, (self.listener, self.connection)):
            with suppress(OSError):  # It may be closed by now.
                one.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(10)


@contextmanager
def serving(answer, address="127.0.0.1"):
    server = Server(answer if callable(answer) else lambda: [answer], address)
    try:
        yield server
    finally:
        server.close()


def session(**rules):
    return HttpSession(
        timeout=(5, 30),
        before=lambda: None,
        pool_size=2,
        retry_delay=0,
        auth_url="http://keystone.example/v3",
        rules=ConnectionRules(**rules),
        ca_bundle=None,
    )


def refused(server, method="GET", **rules):
    with session(**rules) as http, pytest.raises(CloudUnavailableError) as caught:
        http.request(method, f"{server.url}/servers?limit=7")
    assert f"{method} {server.url}/servers was not read to its end" in caught.value.message
    assert caught.value.__context__ is None
    assert len(server.requests) == 1
    return caught.value.message


def packed(size, *, wbits):
    packer = zlib.compressobj(9, wbits=wbits)
    return b"".join([packer.compress(b" " * MIB) for _ in range(size // MIB)]) + packer.flush()


def with_length(body, *headers):
    return OK + b"".join(h + b"\r\n" for h in headers) + b"Content-Length: %d\r\n\r\n" % len(body) + body


def in_one_chunk(body, *headers):
    head = OK + b"".join(h + b"\r\n" for h in headers) + b"Transfer-Encoding: chunked\r\n\r\n"
    return head + b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n"


GZIP = packed(24 * MIB, wbits=31)
BOMBS = {
    "gzip": (GZIP, b"gzip"),
    "deflate": (packed(24 * MIB, wbits=15), b"deflate"),
    "raw deflate": (packed(24 * MIB, wbits=-15), b"deflate"),
    "twice": (gzip.compress(GZIP), b"gzip, gzip"),
    "members": (gzip.compress(b" " * MIB) * 24, b"x-gzip"),
}


@pytest.mark.parametrize("frame", [with_length, in_one_chunk])
@pytest.mark.parametrize("name", BOMBS)
def test_compressed_answer_is_bounded_by_its_decompressed_size(name, frame):
    body, encoding = BOMBS[name]
    assert len(body) < MIB
    with serving(frame(body, b"Content-Encoding: " + encoding)) as server:
        tracemalloc.start()
        try:
            assert "more than 2 MiB" in refused(server, answer_bytes=2 * MIB)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak < 8 * MIB


def test_endless_answer_is_aborted():
    with serving(lambda: itertools.chain([OK + b"\r\n"], itertools.repeat(b" " * 65536))) as server:
        assert "more than 1 MiB" in refused(server, answer_bytes=MIB)


def test_endless_compressed_answer_is_aborted():
    empty = gzip.compress(b"") * 1000
    start = OK + b"Content-Encoding: gzip\r\n\r\n"
    with serving(lambda: itertools.chain([start], itertools.repeat(empty))) as server:
        assert "more than" in refused(server, answer_bytes=MIB)


@pytest.mark.parametrize(
    "endless",
    [b"X-Filler: " + b"x" * 60_000 + b"\r\n", b"HTTP/1.1 100 Continue\r\n\r\n" * 100],
    ids=["headers", "informational answers"],
)
def test_endless_headers_are_aborted(endless):
    start = OK if b"Filler" in endless else b""
    with serving(lambda: itertools.chain([start], itertools.repeat(endless))) as server:
        assert "headers of more than" in refused(server)


def dripping(start, drop):
    def answer():
        yield start
        pause = threading.Event()
        while True:
            pause.wait(0.02)
            yield drop

    return answer


@pytest.mark.parametrize(
    ("start", "drop"),
    [
        (b"", b"H"),
        (OK, b"X-A: b\r\n"),
        (OK + b"Content-Length: 100000\r\n\r\n", b" "),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n"),
    ],
    ids=["status line", "headers", "body", "chunks", "trailers"],
)
def test_slow_answer_is_aborted_after_its_total_time(start, drop):
    with serving(dripping(start, drop)) as server:
        assert "took longer than 0.3 seconds" in refused(server, answer_seconds=0.3)


@pytest.mark.parametrize("item", [b"[]", b"{}", b"1", b'{"a":1}'])
def test_answer_with_too_many_values_is_not_parsed(item):
    body = b"[" + b",".join([item] * 1_200_000) + b"]"
    with serving(with_length(gzip.compress(body, 1), b"Content-Encoding: gzip")) as server:
        assert "values" in refused(server)


def test_large_answer_within_the_rules_is_read():
    said = {"servers": [{"id": str(n), "name": "x" * 3000} for n in range(1000)]}
    body = json.dumps(said).encode()
    for answer in (
        with_length(body),
        in_one_chunk(body),
        with_length(gzip.compress(body, 1), b"Content-Encoding: gzip"),
    ):
        with serving(answer) as server, session() as http:
            assert http.get(f"{server.url}/servers").json() == said


def test_login_with_a_too_large_answer_is_unavailable():
    with serving(with_length(GZIP, b"Content-Encoding: gzip")) as server:
        credentials = CloudCredentials(
            auth_url=f"{server.url}/v3", username="u", password="p", project_name="p"
        )
        with (
            Cloud(credentials, rules=ConnectionRules(answer_bytes=MIB)) as cloud,
            pytest.raises(CloudUnavailableError, match="more than 1 MiB"),
        ):
            cloud.check()


def test_listing_is_bounded(cloud, control, monkeypatch):
    control("POST", "seed", {"project": "demo", "servers": 7})
    monkeypatch.setattr(listing_bounds, "MAX_OBJECTS", 6)
    with pytest.raises(CloudUnavailableError, match="more than 6 objects"):
        list(cloud.compute.server_pages(page_size=2))
    monkeypatch.setattr(listing_bounds, "MAX_OBJECTS", 7)
    assert sum(map(len, cloud.compute.server_pages(page_size=2))) == 7
    monkeypatch.setattr(listing_bounds, "MAX_PAGES", 3)
    with pytest.raises(CloudUnavailableError, match="more than 3 pages"):
        list(cloud.compute.server_pages(page_size=2))


def test_listing_of_server_groups_is_bounded_too(cloud, monkeypatch):
    for number in range(3):
        cloud.compute.create_server_group(f"spread-{number}", "anti-affinity")
    monkeypatch.setattr(server_groups, "_PAGE_SIZE", 1)
    monkeypatch.setattr(listing_bounds, "MAX_PAGES", 4)
    assert len(cloud.compute.list_server_groups()) == 3
    monkeypatch.setattr(listing_bounds, "MAX_PAGES", 3)
    with pytest.raises(CloudUnavailableError, match="more than 3 pages"):
        cloud.compute.list_server_groups()
    monkeypatch.setattr(listing_bounds, "MAX_OBJECTS", 2)
    with pytest.raises(CloudUnavailableError, match="more than 2 objects"):
        cloud.compute.find_server_groups("spread-1")


# --- Where a request goes ----------------------------------------------------------------------------------


def redirect(status, location):
    head = (
        f"HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )
    return head.encode()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_redirect_to_another_host_is_refused(status, method):
    with serving(with_length(b"{}"), "127.0.0.3") as other:
        locations = [f"{other.url}/x", f"//127.0.0.3:{other.port}/x", f"http://u:p@127.0.0.3:{other.port}/x"]
        for location in [*locations, "ftp://127.0.0.3/x", "http://[", "http://127.0.0.3:99999/", "\x1b[2J"]:
            with serving(redirect(status, location), "127.0.0.2") as server, session() as http:
                with pytest.raises(InvalidCloudRequestError) as caught:
                    http.request(method, f"{server.url}/v3", headers={"X-Auth-Token": "t"}, data=b"secret")
                assert "redirect" in caught.value.message and "\x1b" not in caught.value.message
                assert "u:p" not in caught.value.message
        assert other.requests == []


@pytest.mark.parametrize("absolute", [True, False])
def test_redirect_within_the_host_is_followed_for_safe_methods_only(absolute):
    """Nova redirects /v2.1 to /v2.1/."""
    answers = iter([])

    with serving(lambda: [next(answers)]) as server, session() as http:
        location = f"{server.url}/v2.1/?a=b" if absolute else "/v2.1/?a=b"
        answers = iter([redirect(302, location), with_length(b"{}")])
        assert http.get(f"{server.url}/v2.1", params={"x": "y"}).json() == {}
        assert [r.split(" ")[1] for r in server.requests] == ["/v2.1?x=y", "/v2.1/?a=b"]
        answers = iter([redirect(307, location)])
        with pytest.raises(InvalidCloudRequestError, match="redirects POST"):
            http.post(f"{server.url}/v2.1", data=b"x")


def test_redirect_loop_is_refused():
    with serving(lambda: [redirect(302, f"/{len(server.requests)}")]) as server, session() as http:
        with pytest.raises(InvalidCloudRequestError, match="loop"):
            http.get(f"{server.url}/x")
        assert len(server.requests) == 4


def test_body_of_a_redirect_is_bounded():
    answer = redirect(302, "/y").replace(b"Content-Length: 0", b"Content-Encoding: gzip")
    with serving(answer + GZIP) as server:
        assert "more than 1 MiB" in refused(server, answer_bytes=MIB)


@pytest.mark.parametrize(
    "url", ["ftp://127.0.0.2/x", "file:///etc/passwd", "http://u:p@127.0.0.2:9/", "http://["]
)
def test_address_that_is_not_http_is_refused(url):
    with (
        session() as http,
        pytest.raises(InvalidCloudRequestError, match=r"leads to an (invalid )?address") as caught,
    ):
        http.get(url)
    assert "u:p" not in caught.value.message


def test_proxies_and_netrc_of_the_environment_are_ignored(tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text("machine 127.0.0.2 login root password hush\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with (
        serving(with_length(b"{}"), "127.0.0.2") as server,
        serving(with_length(b"{}"), "127.0.0.3") as proxy,
        session() as http,
    ):
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        http.get(f"{server.url}/x")
        assert proxy.requests == []
        assert "authorization" not in server.requests[0].lower()


def test_proxy_of_the_rules_is_used_and_the_target_is_checked():
    def check(host, port):
        asked.append((host, port))
        if host == "unknown.example":
            raise OSError
        if host == "127.0.0.1":
            raise InvalidCloudRequestError("not there")

    asked = []
    rules = {"check": check, "connect": lambda *_: pytest.fail("the proxy is connected to directly")}
    with serving(with_length(b"{}"), "127.0.0.3") as proxy, session(proxy=proxy.url, **rules) as http:
        http.get("http://unknown.example/x")
        with pytest.raises(InvalidCloudRequestError):
            http.get("http://127.0.0.1:5432/x")
        assert [r.split("\r\n")[0] for r in proxy.requests] == ["GET http://unknown.example/x HTTP/1.1"]
        assert asked == [("unknown.example", 80), ("127.0.0.1", 5432)]


def test_answers_through_a_proxy_are_bounded():
    with (
        serving(with_length(GZIP, b"Content-Encoding: gzip")) as proxy,
        session(proxy=proxy.url, answer_bytes=MIB) as http,
        pytest.raises(CloudError, match="1 MiB"),
    ):
        http.get("http://unknown.example/x")


def test_cookies_are_not_stored():
    with serving(with_length(b"{}", b"Set-Cookie: a=b; Path=/")) as server, session() as http:
        http.get(f"{server.url}/x")
        http.get(f"{server.url}/x")
        assert "cookie" not in server.requests[1].lower()
