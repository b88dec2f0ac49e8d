"""The headers `If-Match` and `Prefer`, and those with the client's address."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import RequestFactory
from hypothesis import given, settings
from hypothesis import strategies as st
from rest_framework.request import Request

from api.client_address import client_address, client_network
from api.domain_errors import DomainError
from api.errors import status_of
from api.preconditions import check_if_match, etag_of
from api.prefer import parse_preferred_wait


@pytest.mark.parametrize(
    "header",
    [None, "*", " * ", ' "3" ', '"1", "3"', '"1","3"', ',"3",, ', 'W/"3"', 'W/"1", W/"3"']
    # What proxies make of our tag: each way to compress, each way to say so.
    + [
        f'{weak}"3{mark}{kind}"'
        for weak in ("", "W/")
        for mark in "-;:"
        for kind in ("gzip", "br", "zstd", "deflate")
    ]
    + ['"3--gzip"', '"3-GZIP"'],
)
def test_if_match_lets_through(header: str | None) -> None:
    check_if_match(header, 3)


@pytest.mark.parametrize(
    "header",
    ['"2"', '"33"', 'W/"2"', '"2-gzip"', '"-gzip"', '"3-gzip-gzip"', '"3-x"', '""', '"1", "2-br"', '"\xe9"'],
)
def test_if_match_refuses(header: str) -> None:
    with pytest.raises(DomainError) as caught:
        check_if_match(header, 3)

    assert (status_of(caught.value), caught.value.code) == (412, "precondition_failed")
    assert '"3"' in str(caught.value.detail)


@pytest.mark.parametrize(
    "header",
    [
        "",
        " ",
        ",",
        "3",
        '"3',
        '3"',
        "null",
        '"1" "3"',
        'w/"3"',
        "W/3",
        '"3"-gzip',
        '"3 "',
        '"3", *',
        "*, *",
        '"3"x',
        "'3'",
        '"\x00"',
        '"3",' * 1000,
        '"' * 999,
        "," * 3000,
    ],
)
def test_an_if_match_that_is_no_list_of_tags_is_400(header: str) -> None:
    with pytest.raises(DomainError) as caught:
        check_if_match(header, 3)

    assert (status_of(caught.value), caught.value.code) == (400, "bad_if_match")


def test_a_time_serves_as_a_version_to_the_microsecond() -> None:
    read = datetime(2030, 1, 1, 12, 0, 0, 1, tzinfo=UTC)
    check_if_match(etag_of(read), read)
    with pytest.raises(DomainError):
        check_if_match(etag_of(read), read.replace(microsecond=2))


def wait_of(header: str | None) -> int:
    headers = {} if header is None else {"Prefer": header}
    return parse_preferred_wait(Request(RequestFactory().get("/", headers=headers)))


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("wait=5", 5),
        ("WAIT = 5", 5),
        ('wait="5"', 5),
        ("respond-async, wait=5", 5),
        ("wait=5; x=y", 5),
        ("wait=30", 30),
        ("wait=31", 30),
        ("wait=" + "9" * 5000, 30),
        ("wait=2, wait=9", 2),
        ("wait=0", 0),
        (None, 0),
        ("", 0),
        ("wait", 0),
        ("wait=", 0),
        ("wait=-1", 0),
        ("wait=1.5", 0),
        ("wait=x", 0),
        ("wait=²", 0),
        ('wait="', 0),
        ("waits=5", 0),
        ("return=minimal; wait=5", 0),
    ],
)
def test_prefer_wait(header: str | None, seconds: int) -> None:
    assert wait_of(header) == seconds


@settings(deadline=None)
@given(st.text(st.characters(max_codepoint=255, exclude_characters="\r\n")))
def test_no_preference_is_an_error(header: str) -> None:
    assert 0 <= wait_of(header) <= 30


def request_from(address: str, forwarded: str | None = None) -> Any:
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
    return RequestFactory().get("/", REMOTE_ADDR=address, headers=headers)


@pytest.mark.parametrize(
    ("proxies", "forwarded", "address"),
    [
        (0, None, "192.0.2.1"),
        (0, "198.51.100.7", "192.0.2.1"),
        (1, "198.51.100.7", "198.51.100.7"),
        (1, "203.0.113.66, 198.51.100.7", "198.51.100.7"),
        (2, "203.0.113.66, 198.51.100.7, 10.0.0.1", "198.51.100.7"),
        (3, "198.51.100.7", "198.51.100.7"),
        (1, None, "192.0.2.1"),
        (1, "", "192.0.2.1"),
        (1, "garbage", "0.0.0.0"),
        (1, "2001:DB8::1", "2001:db8::1"),
    ],
)
def test_only_the_entries_of_trusted_proxies_are_used(
    settings: Any, proxies: int, forwarded: str | None, address: str
) -> None:
    settings.TRUSTED_PROXY_COUNT = proxies

    assert client_address(request_from("192.0.2.1", forwarded)) == address


def test_a_socket_without_an_address() -> None:
    assert client_network(request_from("")) == "0.0.0.0"


def test_an_ipv6_network_counts_as_one() -> None:
    assert client_network(request_from("2001:db8::1")) == client_network(request_from("2001:db8::ffff"))
    assert client_network(request_from("2001:db8::1")) != client_network(request_from("2001:db8:0:1::1"))
