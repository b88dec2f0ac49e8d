import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.core.cache import cache, caches
from django.db import connections
from rest_framework.test import APIClient

from api import throttling
from api.throttling import parse_rate
from tests.factories import UserFactory

from .conftest import client_of

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.api.probes")]
ME, TOKENS, LOGIN = "/api/v1/auth/me", "/api/v1/auth/tokens/", "/api/v1/auth/login"


@pytest.fixture(autouse=True)
def rates(settings: Any) -> None:
    rates = {"read": "3/h", "change": "2/h"}
    settings.REST_FRAMEWORK = {**settings.REST_FRAMEWORK, "DEFAULT_THROTTLE_RATES": rates}


def test_reading_is_cut_off_at_its_rate_and_says_when_to_come_back(client: APIClient) -> None:
    statuses = [client.get(ME).status_code for _ in range(3)]
    refused = client.get(ME)

    assert statuses == [200] * 3
    assert (refused.status_code, refused.json()["code"]) == (429, "throttled")
    assert 1 <= int(refused["Retry-After"]) <= 3600


def test_each_class_of_action_counts_by_itself(client: APIClient) -> None:
    assert [client.get(ME).status_code for _ in range(4)][-1] == 429
    assert [client.post("/api/echo/", {}).status_code for _ in range(3)] == [200, 200, 429]


def test_each_user_counts_by_himself(client: APIClient) -> None:
    assert [client.get(ME).status_code for _ in range(4)][-1] == 429
    assert client_of(UserFactory()).get(ME).status_code == 200


def test_anonymous_logins_count_by_address_whatever_they_claim(db: None) -> None:
    def login(address: str, claimed: str) -> int:
        status: int = (
            APIClient(REMOTE_ADDR=address).post(LOGIN, {}, headers={"X-Forwarded-For": claimed}).status_code
        )
        return status

    assert [login("192.0.2.1", f"198.51.100.{n}") for n in range(3)] == [400, 400, 429]
    assert login("192.0.2.2", "198.51.100.1") == 400


def test_the_next_window_starts_afresh(client: APIClient, settings: Any) -> None:
    rates = {"read": "1/s"}
    settings.REST_FRAMEWORK = {**settings.REST_FRAMEWORK, "DEFAULT_THROTTLE_RATES": rates}
    while client.get(ME).status_code == 200:
        pass
    time.sleep(float(client.get(ME).headers.get("Retry-After", 1)))

    assert client.get(ME).status_code == 200


@pytest.mark.django_db(transaction=True)
def test_simultaneous_requests_do_not_pass_the_rate(client: APIClient) -> None:
    def one(_number: int) -> int:
        try:
            status: int = client.get(ME).status_code
            return status
        finally:
            connections.close_all()

    with ThreadPoolExecutor(10) as pool:
        statuses = list(pool.map(one, range(20)))

    assert statuses.count(200) == 3
    assert statuses.count(429) == 17


class TestCacheAway:
    @pytest.fixture(params=["refuses", "never answers"])
    def no_cache(self, request: pytest.FixtureRequest, settings: Any) -> Iterator[None]:
        """Configure a cache whose port is closed, or accepts connections without a response."""
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            if request.param == "never answers":
                silent.listen(50)
            config = settings.CACHES["default"]
            location = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
            settings.CACHES = {"default": {**config, "LOCATION": location}}
            yield
            caches["default"].close()

    def test_without_the_cache_requests_pass_and_one_line_is_logged(
        self, client: APIClient, no_cache: None, caplog: pytest.LogCaptureFixture
    ) -> None:
        started = time.monotonic()
        statuses = [client.get(ME).status_code for _ in range(10)]

        assert statuses == [200] * 10
        assert time.monotonic() - started < 3
        assert caplog.text.count("throttle_cache_unavailable") == 1

    def test_counting_goes_on_when_it_is_back(
        self, client: APIClient, no_cache: None, settings: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert client.get(ME).status_code == 200
        monkeypatch.setattr(throttling, "CACHE_PAUSE_SECONDS", 0.0)
        settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
        cache.clear()

        assert [client.get(ME).status_code for _ in range(4)] == [200, 200, 200, 429]


@pytest.mark.parametrize(
    ("rate", "parsed"), [("30/min", (30, 60)), ("1/s", (1, 1)), ("5/hour", (5, 3600)), ("9/day", (9, 86400))]
)
def test_rates(rate: str, parsed: tuple[int, int]) -> None:
    assert parse_rate(rate) == parsed


@pytest.mark.parametrize("rate", ["", "x", "30", "/min", "30/week", "-1/s"])
def test_a_wrong_rate_says_so(rate: str) -> None:
    with pytest.raises(ValueError, match="30/min"):
        parse_rate(rate)
