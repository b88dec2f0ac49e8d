"""A provider says that a session has ended there (back-channel logout): which sessions end here, and what is refused."""

from __future__ import annotations

import time
import uuid
from datetime import timedelta

import jwt
import pytest
from django.test import Client

from api.models import UserSession
from events.models import Event
from signin.oidc.logout_tokens import EVENT
from tenants.models import User

from .provider import CLIENT_ID, SigningKey

pytestmark = pytest.mark.django_db
ADDRESS = "/sign-in/corp/logout/"


def make_token(provider, key=None, header=None, **changes):
    """Return a logout token for the subject of the provider. A change to None leaves a claim out."""
    now = int(time.time())
    claims = {
        "iss": provider.url,
        "aud": CLIENT_ID,
        "iat": now,
        "exp": now + 120,
        "jti": uuid.uuid4().hex,
        "sub": provider.subject,
        "events": {EVENT: {}},
        **changes,
    }
    key = key or provider.keys[-1]
    left = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(left, key.private, algorithm="RS256", headers={"kid": key.kid, **(header or {})})


def send(token):
    """Send a token as the provider does: without cookies, and with the check of CSRF tokens switched on."""
    return Client(enforce_csrf_checks=True).post(ADDRESS, {"logout_token": token})


def is_signed_in(client):
    return client.get("/preferences/").status_code == 200


@pytest.fixture
def two_sessions(provider, sign_in):
    """Two browsers of one user, with the provider's sessions `one` and `two`."""
    browsers = []
    for name in ("one", "two"):
        provider.claims["sid"] = name
        browsers.append(sign_in()[0])
    return browsers


def test_the_session_that_is_named_ends(provider, two_sessions):
    first, second = two_sessions

    answer = send(make_token(provider, sid="one"))

    assert (answer.status_code, answer.content) == (200, b"")
    assert "no-store" in answer["Cache-Control"]
    assert (is_signed_in(first), is_signed_in(second)) == (False, True)
    event = Event.objects.get(code="sign_in.ended")
    assert event.actor_id == User.objects.get().pk
    assert event.parameters == {"method": "oidc", "provider": "corp"}


@pytest.mark.parametrize("changes", [{}, {"sid": "three"}])
def test_a_user_who_is_named_loses_the_sessions_that_may_be_meant(provider, sign_in, two_sessions, changes):
    del provider.claims["sid"]
    nameless = sign_in()[0]

    assert send(make_token(provider, **changes)).status_code == 200

    # With the id of a session, those of other ids stay.
    assert [is_signed_in(one) for one in (*two_sessions, nameless)] == [*[bool(changes)] * 2, False]


def test_a_session_is_found_without_its_user(provider, two_sessions):
    assert send(make_token(provider, sub=None, sid="two")).status_code == 200

    assert [is_signed_in(one) for one in two_sessions] == [True, False]


def test_a_token_that_is_sent_again_ends_no_session_that_began_later(provider, sign_in):
    client = sign_in()[0]
    token = make_token(provider)
    UserSession.objects.update(created_at=UserSession.objects.get().created_at + timedelta(minutes=2))

    assert send(token).status_code == 200

    assert is_signed_in(client) and not Event.objects.filter(code="sign_in.ended").exists()


def test_nobody_else_is_signed_out(provider, sign_in):
    client = sign_in()[0]

    for changes in (
        {"sub": "subject-2"},
        {"sub": None, "sid": "unknown"},
        {"sub": "subject-2", "sid": "one"},
    ):
        assert send(make_token(provider, **changes)).status_code == 200

    assert is_signed_in(client)


NOW = int(time.time())
WRONG = [
    {"iss": "https://other.example.org"},
    {"aud": "another-client"},
    {"exp": NOW - 3600},
    {"iat": NOW + 3600},
    {"iat": -(10**20)},
    {"iat": "1700000000"},
    {"exp": None},
    {"iat": None},
    {"jti": None},
    {"events": None},
    {"events": {}},
    {"events": [EVENT]},
    {"events": {EVENT: "yes"}},
    {"events": {"http://schemas.openid.net/event/other": {}}},
    {"nonce": "of a sign-in"},
    {"sub": None},
    {"sub": 7},
    {"sub": "x" * 256},
    {"sid": ["one"]},
    {"sid": ""},
    {"key": SigningKey("first")},
]


@pytest.mark.parametrize("changes", WRONG)
def test_a_wrong_token_ends_nothing(provider, sign_in, changes):
    client = sign_in()[0]

    answer = send(make_token(provider, **changes))

    assert answer.status_code == 400 and answer.json()["error"] == "invalid_request"
    assert is_signed_in(client)


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "x" * 20_000])
def test_nonsense_is_refused(provider, sign_in, token):
    client = sign_in()[0]

    assert send(token).status_code == 400
    assert Client().post(ADDRESS).status_code == 400
    assert is_signed_in(client)


def test_an_id_token_is_no_logout_token(provider, sign_in):
    client = sign_in()[0]

    assert send(provider.make_id_token("a nonce")).status_code == 400
    assert is_signed_in(client)


def test_the_address_is_for_providers_of_the_settings(provider):
    assert Client().get(ADDRESS).status_code == 405
    assert Client().post("/sign-in/other/logout/", {"logout_token": make_token(provider)}).status_code == 404


def test_rotated_keys_are_fetched(provider, sign_in):
    client = sign_in()[0]
    provider.keys = [SigningKey("second")]

    assert send(make_token(provider)).status_code == 200
    assert not is_signed_in(client)


def test_a_provider_whose_keys_cannot_be_fetched_sends_it_again_later(provider, sign_in):
    client = sign_in()[0]
    provider.keys = [SigningKey("second")]
    provider.statuses["/jwks"] = 503

    assert send(make_token(provider)).status_code >= 500
    assert is_signed_in(client)
