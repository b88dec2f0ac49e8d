from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils.dateparse import parse_datetime
from rest_framework.test import APIClient

from api.models import ApiToken, IdempotencyKey
from tenants.models import User
from tenants.scoping import Role
from tests.factories import MembershipFactory, UserFactory

from .conftest import client_of

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.api.probes")]
LOGIN = "/api/v1/auth/login"
TOKENS = "/api/v1/auth/tokens/"


def login(username: str, password: str, **headers: str) -> Any:
    return APIClient().post(LOGIN, {"username": username, "password": password}, headers=headers)


class TestLogin:
    def test_opens_a_session(self, user: User, anonymous: APIClient) -> None:
        response = anonymous.post(LOGIN, {"username": user.username, "password": "demo"})

        assert response.status_code == 200
        assert response.json()["username"] == user.username
        assert response["Cache-Control"] == "no-store"
        assert anonymous.get("/api/v1/auth/me").json() == response.json()

    def test_gives_the_session_a_new_key(self, user: User) -> None:
        browser = APIClient()
        browser.force_login(UserFactory())
        before = browser.session.session_key
        browser.post(LOGIN, {"username": user.username, "password": "demo"})

        assert browser.session.session_key != before

    def test_wrong_password_unknown_user_and_switched_off_look_the_same(self, user: User) -> None:
        User.objects.create(username="idle", is_active=False, password=user.password)
        answers = [login(user.username, "wrong"), login("nobody", "demo"), login("idle", "demo")]

        for answer in answers:
            assert answer.status_code == 401
            assert answer["WWW-Authenticate"] == "Token"
            assert {**answer.json(), "request_id": ""} == {**answers[0].json(), "request_id": ""}
        assert answers[0].json()["code"] == "wrong_credentials"

    def test_many_failures_lock_the_name_out_even_with_the_right_password(
        self, user: User, settings: Any
    ) -> None:
        settings.LOGIN_FAILURE_LIMIT = 3
        answers = [login(user.username, "wrong") for _ in range(4)]
        locked = login(user.username, "demo")

        assert [answer.status_code for answer in answers] == [401, 401, 401, 429]
        assert answers[-1].json()["code"] == "locked_out"
        assert (locked.status_code, locked.json()["code"]) == (429, "locked_out")
        assert 0 < int(locked["Retry-After"]) <= 900
        assert login(UserFactory().username, "demo").status_code == 200

    def test_a_forged_forwarding_header_does_not_evade_the_lock(self, user: User, settings: Any) -> None:
        settings.LOGIN_FAILURE_LIMIT = 3
        for number in range(4):
            last = login(user.username, "wrong", **{"X-Forwarded-For": f"198.51.100.{number}"})

        assert last.status_code == 429

    def test_making_tokens_is_locked_out_likewise(self, user: User, settings: Any) -> None:
        settings.LOGIN_FAILURE_LIMIT = 2
        for _ in range(3):
            last = APIClient().post(TOKENS, {"username": user.username, "password": "wrong", "name": "x"})

        assert (last.status_code, last.json()["code"]) == (429, "locked_out")
        assert login(user.username, "demo").status_code == 429

    def test_success_forgives_earlier_failures(self, user: User, settings: Any) -> None:
        settings.LOGIN_FAILURE_LIMIT = 3
        right = {"username": user.username, "password": "demo", "name": "x"}
        for _ in range(3):
            assert login(user.username, "wrong").status_code == 401
            assert login(user.username, "wrong").status_code == 401
            assert APIClient().post(TOKENS, right).status_code == 201

    @pytest.mark.parametrize(
        ("body", "fields"),
        [
            ({}, {"username", "password"}),
            ({"username": "a", "password": "b", "remember": True}, {"remember"}),
            ({"username": ["a"], "password": {}}, {"username", "password"}),
            ({"username": "a" * 151, "password": "b" * 1025}, {"username", "password"}),
        ],
    )
    def test_bad_bodies_are_400_by_field(self, body: dict[str, Any], fields: set[str], db: None) -> None:
        response = APIClient().post(LOGIN, body)

        assert response.status_code == 400
        assert set(response.json()["errors"]) == fields

    def test_a_form_from_another_site_is_refused(self, user: User) -> None:
        response = APIClient().post(
            LOGIN, f"username={user.username}&password=demo", content_type="application/x-www-form-urlencoded"
        )

        assert response.status_code == 415

    def test_neither_password_nor_token_is_logged(self, user: User, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level("INFO")
        login(user.username, "wrong-horse")
        login(user.username, "demo")
        made = (
            APIClient()
            .post(TOKENS, {"username": user.username, "password": "demo", "name": "nightly"})
            .json()
        )

        for event in ["login_failed", "token_made"]:
            assert event in caplog.text
        assert "wrong-horse" not in caplog.text
        assert made["token"] not in caplog.text

    @pytest.mark.parametrize("path", ["login", "login/"])
    def test_both_spellings_are_answered(self, user: User, path: str) -> None:
        body = {"username": user.username, "password": "demo"}

        assert APIClient().post(f"/api/v1/auth/{path}", body).status_code == 200


def test_logout_ends_the_session(user: User) -> None:
    browser = APIClient()
    browser.post(LOGIN, {"username": user.username, "password": "demo"})

    assert browser.post("/api/v1/auth/logout").status_code == 204
    assert browser.get("/api/v1/auth/me").status_code == 401
    assert browser.post("/api/v1/auth/logout").status_code == 401


def test_me_lists_tenants_and_roles(user: User, client: APIClient) -> None:
    member = MembershipFactory(user=user, role=Role.OPERATOR)
    MembershipFactory()

    assert client.get("/api/v1/auth/me").json() == {
        "id": str(user.pk),
        "username": user.username,
        "email": "",
        "is_staff": False,
        "second_factor": "",
        "language": "",
        "time_zone": "",
        "theme": "",
        "tenants": [
            {
                "id": str(member.tenant.pk),
                "slug": member.tenant.slug,
                "name": member.tenant.name,
                "role": "operator",
            }
        ],
    }


class TestTokens:
    def test_made_with_a_password_shown_once_and_usable(self, user: User, settings: Any) -> None:
        response = APIClient().post(TOKENS, {"username": user.username, "password": "demo", "name": "ci"})

        assert response.status_code == 201
        assert response["Cache-Control"] == "no-store"
        made = response.json()
        assert set(made) == {"id", "name", "token", "expires_at"}
        expires = parse_datetime(made["expires_at"])
        assert expires is not None
        assert abs(expires - datetime.now(UTC) - timedelta(days=settings.API_TOKEN_DAYS)) < timedelta(
            minutes=1
        )
        program = APIClient()
        program.credentials(HTTP_AUTHORIZATION=f"Token {made['token']}")
        listed = program.get(TOKENS).json()
        assert listed["count"] == 1
        assert [(token["id"], token["name"]) for token in listed["results"]] == [(made["id"], "ci")]
        assert made["token"] not in str(listed)

    def test_a_token_makes_no_token(self, user: User, client: APIClient) -> None:
        refused = client.post(TOKENS, {"name": "second"})

        assert (refused.status_code, refused.json()["code"]) == (403, "token_makes_no_token")
        assert ApiToken.objects.filter(user=user).count() == 1

    def test_beside_a_token_the_password_makes_one(self, user: User, client: APIClient) -> None:
        body = {"name": "second", "username": user.username, "password": "demo"}

        assert client.post(TOKENS, body).status_code == 201

    def test_several_may_have_one_name(self, user: User) -> None:
        browser = APIClient()
        browser.force_login(user)

        assert [browser.post(TOKENS, {"name": "ci"}).status_code for _ in range(2)] == [201, 201]

    def test_anonymous_without_a_password_is_401(self, db: None) -> None:
        assert APIClient().post(TOKENS, {"name": "ci"}).status_code == 401
        assert APIClient().get(TOKENS).status_code == 401

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"username": "a", "name": "ci"}, "password"),
            ({"password": "a", "name": "ci"}, "username"),
            ({"username": "a", "password": "b"}, "name"),
            ({"username": "a", "password": "b", "name": "a\tb"}, "name"),
            ({"username": "a", "password": "b", "name": "x" * 101}, "name"),
            ({"username": "a", "password": "b", "name": "x", "expires_at": None}, "expires_at"),
        ],
    )
    def test_bad_bodies_are_400_by_field(self, body: dict[str, Any], field: str, db: None) -> None:
        response = APIClient().post(TOKENS, body)

        assert response.status_code == 400
        assert set(response.json()["errors"]) == {field}

    def test_a_wrong_password_makes_none(self, user: User) -> None:
        response = APIClient().post(TOKENS, {"username": user.username, "password": "wrong", "name": "ci"})

        assert (response.status_code, response.json()["code"]) == (401, "wrong_credentials")
        assert not ApiToken.objects.exists()

    def test_a_revoked_token_is_refused_from_then_on(self, user: User, client: APIClient) -> None:
        [token] = client.get(TOKENS).json()["results"]

        assert client.delete(f"{TOKENS}{token['id']}/").status_code == 204
        assert client.get(TOKENS).status_code == 401

    def test_anothers_token_is_as_unknown_as_one_that_never_was(self, client: APIClient) -> None:
        other = UserFactory()
        theirs = client_of(other)
        [token] = theirs.get(TOKENS).json()["results"]
        answers = [
            client.delete(f"{TOKENS}{pk}/") for pk in [token["id"], "00000000-0000-4000-8000-000000000000"]
        ]

        assert [answer.status_code for answer in answers] == [404, 404]
        assert {**answers[0].json(), "request_id": ""} == {**answers[1].json(), "request_id": ""}
        assert ApiToken.objects.filter(user=other).exists()
        assert token["id"] not in str(client.get(TOKENS).json())

    def test_a_repeat_under_one_key_makes_one_and_does_not_show_it_again(self, user: User) -> None:
        body = {"username": user.username, "password": "demo", "name": "ci"}
        headers = {"Idempotency-Key": "make-it-once"}
        first = APIClient().post(TOKENS, body, headers=headers)
        again = APIClient().post(TOKENS, body, headers=headers)

        assert first.status_code == 201
        assert (again.status_code, again.json()["code"]) == (409, "shown_once")
        assert ApiToken.objects.count() == 1
        kept = str(IdempotencyKey.objects.values().get())
        assert first.json()["token"] not in kept and "demo" not in kept

    def test_the_same_query_count_for_one_and_for_many(
        self, user: User, client: APIClient, django_assert_num_queries: Any
    ) -> None:
        client.get(TOKENS)  # The first request of a token notes that it was used.
        with django_assert_num_queries(3):
            client.get(TOKENS)
        for number in range(20):
            ApiToken.objects.create(user=user, name=str(number), expiry=None)
        with django_assert_num_queries(3):
            client.get(TOKENS)
