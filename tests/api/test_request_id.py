import uuid

import pytest
from django.test import Client

from api.request_id import current_request_id

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.api.probes")]


def answered_id(sent: str | None) -> str:
    headers = {} if sent is None else {"X-Request-ID": sent}
    return Client().get("/api/v1/auth/me", headers=headers)["X-Request-ID"]


@pytest.mark.parametrize("sent", ["a", "deploy-7/step.3", "~" * 128])
def test_a_safe_request_id_is_kept(sent: str) -> None:
    assert answered_id(sent) == sent


@pytest.mark.parametrize("sent", [None, "", "two words", "x" * 129, "line\nbreak", "caf\xe9", "字", "\x00"])
def test_an_unsafe_request_id_is_replaced(sent: str | None) -> None:
    answered = answered_id(sent)

    assert answered != sent
    assert str(uuid.UUID(answered)) == answered


def test_two_requests_have_two_ids() -> None:
    assert answered_id(None) != answered_id(None)


def test_outside_of_a_request_there_is_none() -> None:
    answered_id("earlier")

    assert current_request_id() == ""


def test_the_middleware_stands_first(settings: object) -> None:
    """Errors in other middleware then have an id."""
    assert settings.MIDDLEWARE[0] == "api.request_id.RequestIdMiddleware"  # type: ignore[attr-defined]
