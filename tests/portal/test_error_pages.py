"""What a person at a browser sees of an error: a page in the portal's layout, in their language."""

from __future__ import annotations

import re

import pytest
from django.db import OperationalError, connection
from django.http import Http404
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext

from api import errors
from api.domain_errors import ConflictError
from api.page_middleware import PageErrorsMiddleware
from tenants.scoping import Role
from tests.factories import MembershipFactory, UserFactory

pytestmark = pytest.mark.django_db

LANGUAGES = pytest.mark.parametrize("language", ["en", "zh-hans"])


@pytest.fixture
def browser():
    client = Client(raise_request_exception=False)
    client.force_login(MembershipFactory(role=Role.VIEWER).user)
    return client


def is_page(answer):
    assert answer["Content-Type"].startswith("text/html")
    html = answer.content.decode()
    assert '<a class="brand"' in html
    assert answer.headers.get("X-Request-ID", "") in html
    assert html.count("<h1") == 1
    return html


@LANGUAGES
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("get", "/nothing/", 404),
        ("get", "/vms/00000000-0000-0000-0000-000000000007/", 404),
        ("get", "/vms/ask/", 405),
        ("post", "/vms/", 405),
        ("put", "/vms/new/", 405),
        ("get", "/pools/", 403),
        ("get", "/logout/", 405),
    ],
)
def test_a_refusal_is_a_page_in_ones_language(browser, language, method, path, status):
    answer = getattr(browser, method)(path, headers={"Accept-Language": language})

    assert answer.status_code == status
    html = is_page(answer)
    assert f'<html lang="{language}"' in html
    assert ("未找到" in html or "没有权限" in html or "不支持" in html) == (language == "zh-hans")
    if status == 405:
        assert "GET" in answer["Allow"] or "POST" in answer["Allow"]


def test_too_many_fields_are_a_page(browser):
    is_page(answer := browser.post("/vms/ask/", {f"field-{number}": "x" for number in range(2000)}))

    assert answer.status_code == 400


def test_who_belongs_to_no_tenant_is_told_why():
    client = Client()
    client.force_login(UserFactory())

    answer = client.get("/vms/")

    assert answer.status_code == 403
    assert "belong to a tenant yet" in is_page(answer)


def test_a_server_error_shows_an_id_and_asks_nothing(rf):
    """Neither the session nor the database, which may be what is broken."""
    request = rf.get("/vms/")
    with CaptureQueriesContext(connection) as queries:
        answer = errors.server_error(request)

    assert (answer.status_code, len(queries)) == (500, 0)
    assert "<h1" in answer.content.decode()


def test_a_page_that_breaks_is_a_page_without_the_reason(browser, monkeypatch):
    def breaks(*args):
        raise RuntimeError("the secret reason")

    monkeypatch.setattr("vms.pages.listing._select_vms", breaks)
    answer = browser.get("/vms/")

    assert answer.status_code == 500
    assert "the secret reason" not in is_page(answer)
    assert re.search(r"<code>[0-9a-f-]{36}</code>", answer.content.decode())


def test_an_error_page_does_without_the_session_when_that_fails(monkeypatch):
    def fails(*args):
        raise OperationalError("the database is away")

    request = RequestFactory().get("/nothing/")
    monkeypatch.setattr("api.page_errors.find_current_page", fails)
    monkeypatch.setattr("django.contrib.auth.context_processors.auth", fails)
    request.session = request.user = None
    answer = errors.page_not_found(request, Http404())

    assert answer.status_code == 404


class TestWhatAViewHasNotShown:
    @pytest.mark.parametrize(
        ("error", "status", "told"),
        [
            (ConflictError("busy", "It is busy.", retry_after=3), 409, "It is busy."),
            (OperationalError("x"), 503, "The database does not respond"),
            (ValueError("x"), None, None),
        ],
    )
    def test_is_a_page_when_it_is_a_refusal(self, error, status, told):
        answer = PageErrorsMiddleware(None).process_exception(RequestFactory().post("/vms/new/"), error)

        assert (answer and answer.status_code) == status
        if told:
            assert told in answer.content.decode()
            assert answer["Retry-After"] in {"1", "3"}

    def test_is_a_line_for_a_script(self):
        request = RequestFactory().post("/vms/new/", headers={"HX-Request": "true"})
        answer = PageErrorsMiddleware(None).process_exception(request, ConflictError("busy", "It is busy."))

        assert (answer.status_code, answer["HX-Reselect"]) == (409, "#request-error")
        assert b"<html" not in answer.content
