"""Signing in with an OpenID Connect provider, and every way in which its answer can be wrong."""

from __future__ import annotations

import base64
import json
import threading
import time
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
from django.test import Client

from events.models import Event
from signin.models import ExternalIdentity
from signin.oidc import metadata
from tenants.models import Membership, User
from tests.factories import UserFactory

from .conftest import follow_to_callback
from .provider import CLIENT_ID, SigningKey

pytestmark = pytest.mark.django_db


def text(answer):
    return answer.content.decode()


def is_signed_in(client):
    return client.get("/preferences/").status_code == 200


def test_a_user_signs_in_with_a_provider(provider, sign_in):
    assert 'href="/sign-in/corp/"' in text(Client().get("/login/"))

    client, answer = sign_in(following="/preferences/sessions/")

    assert (answer.status_code, answer["Location"]) == (302, "/preferences/sessions/")
    assert is_signed_in(client)
    user = User.objects.get()
    assert (user.username, user.email, user.is_staff) == ("li.wei@corp", "li.wei@example.org", False)
    assert not user.has_usable_password() and not Membership.objects.exists()
    page = text(client.get("/preferences/sessions/"))
    assert "127.0.0.1" in page and "/preferences/password/" not in page
    event = Event.objects.get(code="sign_in.succeeded")
    assert event.parameters == {"method": "oidc", "provider": "corp"} and event.actor_id == user.pk


def test_the_subject_is_the_user_whatever_the_names_say(provider, sign_in):
    sign_in()
    provider.claims |= {"preferred_username": "wei.li", "email": "new@example.org", "given_name": "Wei"}
    sign_in()
    user = User.objects.get()
    assert (user.username, user.email, user.first_name) == ("li.wei@corp", "new@example.org", "Wei")

    provider.subject = "subject-2"
    provider.claims |= {"preferred_username": "li.wei"}
    sign_in()
    assert User.objects.count() == 2
    assert User.objects.exclude(pk=user.pk).get().username.startswith("li.wei-")


def test_a_user_that_existed_before_is_never_joined(provider, sign_in, settings):
    local = UserFactory(username="li.wei", email="li.wei@example.org", is_staff=True)
    same = UserFactory(username="li.wei@corp", email="li.wei@example.org")

    client, _answer = sign_in()

    user = ExternalIdentity.objects.get().user
    assert user not in {local, same} and not user.is_staff
    assert client.session["_auth_user_id"] == str(user.pk)


def test_a_disabled_user_stays_out(provider, sign_in):
    client, _answer = sign_in()
    User.objects.update(is_active=False)

    again, answer = sign_in()

    assert answer.status_code == 403 and "disabled" in text(answer)
    assert not is_signed_in(client) and not is_signed_in(again)


def sign_with_public_key(provider):
    """Sign with HS256 and the public key as its secret, as whoever knows the public key can."""

    def sign(claims):
        parts = [
            base64.urlsafe_b64encode(json.dumps(one).encode()).rstrip(b"=")
            for one in ({"alg": "HS256", "typ": "JWT", "kid": "first"}, claims)
        ]
        digest = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(
            b".".join(parts), provider.keys[0].public_pem()
        )
        return b".".join([*parts, base64.urlsafe_b64encode(digest).rstrip(b"=")]).decode()

    return sign


def sign_with_unknown_key(provider):
    stranger = SigningKey("first")
    return lambda claims: jwt.encode(claims, stranger.private, algorithm="RS256", headers={"kid": "first"})


HOUR = 3600
WRONG = {
    "token_issuer": lambda provider: provider.wrong_claims.update(iss="https://other.example.org"),
    "token_audience": lambda provider: provider.wrong_claims.update(aud="another-client"),
    "token_nonce": lambda provider: provider.wrong_claims.update(nonce="of another sign-in"),
    "token_expired": lambda provider: provider.wrong_claims.update(exp=int(time.time()) - HOUR),
    "token_not_yet_valid": lambda provider: provider.wrong_claims.update(iat=int(time.time()) + HOUR),
    "token_signature": lambda provider: setattr(provider, "sign", sign_with_unknown_key(provider)),
}
MORE_WRONG = [
    ("token_algorithm", lambda provider: setattr(provider, "sign", sign_with_public_key(provider))),
    (
        "token_algorithm",
        lambda provider: setattr(provider, "sign", lambda claims: jwt.encode(claims, None, algorithm="none")),
    ),
    ("token_audience", lambda provider: provider.wrong_claims.update(aud=[CLIENT_ID, "another-client"])),
    ("token_audience", lambda provider: provider.wrong_claims.update(azp="another-client")),
    ("token_nonce", lambda provider: setattr(provider, "left_out", ("nonce",))),
    ("token_incomplete", lambda provider: setattr(provider, "left_out", ("exp",))),
    ("token_invalid", lambda provider: setattr(provider, "sign", lambda claims: "no.token")),
    ("other_subject", lambda provider: provider.userinfo.update(sub="subject-2")),
]


@pytest.mark.parametrize(("code", "spoil"), [*WRONG.items(), *MORE_WRONG])
def test_a_wrong_token_is_refused(provider, sign_in, code, spoil):
    spoil(provider)

    client, answer = sign_in()

    assert answer.status_code == 400 and "Company account signed you in, but" in text(answer)
    assert not is_signed_in(client) and not User.objects.exists()
    event = Event.objects.get(code="sign_in.failed")
    assert event.parameters == {"method": "oidc", "provider": "corp", "reason": code}
    assert not Event.objects.filter(code="sign_in.succeeded").exists()


def test_clocks_may_differ_a_little(provider, sign_in):
    provider.wrong_claims = {"iat": int(time.time()) + 40, "exp": int(time.time()) - 20}

    assert is_signed_in(sign_in()[0])


def test_rotated_keys_are_fetched_when_they_are_needed(provider, sign_in):
    sign_in()
    provider.keys = [SigningKey("second")]

    client, _answer = sign_in()

    assert is_signed_in(client)
    assert provider.requests.count("/jwks") == 2
    assert provider.requests.count("/.well-known/openid-configuration") == 1


def test_keys_under_one_name_are_fetched_when_the_signature_is_wrong(provider, sign_in):
    sign_in()
    provider.keys = [SigningKey("first")]

    assert is_signed_in(sign_in()[0])


def test_an_answer_belongs_to_the_browser_that_began(provider):
    victim, attacker = Client(), Client()
    back = follow_to_callback(attacker.get("/sign-in/corp/")["Location"])

    answer = victim.get(back)

    assert answer.status_code == 400 and "did not begin" in text(answer)
    assert not is_signed_in(victim)
    assert attacker.get(back).status_code == 302 and is_signed_in(attacker)


def test_an_answer_is_used_once(provider, sign_in):
    client = Client()
    back = follow_to_callback(client.get("/sign-in/corp/")["Location"])
    assert client.get(back).status_code == 302
    other = Client()

    assert client.get(back).status_code == 400
    assert other.get(back).status_code == 400 and not is_signed_in(other)


@pytest.mark.parametrize("seconds", [-2000, 2000])
def test_a_clock_that_jumps_during_a_sign_in_is_a_new_start(provider, monkeypatch, seconds):
    client = Client()
    back = follow_to_callback(client.get("/sign-in/corp/")["Location"])
    jumped = time.time() + seconds
    monkeypatch.setattr("signin.pages.oidc.time", SimpleNamespace(time=lambda: jumped))

    answer = client.get(back)

    assert answer.status_code == 400 and "took too long" in text(answer) and not is_signed_in(client)


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?state=%00",
        "?state=" + "x" * 500,
        "?code=x&state=AAAAAAAAAAAAAAAAAAAAAAAA",
        "?error=access_denied&state=AAAAAAAAAAAAAAAAAAAAAAAA",
    ],
)
def test_an_invented_answer_is_no_error_of_ours(provider, query):
    answer = Client().get(f"/sign-in/corp/callback/{query}")

    assert answer.status_code == 400 and not Event.objects.exists()
    assert Client().get("/sign-in/nobody/").status_code == 404


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"error": "access_denied"}, 403, "provider_refused"),
        ({"code": "another"}, 400, "code_refused"),
        ({"iss": "https://other.example.org"}, 400, "other_provider"),
        ({"code": ""}, 400, "no_code"),
    ],
)
def test_what_the_provider_refuses_is_said(provider, change, status, code):
    client = Client()
    path, _mark, query = follow_to_callback(client.get("/sign-in/corp/")["Location"]).partition("?")
    sent = {name: values[0] for name, values in parse_qs(query).items()} | change

    answer = client.get(path, sent)

    assert answer.status_code == status
    assert Event.objects.get(code="sign_in.failed").parameters["reason"] == code


@pytest.mark.parametrize(
    "address", ["//evil.example", "https://evil.example/", "/\\evil.example", "/logout/"]
)
def test_after_the_sign_in_comes_a_page_of_ours(provider, sign_in, address):
    assert sign_in(following=address)[1]["Location"] in {"/overview/", "/"}


@pytest.mark.parametrize(
    "spoil",
    [
        lambda provider: provider.statuses.update({"/token": 503}),
        lambda provider: provider.statuses.update({"/token": 302}),
        lambda provider: provider.statuses.update({"/jwks": 500}),
        lambda provider: provider.metadata.update(issuer="https://other.example.org"),
        lambda provider: provider.metadata.update(token_endpoint=["no", "text"]),
        lambda provider: provider.metadata.update(jwks_uri="file:///etc/passwd"),
        lambda provider: provider.metadata.update(jwks_uri="http://169.254.169.254/latest/meta-data"),
        lambda provider: provider.metadata.update(token_endpoint="http://[::1"),
        lambda provider: provider.metadata.update(userinfo_endpoint="http://127.0.0.1:0/"),
        lambda provider: provider.metadata.update(authorization_endpoint="javascript:alert(1)"),
        lambda provider: provider.metadata.update(filler="x" * 1_100_000),
    ],
)
def test_a_provider_that_answers_nonsense_does_no_harm(provider, sign_in, spoil):
    spoil(provider)

    client, answer = sign_in()

    assert answer.status_code in {502, 503} and "Company account" in text(answer)
    assert not is_signed_in(client)


def test_a_slow_provider_holds_few_requests_and_no_local_user(provider, settings):
    """The provider sends nothing: as many sign-ins wait as may, the others are refused at once, and a local user signs in."""
    settings.SIGN_IN_PROVIDER_SECONDS, settings.SIGN_INS_WAITING_AT_MOST = 60, 1
    provider.delay = {"/.well-known/openid-configuration": 60}
    answers = []
    waiting = threading.Thread(target=lambda: answers.append(Client().get("/sign-in/corp/").status_code))
    waiting.start()
    try:
        while not provider.requests:
            time.sleep(0.01)
        refused = Client().get("/sign-in/corp/")
        assert refused.status_code == 503 and "does not answer at present" in text(refused)
        UserFactory(username="local")
        local = Client()
        assert local.post("/login/", {"username": "local", "password": "demo"}).status_code == 302
        assert not answers
    finally:
        provider.released.set()
        waiting.join()
    assert answers == [302]


def test_the_time_of_a_sign_in_is_bounded(provider, settings, sign_in):
    sign_in()
    settings.SIGN_IN_PROVIDER_SECONDS = 0.2
    provider.delay = {"/token": 60}

    _client, answer = sign_in()

    assert answer.status_code == 503
    # The next one is refused without a connection: the provider did not answer a moment ago.
    asked = len(provider.requests)
    assert Client().get("/sign-in/corp/").status_code == 503 and len(provider.requests) == asked


def test_known_metadata_serve_while_the_provider_is_away(provider, sign_in, monkeypatch):
    sign_in()
    monkeypatch.setattr(metadata, "REFRESH_SECONDS", 0.0)
    provider.statuses = {"/.well-known/openid-configuration": 503}

    assert is_signed_in(sign_in()[0])


def test_failed_sign_ins_from_a_network_are_limited(provider, sign_in, settings):
    settings.LOGIN_NETWORK_RATE = "2/min"
    provider.wrong_claims = {"nonce": "wrong"}

    statuses = [sign_in()[1].status_code for _ in range(3)]

    assert statuses == [400, 400, 429]
    assert Event.objects.filter(code="sign_in.failed").count() == 2


def test_signing_out_ends_the_session_at_the_provider_as_well(provider, sign_in):
    client, _answer = sign_in()

    answer = client.post("/logout/")

    assert answer.status_code == 200 and not is_signed_in(client)
    address = answer.context["url"]
    query = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
    assert address.startswith(f"{provider.url}/logout?") and query["client_id"] == CLIENT_ID
    assert query["post_logout_redirect_uri"] == "http://testserver/signed-out/"
    assert jwt.decode(query["id_token_hint"], options={"verify_signature": False})["sub"] == "subject-1"
    assert client.get("/signed-out/").status_code == 200
    assert Event.objects.filter(code="sign_in.ended").count() == 1


def test_signing_out_of_a_local_session_stays_here():
    client = Client()
    client.force_login(UserFactory())

    assert client.post("/logout/")["Location"] == "/login/"
