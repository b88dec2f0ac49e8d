"""A POST with an Idempotency-Key is carried out once, tried with threads and connections as in production."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from django.db import connection, connections
from django.utils import timezone
from rest_framework.test import APIClient

from api.idempotency import delete_old_keys
from api.models import ApiToken, IdempotencyKey
from tenants.models import User
from tests.factories import UserFactory

from . import probes
from .conftest import client_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.api.probes")]


@pytest.fixture(autouse=True)
def short_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes.Change, "seconds", 0.02)


def change(
    client: APIClient, key: str | None = None, body: Any = None, path: str = "/api/change/", **headers: str
) -> Any:
    if key is not None:
        headers["Idempotency-Key"] = key
    return client.post(path, {"name": "made"} if body is None else body, headers=headers)


def made() -> int:
    return ApiToken.objects.exclude(name="test").count()


@pytest.fixture
def crowd() -> Iterator[Any]:
    """Run a call many times simultaneously; each thread closes its connection, so that the test database can be dropped."""
    with ThreadPoolExecutor(20) as pool:

        def run(call: Any, times: int = 20) -> list[Any]:
            together = Barrier(times)

            def one(_number: int) -> Any:
                together.wait()
                try:
                    return call()
                finally:
                    connections.close_all()

            return list(pool.map(one, range(times)))

        yield run


class TestTwentyAtOnce:
    def test_without_a_key_each_is_carried_out(self, user: User, client: APIClient, crowd: Any) -> None:
        """Show the race that the next test excludes."""
        answers = crowd(lambda: change(client))

        assert [answer.status_code for answer in answers] == [201] * 20
        assert made() == 20

    def test_under_one_key_one_is_and_all_get_its_answer(
        self, user: User, client: APIClient, crowd: Any
    ) -> None:
        answers = crowd(lambda: change(client, "k"))

        assert [answer.status_code for answer in answers] == [201] * 20
        assert made() == 1
        assert len({answer.content for answer in answers}) == 1
        assert len({answer["Location"] for answer in answers}) == 1
        assert sum("Idempotent-Replayed" in answer for answer in answers) == 19

    def test_when_the_first_is_refused_the_next_is_the_first(self, client: APIClient, crowd: Any) -> None:
        """Both requests roll back, and neither waits for a key that was not stored."""
        answers = crowd(lambda: change(client, "k", {"refuse": "raise"}))

        assert [answer.status_code for answer in answers] == [409] * 20
        assert made() == 0
        assert not IdempotencyKey.objects.exists()

    def test_tokens_are_made_once(self, user: User, crowd: Any) -> None:
        body = {"username": user.username, "password": "demo", "name": "ci"}
        answers = crowd(
            lambda: APIClient().post("/api/v1/auth/tokens/", body, headers={"Idempotency-Key": "k"})
        )

        statuses = [answer.status_code for answer in answers]
        assert statuses.count(201) == made() == 1
        # On a busy machine, one may wait too long for its turn to have its password checked: 429.
        assert {*statuses} <= {201, 409, 429}


def test_a_first_that_takes_too_long_gives_in_progress(user: User, client: APIClient) -> None:
    other = connections.create_connection("default")
    try:
        with other.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute(
                "INSERT INTO portal_api_idempotencykey (user_id, key, request_hash, created_at) VALUES (%s, 'k', '', now())",
                [user.pk],
            )
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '100ms'")
        waited = change(client, "k")
        with other.cursor() as cursor:
            cursor.execute("ROLLBACK")
        after = change(client, "k")
    finally:
        other.close()
        connection.close()

    assert (waited.status_code, waited.json()["code"], waited["Retry-After"]) == (409, "in_progress", "1")
    assert after.status_code == 201
    assert made() == 1


def test_a_replay_is_the_first_answer_to_the_byte(client: APIClient) -> None:
    first, again = change(client, "k"), change(client, "k")

    assert first.content == again.content
    assert (again.status_code, again["Location"], again["ETag"]) == (201, first["Location"], '"1"')
    assert again["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first


def test_a_body_that_means_the_same_is_the_same(client: APIClient) -> None:
    first = client.generic(
        "POST",
        "/api/change/",
        '{"name": "a", "x": 1}',
        content_type="application/json",
        headers={"Idempotency-Key": "k"},
    )
    again = client.generic(
        "POST",
        "/api/change/",
        '{"x":1,"name":"\\u0061"}',
        content_type="application/json",
        headers={"Idempotency-Key": "k"},
    )

    assert first.content == again.content


@pytest.mark.parametrize(
    "other",
    [{"body": {"name": "other"}}, {"path": "/api/change/?dry_run=1"}, {"X-Tenant": "acme"}],
    ids=["body", "path", "tenant"],
)
def test_another_request_under_the_key_is_422_and_changes_nothing(
    client: APIClient, other: dict[str, Any]
) -> None:
    change(client, "k")
    response = change(client, "k", **other)

    assert (response.status_code, response.json()["code"]) == (422, "idempotency_key_reused")
    assert made() == 1


@pytest.mark.parametrize("refuse", ["raise", "return"])
def test_a_refusal_is_not_kept_and_leaves_nothing(client: APIClient, refuse: str) -> None:
    assert change(client, "k", {"refuse": refuse}).status_code == 409
    assert made() == 0
    assert change(client, "k").status_code == 201


def test_an_answer_without_a_body_is_replayed_too(client: APIClient) -> None:
    first, again = (change(client, "k", {"refuse": "nothing"}) for _ in range(2))

    assert (first.status_code, again.status_code, again.content) == (204, 204, b"")
    assert made() == 1


def test_each_user_has_keys_of_his_own(client: APIClient) -> None:
    change(client, "k")

    assert "Idempotent-Replayed" not in change(client_of(UserFactory()), "k", {"name": "theirs"})
    assert made() == 2


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "a\x7f", "a\x00", "caf\xe9", "a\tb"])
def test_a_bad_key_is_400_and_changes_nothing(client: APIClient, key: str) -> None:
    response = change(client, key)

    assert (response.status_code, response.json()["code"]) == (400, "bad_idempotency_key")
    assert made() == 0


def test_the_longest_key_is_fine(client: APIClient) -> None:
    assert change(client, "x" * 255).status_code == change(client, "x" * 255).status_code == 201
    assert made() == 1


def test_a_password_cannot_be_guessed_from_the_hash(client: APIClient, settings: Any) -> None:
    """The hash is keyed: with another SECRET_KEY it differs for the same request."""
    change(client, "k")
    settings.SECRET_KEY = "another"

    assert change(client, "k").status_code == 422


def test_old_keys_are_forgotten_and_may_be_used_again(client: APIClient) -> None:
    for key in ["old", "young"]:
        change(client, key)
    IdempotencyKey.objects.filter(key="old").update(created_at=timezone.now() - timedelta(hours=25))

    assert delete_old_keys() == 1
    assert "Idempotent-Replayed" not in change(client, "old")
    assert "Idempotent-Replayed" in change(client, "young")
