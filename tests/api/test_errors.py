from typing import Any

import pytest
from django.db import connection, connections
from django.test import Client, RequestFactory
from rest_framework.test import APIClient

from api.domain_errors import ConflictError
from api.errors import csrf_failed
from tenants.models import User

from .conftest import client_of

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.api.probes")]


@pytest.mark.parametrize(
    ("trouble", "status", "code"),
    [
        ("refused", 409, "wrong_state"),
        ("not-found", 404, "not_found"),
        ("denied", 403, "permission_denied"),
        ("django-invalid", 400, "invalid"),
        ("drf-invalid", 400, "invalid"),
        ("drf-invalid-list", 400, "invalid"),
        ("suspicious", 400, "bad_request"),
        ("bad-request", 400, "bad_request"),
        ("too-big", 413, "too_large"),
        ("drf-detail-dict", 403, "permission_denied"),
        ("bug", 500, "internal_error"),
    ],
)
def test_every_exception_becomes_a_problem(client: APIClient, trouble: str, status: int, code: str) -> None:
    response = client.get(f"/api/trouble/{trouble}/")

    assert response.status_code == status
    assert response["Content-Type"] == "application/problem+json"
    body = response.json()
    assert body["code"] == code
    assert body["type"] == f"/problems/{code}"
    assert body["status"] == status
    assert body["title"] and body["detail"]
    assert body["request_id"] == response["X-Request-ID"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("trouble", "status", "code"),
    [
        ("number-too-large", 400, "invalid"),
        ("null-in-sql", 400, "invalid"),
        ("null-in-lookup", 400, "invalid"),
        ("double", 409, "conflict"),
        ("cancelled", 503, "database_unavailable"),
    ],
)
def test_database_errors_are_told_by_sqlstate(
    client: APIClient, trouble: str, status: int, code: str
) -> None:
    response = client.get(f"/api/trouble/{trouble}/")

    assert (response.status_code, response.json()["code"]) == (status, code)
    assert "SELECT" not in response.content.decode()


@pytest.mark.django_db(transaction=True)
def test_a_lock_not_had_in_time_is_busy(client: APIClient) -> None:
    other = connections.create_connection("default")
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(4711)")
        busy = client.get("/api/trouble/locked/")
    finally:
        other.close()
    free = client.get("/api/trouble/locked/")

    assert (busy.status_code, busy.json()["code"], busy["Retry-After"]) == (409, "busy", "1")
    assert free.status_code == 200


@pytest.mark.django_db(transaction=True)
def test_a_lost_connection_is_503_and_the_next_request_has_a_new_one(user: User) -> None:
    client = client_of(user)
    connection.ensure_connection()
    other = connections.create_connection("default")
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            [pid] = cursor.fetchone()
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s)", [pid])
        lost = client.get("/api/v1/auth/me")
    finally:
        other.close()
    connection.close()

    assert (lost.status_code, lost.json()["code"]) == (503, "database_unavailable")
    assert int(lost["Retry-After"]) >= 1
    assert client.get("/api/v1/auth/me").status_code == 200


def test_a_500_shows_a_request_id_and_nothing_else(
    client: APIClient, caplog: pytest.LogCaptureFixture
) -> None:
    response = client.get("/api/trouble/bug/", headers={"X-Request-ID": "order-66"})

    text = response.content.decode()
    assert "swordfish" not in text and "RuntimeError" not in text
    assert response.json()["request_id"] == "order-66"
    [record] = [record for record in caplog.records if "request_errored" in record.getMessage()]
    assert record.levelname == "ERROR"
    assert "swordfish" in caplog.text


def test_fields_keep_their_nesting(client: APIClient) -> None:
    assert client.get("/api/trouble/drf-invalid/").json()["errors"] == {"disk": {"size": ["Too large."]}}
    assert client.get("/api/trouble/django-invalid/").json()["errors"] == {"name": ["Too long."]}
    assert client.get("/api/trouble/drf-invalid-list/").json()["errors"] == {"non_field_errors": ["No."]}


def test_a_refusal_says_what_helps(client: APIClient) -> None:
    response = client.get("/api/trouble/refused/")

    assert response.json()["allowed"] == ["start"]
    assert response["Retry-After"] == "7"


def test_a_refusal_cannot_shadow_a_member_of_the_problem() -> None:
    with pytest.raises(TypeError, match="request_id"):
        ConflictError("busy", "Busy.", request_id="mine")


def test_what_django_says_of_tables_is_not_repeated(client: APIClient) -> None:
    assert "tenants.models" not in client.get("/api/trouble/not-found/").content.decode()
    assert "secret reason" not in client.get("/api/trouble/denied/").content.decode()


def test_wrong_method_and_format(client: APIClient) -> None:
    method_not_allowed = client.put("/api/v1/auth/login", {})
    wrong_format = client.get("/api/v1/auth/me", headers={"Accept": "text/html"})

    assert (method_not_allowed.status_code, method_not_allowed.json()["code"]) == (405, "method_not_allowed")
    assert "POST" in method_not_allowed["Allow"]
    assert (wrong_format.status_code, wrong_format.json()["code"]) == (406, "not_acceptable")


def test_anonymous_is_401_with_a_challenge(anonymous: APIClient) -> None:
    response = anonymous.get("/api/v1/auth/me")

    assert (response.status_code, response.json()["code"]) == (401, "not_authenticated")
    assert response["WWW-Authenticate"] == "Token"


@pytest.mark.parametrize(
    "path", ["/api/v1/nothing/", "/api/v1/auth/tokens/not-a-uuid/", "/api/%00/", "/api/%ff/"]
)
def test_addresses_that_nothing_answers_are_problems_under_api(client: APIClient, path: str) -> None:
    response = client.get(path)

    assert response.status_code == 404
    assert response["Content-Type"] == "application/problem+json"
    assert response.json()["code"] == "not_found"


def test_elsewhere_a_person_gets_a_line(client: APIClient) -> None:
    response = client.get("/nothing/")

    assert response.status_code == 404
    assert response["Content-Type"].startswith("text/plain")


def test_a_forged_host_is_400_with_a_request_id() -> None:
    response = Client().get("/api/v1/auth/me", headers={"Host": "evil.example"})

    assert (response.status_code, response.json()["code"]) == (400, "bad_request")
    assert response.json()["request_id"] == response["X-Request-ID"]


def test_a_form_without_its_csrf_token(settings: Any) -> None:
    api = csrf_failed(RequestFactory().post("/api/v1/x"))
    page = csrf_failed(RequestFactory().post("/admin/login/"))

    assert api.status_code == page.status_code == 403
    assert b'"code": "csrf_failed"' in api.content
    assert page["Content-Type"].startswith("text/plain")
    assert settings.CSRF_FAILURE_VIEW == "api.errors.csrf_failed"
