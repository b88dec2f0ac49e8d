from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from rest_framework.request import Request
from rest_framework.test import APIClient, APIRequestFactory

from api.authentication import TokenAuthentication
from api.models import ApiToken
from tenants.models import User

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.api.probes")]


def make(user: User, expiry: timedelta | None = None) -> str:
    return ApiToken.objects.create(user=user, name="ci", expiry=expiry)[1]


def me(header: str) -> Any:
    return APIClient().get("/api/v1/auth/me", headers={"Authorization": header})


def test_a_token_authenticates_its_user(user: User) -> None:
    response = me(f"Token {make(user, timedelta(days=1))}")

    assert response.status_code == 200
    assert response.json()["username"] == user.username


@pytest.mark.parametrize("keyword", ["token", "TOKEN"])
def test_the_keyword_is_case_insensitive(user: User, keyword: str) -> None:
    assert me(f"{keyword} {make(user)}").status_code == 200


@pytest.mark.parametrize(
    "header",
    [
        "Token",
        "Token ",
        "Token a b",
        "Token \xff",
        "Token " + "x" * 10_000,
        "Bearer x",
        "Token \x00",
        "Basic QTpC",
    ],
)
def test_a_wrong_header_is_401(header: str, db: None) -> None:
    response = me(header)

    assert response.status_code == 401
    assert response["WWW-Authenticate"] == "Token"


def test_expired_revoked_unknown_and_switched_off_look_the_same(user: User) -> None:
    expired = make(user, timedelta(seconds=-1))
    revoked = make(user)
    ApiToken.objects.filter(expiry=None).delete()
    idle = User.objects.create(username="idle", is_active=False)
    answers = []
    for secret in [expired, revoked, "0" * 64, make(idle)]:
        response = me(f"Token {secret}")
        assert response.status_code == 401
        answers.append({**response.json(), "request_id": None})

    assert all(answer == answers[0] for answer in answers)
    assert answers[0]["code"] == "bad_token"


def test_the_token_is_kept_as_a_hash_alone(user: User) -> None:
    secret = make(user)

    row = ApiToken.objects.values().get()
    assert secret not in str(row)
    assert row["digest"] != secret


def test_one_query_and_no_write_but_every_few_minutes(user: User) -> None:
    request = Request(APIRequestFactory().get("/", headers={"Authorization": f"Token {make(user)}"}))
    TokenAuthentication().authenticate(request)
    assert ApiToken.objects.get().last_used_at is not None
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert TokenAuthentication().authenticate(request) is not None

    assert [query["sql"].split()[0] for query in queries.captured_queries] == ["SELECT"]


class TestSession:
    @pytest.fixture
    def browser(self, user: User) -> APIClient:
        browser = APIClient(enforce_csrf_checks=True)
        assert (
            browser.post("/api/v1/auth/login", {"username": user.username, "password": "demo"}).status_code
            == 200
        )
        return browser

    def test_reading_needs_no_csrf_token(self, browser: APIClient) -> None:
        assert browser.get("/api/v1/auth/me").status_code == 200

    def test_changing_without_it_is_403_and_changes_nothing(self, browser: APIClient) -> None:
        response = browser.post("/api/v1/auth/tokens/", {"name": "ci"})

        assert (response.status_code, response.json()["code"]) == (403, "csrf_failed")
        assert not ApiToken.objects.exists()

    def test_changing_with_it(self, browser: APIClient) -> None:
        token = browser.cookies["csrftoken"].value

        response = browser.post("/api/v1/auth/tokens/", {"name": "ci"}, headers={"X-CSRFToken": token})

        assert response.status_code == 201

    def test_programs_with_a_token_need_none(self, user: User) -> None:
        program = APIClient(enforce_csrf_checks=True)
        program.credentials(HTTP_AUTHORIZATION=f"Token {make(user)}")

        assert program.post("/api/echo/", {}).status_code == 200

    def test_a_page_that_asks_who_it_is_gets_the_csrf_cookie(self, user: User) -> None:
        browser = APIClient()
        browser.force_login(user)

        assert "csrftoken" in browser.get("/api/v1/auth/me").cookies

    def test_a_user_switched_off_is_out_at_once(self, browser: APIClient, user: User) -> None:
        User.objects.filter(pk=user.pk).update(is_active=False)

        assert browser.get("/api/v1/auth/me").status_code == 401


def test_a_session_of_the_release_before_is_still_signed_in(client: Client, user: User) -> None:
    client.force_login(user)
    session = client.session
    session["_auth_user_backend"] = "portal.api.login_backend.PasswordBackend"
    session.save()

    assert client.get("/api/v1/auth/me").json()["username"] == user.username
