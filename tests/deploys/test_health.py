"""The health check against real sockets: what is up, what never comes up, what flaps, and what tries to hold us."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

import pytest

from deploys.executors import Code, ExecutorError, health
from deploys.executors.addresses import check_host_address

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nversion 2"
BAD = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
MOVED = b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/latest/\r\n\r\n"
QUICK = {"in_a_row": 3, "seconds": 0.4, "interval": 0.01}


@contextlib.contextmanager
def service(*answers, drip=0.0):
    """A server that gives these answers one after another, the last one for ever. Yields its port and its requests."""
    asked = []
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)

        def serve():
            while not stop.is_set():
                try:
                    connection, _address = listener.accept()
                except OSError:
                    continue
                with connection, contextlib.suppress(OSError):
                    asked.append(connection.recv(65536))
                    answer = answers[min(len(asked), len(answers)) - 1]
                    for part in [answer[i : i + 1] for i in range(len(answer))] if drip else [answer]:
                        connection.sendall(part)
                        if stop.wait(drip):
                            break

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1], asked
        finally:
            stop.set()
            thread.join()


def test_a_service_with_successive_good_responses_is_healthy():
    with service(OK) as (port, asked):
        result = health.wait_until_healthy("127.0.0.1", port, path="/ready?full=1", **QUICK)

    assert (result.code, result.requests, result.good_requests) == ("ok", 3, 3)
    assert asked[0].startswith(b"GET /ready?full=1 HTTP/1.1\r\nHost: 127.0.0.1:")


def test_a_service_that_starts_late_is_healthy():
    with service(BAD, BAD, OK) as (port, _asked):
        assert health.wait_until_healthy("127.0.0.1", port, **QUICK).code == "ok"


def test_a_service_that_never_starts_is_unhealthy():
    with service(BAD) as (port, _asked):
        result = health.wait_until_healthy("127.0.0.1", port, **QUICK)

    assert (result.code, result.last_error) == ("unhealthy", "status 503 instead of 200")


def test_a_closed_port_is_unhealthy():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    result = health.wait_until_healthy("127.0.0.1", port, **QUICK)

    assert (result.code, result.last_error) == ("unhealthy", "no connection: Connection refused")


def test_a_service_that_fails_again_is_flapping():
    with service(*[OK, BAD] * 500) as (port, _asked):
        assert health.wait_until_healthy("127.0.0.1", port, **QUICK).code == "flapping"


def test_a_service_that_flaps_at_first_becomes_healthy():
    with service(OK, BAD, OK, OK, BAD, OK) as (port, _asked):
        assert health.wait_until_healthy("127.0.0.1", port, **QUICK).code == "ok"


def test_an_old_process_that_still_answers_is_not_the_new_version():
    with service(OK) as (port, _asked):
        result = health.wait_until_healthy("127.0.0.1", port, contains="version 3", **QUICK)
        assert (result.code, result.last_error) == ("unhealthy", "the answer does not hold the expected text")
        assert health.wait_until_healthy("127.0.0.1", port, contains="version 2", **QUICK).code == "ok"


def test_a_redirect_is_not_followed():
    with service(MOVED) as (port, asked):
        assert health.request_once("127.0.0.1", port, "/") == "status 302 instead of 200"
        assert health.request_once("127.0.0.1", port, "/", expected_status=302) == ""

    assert len(asked) == 2


@pytest.mark.parametrize("contains", ["", "version 2"])
def test_a_slow_response_ends_at_the_time_limit(contains):
    with service(b"HTTP/1.1 200 OK" + b"x" * 10_000, drip=0.02) as (port, _asked):
        begun = time.monotonic()
        trouble = health.request_once("127.0.0.1", port, "/", contains=contains, seconds=0.3)

    assert trouble
    assert time.monotonic() - begun < 1


@pytest.mark.parametrize("answer", [b"SSH-2.0-OpenSSH_9.2\r\n", b"\x00\xff\r\n", b"HTTP/1.1\r\n", b""])
def test_a_response_that_is_not_http_is_an_error(answer):
    with service(answer) as (port, _asked):
        assert health.request_once("127.0.0.1", port, "/") == "the answer is not HTTP"


def test_a_check_ends_when_should_continue_is_false():
    with service(BAD) as (port, asked):
        result = health.wait_until_healthy(
            "127.0.0.1", port, seconds=30, interval=0.01, should_continue=lambda: len(asked) < 3
        )

    assert (result.code, result.requests) == ("cancelled", 3)


@pytest.mark.parametrize("allow_local", [True, False])
@pytest.mark.parametrize(
    "ip", ["0.0.0.0", "::", "224.0.0.1", "ff02::1", "255.255.255.255", "169.254.169.254", "::ffff:0.0.0.0"]
)
def test_invalid_host_addresses_are_refused(ip, allow_local):
    with pytest.raises(ExecutorError) as refused:
        check_host_address(ip, allow_local=allow_local)

    assert refused.value.code is Code.ADDRESS_REFUSED


@pytest.mark.parametrize("ip", ["127.0.0.1", "::1", "169.254.1.1", "::ffff:127.0.0.1", "fe80::1"])
def test_the_portals_own_machine_and_link_are_refused_unless_allowed(ip):
    with pytest.raises(ExecutorError) as refused:
        check_host_address(ip, allow_local=False)

    assert refused.value.code is Code.ADDRESS_REFUSED
    check_host_address(ip, allow_local=True)


@pytest.mark.parametrize("ip", ["10.0.0.5", "203.0.113.5", "2001:4860:4860::8888"])
def test_other_addresses_are_allowed(ip):
    check_host_address(ip, allow_local=False)
