"""The limits of wrong passwords at every page and endpoint, and of simultaneous hashes."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.hashers import Argon2PasswordHasher, MD5PasswordHasher
from django.db import connections
from django.test import Client, RequestFactory
from django.utils import timezone
from rest_framework.test import APIClient

from api import login_throttle, password_hashers
from api.client_address import client_network
from api.domain_errors import LoginBusyError
from api.models import LoginCount
from tenants.models import User
from tests.factories import UserFactory

pytestmark = pytest.mark.django_db
NETWORK = "192.0.2.1"


def page(username: str, password: str, address: str = NETWORK) -> Any:
    return Client(REMOTE_ADDR=address).post("/login/", {"username": username, "password": password})


def admin(username: str, password: str, address: str = NETWORK) -> Any:
    return Client(REMOTE_ADDR=address).post("/admin/login/", {"username": username, "password": password})


def rest(username: str, password: str, address: str = NETWORK) -> Any:
    return APIClient(REMOTE_ADDR=address).post(
        "/api/v1/auth/login", {"username": username, "password": password}
    )


def token(username: str, password: str, address: str = NETWORK) -> Any:
    body = {"username": username, "password": password, "name": "ci"}
    return APIClient(REMOTE_ADDR=address).post("/api/v1/auth/tokens/", body)


DOORS = [page, admin, rest, token]
every_door = pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)


@every_door
def test_many_names_from_one_address_are_cut_off(door: Any, settings: Any) -> None:
    # By the minute, one more would pass every six seconds that the test takes.
    settings.LOGIN_NETWORK_RATE = "10/h"
    answers = [door(f"name-{number}", "wrong") for number in range(20)]

    refused = [answer for answer in answers if answer.status_code == 429]
    assert len(refused) == 10
    assert 1 <= int(refused[0]["Retry-After"]) <= 3600
    # It is one count for all doors.
    assert [other("somebody", "wrong").status_code for other in DOORS].count(429) == len(DOORS)


@pytest.mark.parametrize("door", [page, admin])
@pytest.mark.parametrize(
    ("language", "text"), [("en", "Too many failed sign-ins"), ("zh-hans", "登录失败次数过多")]
)
def test_a_page_says_so_in_the_layout(door: Any, settings: Any, language: str, text: str) -> None:
    settings.LOGIN_FAILURE_LIMIT = 1
    door("somebody", "wrong")

    answer = Client(REMOTE_ADDR=NETWORK, headers={"Accept-Language": language}).post(
        "/login/" if door is page else "/admin/login/", {"username": "somebody", "password": "wrong"}
    )

    assert answer.status_code == 429
    assert int(answer["Retry-After"]) > 0
    assert text in answer.content.decode()
    assert '<a class="brand"' in answer.content.decode()


@every_door
def test_one_name_is_cut_off_even_with_the_right_password(door: Any, settings: Any) -> None:
    settings.LOGIN_FAILURE_LIMIT = 3
    user = UserFactory()
    for _ in range(3):
        door(user.username, "wrong")

    assert door(user.username, "demo").status_code == 429
    assert door(user.username, "demo", address="192.0.2.2").status_code != 429


def test_one_name_from_many_addresses_is_cut_off(settings: Any) -> None:
    settings.LOGIN_COOLOFF_HOURS = 24
    answers = [rest("somebody", "wrong", f"198.51.100.{number}").status_code for number in range(60)]

    assert answers[:30] == [401] * 30
    assert answers[35:] == [429] * 25


def test_another_spelling_is_the_same_name(settings: Any) -> None:
    settings.LOGIN_FAILURE_LIMIT = 3
    answers = [rest(name, "wrong").status_code for name in ("Ann", "ann ", "ＡＮＮ", "aNN")]

    assert answers == [401, 401, 401, 429]


def test_a_company_behind_one_address_signs_in_all_at_once() -> None:
    users = UserFactory.create_batch(50)

    assert {rest(user.username, "demo").status_code for user in users} == {200}


def test_what_is_refused_for_one_name_does_not_weigh_on_its_network(settings: Any) -> None:
    settings.LOGIN_FAILURE_LIMIT = 5
    assert [rest("somebody", "wrong").status_code for _ in range(50)][-1] == 429

    assert rest(UserFactory().username, "demo").status_code == 200
    assert rest("another", "wrong").status_code == 401


def test_a_success_forgives_ones_own_mistakes_and_no_others(settings: Any) -> None:
    settings.LOGIN_NETWORK_RATE = "4/h"
    user = UserFactory()
    for _ in range(4):
        assert rest("somebody", "wrong").status_code == 401

    assert rest(user.username, "demo").status_code == 429


def test_the_old_password_of_a_signed_in_user_is_a_password_too(settings: Any) -> None:
    settings.LOGIN_FAILURE_LIMIT = 3
    client = Client(REMOTE_ADDR=NETWORK)
    client.force_login(UserFactory(is_staff=True))
    form = {"old_password": "wrong", "new_password1": "fjord-lamp-22", "new_password2": "fjord-lamp-22"}

    answers = [client.post("/admin/password_change/", form).status_code for _ in range(4)]

    assert answers == [200, 200, 200, 429]


def test_a_wait_is_told_and_is_enough(settings: Any) -> None:
    settings.LOGIN_FAILURE_LIMIT, settings.LOGIN_COOLOFF_HOURS = 2, 1
    for _ in range(2):
        rest("somebody", "wrong")
    seconds = int(rest("somebody", "wrong")["Retry-After"])
    assert 1700 < seconds <= 1800  # Of two in an hour, one is forgotten every half hour.

    # As if the time had passed.
    for count in LoginCount.objects.all():
        count.empty_at -= timedelta(seconds=seconds)
        count.save()
    assert [rest("somebody", "wrong").status_code for _ in range(2)] == [401, 429]


def test_logins_are_counted_without_redis(settings: Any) -> None:
    settings.LOGIN_FAILURE_LIMIT = 3
    settings.CACHES = {"default": {**settings.CACHES["default"], "LOCATION": "redis://127.0.0.1:9/0"}}

    assert [rest("somebody", "wrong").status_code for _ in range(5)] == [401, 401, 401, 429, 429]


@pytest.mark.django_db(transaction=True)
def test_simultaneous_logins_hash_no_more_passwords_than_the_limit(settings: Any) -> None:
    settings.LOGIN_FAILURE_LIMIT = 5
    together = threading.Barrier(20)

    def one(_number: int) -> int:
        try:
            together.wait()
            status: int = rest("somebody", "wrong").status_code
            return status
        finally:
            connections.close_all()

    with ThreadPoolExecutor(20) as pool:
        statuses = list(pool.map(one, range(20)))

    assert statuses.count(401) == 5
    assert statuses.count(429) == 15


class CountingHasher(MD5PasswordHasher):
    """Counts how often it hashes."""

    hashed = 0

    def encode(self, *args: Any, **kwargs: Any) -> str:
        type(self).hashed += 1
        return str(super().encode(*args, **kwargs))


def test_an_unknown_name_costs_the_same_work_as_a_known_one(settings: Any) -> None:
    settings.PASSWORD_HASHERS = [f"{__name__}.CountingHasher"]
    known, idle = UserFactory(), UserFactory(is_active=False)
    locked = UserFactory()
    locked.set_unusable_password()
    locked.save()
    work = {}
    for name in ("nobody", known.username, idle.username, locked.username):
        CountingHasher.hashed = 0
        rest(name, "wrong")
        work[name] = CountingHasher.hashed

    assert set(work.values()) == {1}


def test_names_are_not_kept(user: User) -> None:
    rest("my-password-by-mistake", "wrong")

    assert LoginCount.objects.count() == 3
    assert "mistake" not in str(list(LoginCount.objects.values()))


def test_empty_counts_are_forgotten() -> None:
    rest("somebody", "wrong")
    LoginCount.objects.create(key="old", empty_at=timezone.now() - timedelta(hours=1))

    assert login_throttle.delete_empty_counts() == 1
    assert LoginCount.objects.count() == 3


# --- Networks ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("64:ff9b::c000:201", "192.0.2.1"),
        ("2001:db8:1:2::1", "2001:db8:1:2::"),
        ("2001:DB8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
        ("", "0.0.0.0"),
        ("nonsense", "0.0.0.0"),
    ],
)
def test_the_network_of_an_address(address: str, network: str) -> None:
    assert client_network(RequestFactory().get("/", REMOTE_ADDR=address)) == network


@pytest.mark.parametrize("hop", ["198.51.100.7", "198.51.100.7:4711", "::ffff:198.51.100.7"])
def test_a_proxys_word_is_read_with_its_port(hop: str, settings: Any) -> None:
    settings.TRUSTED_PROXY_COUNT = 1
    request = RequestFactory().get(
        "/", REMOTE_ADDR="10.0.0.1", headers={"X-Forwarded-For": f"1.1.1.1, {hop}"}
    )

    assert client_network(request) == "198.51.100.7"


def test_a_whole_64_of_ipv6_is_one_client(settings: Any) -> None:
    settings.LOGIN_NETWORK_RATE = "5/h"
    answers = [rest(f"name-{n}", "wrong", f"2001:db8::{n:x}").status_code for n in range(1, 8)]

    assert answers == [401] * 5 + [429] * 2
    assert rest("somebody", "wrong", "2001:db8:0:1::1").status_code == 401


# --- Hashing -----------------------------------------------------------------------------------------------


class TestFewAtOnce:
    @pytest.fixture
    def slots(self, monkeypatch: pytest.MonkeyPatch) -> password_hashers.HashingSlots:
        made = password_hashers.HashingSlots(2)
        monkeypatch.setattr(password_hashers, "slots", made)
        return made

    def test_no_more_than_two_passwords_are_hashed_at_once(
        self, slots: password_hashers.HashingSlots, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        running, most, lock, enter = 0, 0, threading.Lock(), Argon2PasswordHasher.encode

        def counting(self: Any, *args: Any) -> str:
            nonlocal running, most
            with lock:
                running += 1
                most = max(most, running)
            try:
                return str(enter(self, *args))
            finally:
                with lock:
                    running -= 1

        monkeypatch.setattr(Argon2PasswordHasher, "encode", counting)
        hasher = password_hashers.LimitedArgon2PasswordHasher()
        hasher.memory_cost, hasher.time_cost = 8192, 1
        with ThreadPoolExecutor(8) as pool:
            hashes = list(pool.map(lambda n: hasher.encode("secret", f"saltsalt{n}"), range(8)))

        assert most <= 2
        assert all(hasher.verify("secret", one) for one in hashes)

    def test_a_login_without_a_free_slot_is_refused_with_retry_after(
        self, slots: password_hashers.HashingSlots, monkeypatch: pytest.MonkeyPatch, settings: Any
    ) -> None:
        monkeypatch.setattr(password_hashers, "MAX_WAIT_SECONDS", 0.05)
        settings.PASSWORD_HASHERS = ["api.password_hashers.LimitedArgon2PasswordHasher"]
        with slots.acquired(), slots.acquired():
            answers = [rest("somebody", "wrong"), page("somebody", "wrong")]

        for answer in answers:
            assert (answer.status_code, answer["Retry-After"]) == (503, "2")
        assert answers[0].json()["code"] == "login_busy"
        # A password that was not looked at is no wrong one.
        assert rest("somebody", "wrong").status_code == 401
        assert LoginCount.objects.filter(empty_at__gt=timezone.now() + timedelta(seconds=91)).count() == 0

    def test_few_logins_wait_for_a_slot(self) -> None:
        slots = password_hashers.HashingSlots(1)
        for _ in range(1 + password_hashers.WAITERS_PER_SLOT):
            slots._admitted.acquire()

        with pytest.raises(LoginBusyError), slots.acquired():
            pass
