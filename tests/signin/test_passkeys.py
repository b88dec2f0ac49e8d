"""Passkeys as second factors: added, used at a sign-in, removed; and what a browser must not get accepted."""

from __future__ import annotations

import html
import json
import re

import pytest
from django.test import Client
from rest_framework.test import APIClient

from events.models import Event
from signin.models import Passkey, RecoveryCode, TotpDevice
from signin.services import passkeys, second_factors
from signin.services.passkeys import MAX_PASSKEYS, Answer, Site
from signin.services.second_factors import Proof
from tenants.models import User
from tenants.scoping import Role
from tests.factories import MembershipFactory, UserFactory
from tests.row_locks import written_meanwhile

from .authenticator import SoftwarePasskey, encode
from .totp import compute_code

pytestmark = pytest.mark.django_db
PAGE = "/preferences/second-factor/"
NEW = f"{PAGE}passkeys/new/"
NOT_ACCEPTED = "The passkey was not accepted. Try again."


def text(answer):
    return html.unescape(answer.content.decode())


def read_options(answer, kind):
    """Return the options that a page gives to the browser."""
    return json.loads(html.unescape(re.search(rf'data-passkey-{kind}="([^"]+)"', answer.content.decode())[1]))


def add(browser, key, name="Laptop", **changes):
    """Add a passkey on its page; return the answer to the form."""
    options = read_options(browser.get(NEW), "create")
    return browser.post(NEW, {"name": name, "passkey": key.create(options, **changes)})


def sign_in(user):
    """Enter the password; return the browser with the page that asks for the second factor."""
    browser = Client()
    entered = browser.post("/login/", {"username": user.username, "password": "demo"})
    return browser, browser.get(entered["Location"])


@pytest.fixture
def user():
    return MembershipFactory(role=Role.ADMIN).user


@pytest.fixture
def browser(user):
    """A browser in which the user is signed in."""
    browser = Client()
    browser.force_login(user)
    return browser


@pytest.fixture
def key(browser):
    """A passkey that the user has added."""
    key = SoftwarePasskey()
    assert add(browser, key).status_code == 200
    return key


def test_the_first_passkey_is_a_factor_and_brings_recovery_codes(user, browser):
    assert "Add passkey" in text(browser.get(PAGE))
    options = read_options(browser.get(NEW), "create")
    assert options["rp"] == {"id": "testserver", "name": "Cloud Portal"}
    assert options["user"]["name"] == user.username and options["excludeCredentials"] == []

    done = add(browser, SoftwarePasskey(), name="Work laptop")

    assert len(re.findall(r"<code>[A-Z2-7]{4}(?:-[A-Z2-7]{4}){3}</code>", text(done))) == 10
    assert User.objects.get(pk=user.pk).second_factor == "passkey"
    page = text(browser.get(PAGE))
    assert "Work laptop" in page and "10 recovery codes are left" in page
    event = Event.objects.get(code="user.passkey_added")
    assert (event.object_id, event.parameters) == (str(user.pk), {"passkey": "Work laptop"})


def test_a_sign_in_asks_for_the_passkey(user, key):
    browser, page = sign_in(user)
    assert "_auth_user_id" not in browser.session
    options = read_options(page, "check")
    assert [one["id"] for one in options["allowCredentials"]] == [encode(key.id)]
    assert "Recovery code" in text(page) and "authenticator app" not in text(page)

    opened = browser.post("/login/code/", {"passkey": key.sign(options), "code": ""})

    assert opened.status_code == 302
    assert browser.session["_auth_user_id"] == str(user.pk)
    assert Passkey.objects.get().last_used_at is not None
    assert Event.objects.filter(code="sign_in.succeeded").latest("pk").parameters["factor"] == "passkey"


@pytest.mark.parametrize("counts", [True, False])
def test_an_answer_signs_in_once(user, browser, counts):
    key = SoftwarePasskey(counts=counts)
    add(browser, key)
    first, page = sign_in(user)
    answer = key.sign(read_options(page, "check"))
    assert first.post("/login/code/", {"passkey": answer}).status_code == 302

    again, _page = sign_in(user)
    refused = again.post("/login/code/", {"passkey": answer})

    assert refused.status_code == 400 and NOT_ACCEPTED in text(refused)
    assert "_auth_user_id" not in again.session
    # The refused page has a new challenge, so that one can go on at once.
    opened = again.post("/login/code/", {"passkey": key.sign(read_options(refused, "check"))})
    assert opened.status_code == 302


def test_a_copied_key_is_noticed_by_its_count(user, key):
    browser, page = sign_in(user)
    assert browser.post("/login/code/", {"passkey": key.sign(read_options(page, "check"))}).status_code == 302
    key.count -= 1

    browser, page = sign_in(user)
    refused = browser.post("/login/code/", {"passkey": key.sign(read_options(page, "check"))})

    assert refused.status_code == 400
    assert Event.objects.filter(code="sign_in.failed").latest("pk").parameters["reason"] == "wrong_code"


@pytest.mark.parametrize(
    "change",
    [
        {"origin": "https://evil.example.org"},
        {"origin": "http://sub.testserver"},
        {"origin": "https://testserver"},
        {"type": "webauthn.create"},
        {"challenge": encode(b"x" * 32)},
    ],
)
def test_an_answer_for_another_site_or_challenge_is_refused(user, key, change):
    browser, page = sign_in(user)

    refused = browser.post("/login/code/", {"passkey": key.sign(read_options(page, "check"), **change)})

    assert refused.status_code == 400 and NOT_ACCEPTED in text(refused)
    assert "_auth_user_id" not in browser.session


def test_the_key_of_another_user_is_refused(user, key):
    other = UserFactory()
    stranger = Client()
    stranger.force_login(other)
    theirs = SoftwarePasskey()
    add(stranger, theirs)
    browser, page = sign_in(user)

    refused = browser.post("/login/code/", {"passkey": theirs.sign(read_options(page, "check"))})

    assert refused.status_code == 400
    assert "_auth_user_id" not in browser.session


def test_a_key_belongs_to_one_user(key):
    stranger = Client()
    stranger.force_login(UserFactory())

    assert add(stranger, key).status_code == 400
    assert Passkey.objects.count() == 1


NONSENSE = [
    "",
    "x",
    "[]",
    "{}",
    "null",
    "[" * 15_000,
    json.dumps({"id": 1, "rawId": None, "response": {}}),
    json.dumps({"id": "AA", "rawId": "AA", "type": "public-key", "response": {"clientDataJSON": "AA"}}),
    json.dumps({"id": "AA", "rawId": "AA", "response": {"clientDataJSON": "e30", "attestationObject": "/w"}}),
    "x" * 30_000,
]


@pytest.mark.parametrize("nonsense", NONSENSE)
def test_nonsense_is_refused_and_told(user, browser, nonsense):
    browser.get(NEW)
    refused = browser.post(NEW, {"name": "Laptop", "passkey": nonsense})
    assert refused.status_code == 400 and NOT_ACCEPTED in text(refused)
    assert 'value="Laptop"' in text(refused) and not Passkey.objects.exists()
    key = SoftwarePasskey()
    add(browser, key)

    entering, _page = sign_in(user)
    assert entering.post("/login/code/", {"passkey": nonsense}).status_code == 400
    assert "_auth_user_id" not in entering.session


@pytest.mark.parametrize("name", ["", "   ", "x" * 101, "a\x00b"])
def test_a_name_that_is_not_valid_is_told_beside_it(browser, name):
    refused = add(browser, SoftwarePasskey(), name=name)

    assert refused.status_code == 400 and refused.context["errors"]["name"]
    assert not Passkey.objects.exists() and not RecoveryCode.objects.exists()


def test_a_registration_for_another_site_is_refused(browser):
    assert add(browser, SoftwarePasskey(), origin="https://evil.example.org").status_code == 400
    assert add(browser, SoftwarePasskey("http://elsewhere"), origin="http://testserver").status_code == 400
    assert not Passkey.objects.exists()


def test_another_factor_is_added_only_after_one_was_shown(user, browser, key):
    sent = browser.get(NEW)
    assert sent["Location"] == f"{PAGE}prove/?for=passkey"
    page = browser.get(sent["Location"])
    assert browser.post(sent["Location"], {"code": "123456"}).status_code == 400
    page = browser.get(sent["Location"])

    shown = browser.post(sent["Location"], {"passkey": key.sign(read_options(page, "check"))})

    assert shown["Location"] == NEW
    options = read_options(browser.get(NEW), "create")
    assert [one["id"] for one in options["excludeCredentials"]] == [encode(key.id)]
    assert add(browser, SoftwarePasskey(), name="Telephone").status_code == 302
    assert Passkey.objects.count() == 2
    # It holds for the authenticator app, too, and not for another session.
    assert browser.post(f"{PAGE}set-up/")["Location"] == f"{PAGE}set-up/"
    other = Client()
    other.force_login(user)
    for method in (other.get, other.post):
        assert method(f"{PAGE}set-up/")["Location"] == f"{PAGE}prove/?for=app"


def test_an_app_beside_a_passkey_keeps_the_recovery_codes(user, browser, key):
    codes = set(RecoveryCode.objects.values_list("digest", flat=True))
    second_factors.begin_setup(user)
    secret = second_factors.find_unconfirmed_secret(user)

    assert second_factors.confirm_setup(user, compute_code(secret)) == []
    assert User.objects.get(pk=user.pk).second_factor == "totp"
    TotpDevice.objects.update(last_interval=0)
    page = browser.get(f"{PAGE}disable/")
    disabled = browser.post(f"{PAGE}disable/", {"passkey": key.sign(read_options(page, "check"))})

    assert disabled.status_code == 302 and not TotpDevice.objects.exists()
    assert User.objects.get(pk=user.pk).second_factor == "passkey"
    assert set(RecoveryCode.objects.values_list("digest", flat=True)) == codes


def test_the_last_passkey_takes_the_recovery_codes_along(user, browser, key):
    passkey = Passkey.objects.get()
    page = f"{PAGE}passkeys/{passkey.pk}/remove/"
    assert browser.post(page, {"code": "123456"}).status_code == 400

    removed = browser.post(page, {"passkey": key.sign(read_options(browser.get(page), "check"))})

    assert removed.status_code == 302
    assert User.objects.get(pk=user.pk).second_factor == ""
    assert not Passkey.objects.exists() and not RecoveryCode.objects.exists()
    assert Event.objects.get(code="user.passkey_removed").parameters == {"passkey": "Laptop"}
    assert sign_in(user)[0].session["_auth_user_id"] == str(user.pk)


def test_the_passkey_of_another_user_cannot_be_removed(key):
    stranger = Client()
    stranger.force_login(UserFactory())

    assert stranger.post(f"{PAGE}passkeys/{Passkey.objects.get().pk}/remove/").status_code == 404


def test_the_number_of_passkeys_is_bounded(user, browser, key):
    passkey = Passkey.objects.get()
    for number in range(MAX_PASSKEYS - 1):
        Passkey.objects.create(
            user=user, name=str(number), credential_id=str(number), credential=bytes(passkey.credential)
        )
    page = browser.get(f"{PAGE}prove/?for=passkey")
    browser.post(f"{PAGE}prove/?for=passkey", {"passkey": key.sign(read_options(page, "check"))})

    answer = browser.get(NEW, follow=True)

    assert "You have 10 passkeys. Remove one first." in text(answer)


def test_a_program_sends_a_recovery_code(user, browser):
    codes = re.findall(r"<code>([A-Z2-7-]{19})</code>", text(add(browser, SoftwarePasskey())))
    client = APIClient()
    entered = {"username": user.username, "password": "demo"}

    asked = client.post("/api/v1/auth/login", entered, format="json")
    opened = client.post("/api/v1/auth/login", {**entered, "code": codes[0]}, format="json")

    assert (asked.status_code, asked.json()["code"]) == (401, "code_required")
    assert opened.status_code == 200
    assert client.get("/api/v1/auth/me").json()["second_factor"] == "passkey"


def test_an_address_without_a_name_has_no_passkeys(settings, user):
    settings.ALLOWED_HOSTS = ["127.0.0.1"]
    browser = Client(headers={"host": "127.0.0.1:8000"})
    browser.force_login(user)

    page = browser.get(PAGE)
    new = browser.get(NEW, follow=True)

    assert "Passkeys need an address with a host name" in text(page) and NEW not in text(page)
    assert "Passkeys need an address with a host name" in text(new)


def test_an_administrator_removes_all_factors_of_a_user(user, key, admin_client):
    passkey = Passkey.objects.get()

    admin_client.post(f"/admin/signin/passkey/{passkey.pk}/delete/", {"post": "yes"})

    assert User.objects.get(pk=user.pk).second_factor == ""
    assert not Passkey.objects.exists() and not RecoveryCode.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_two_factors_that_are_removed_at_once_leave_none(user, browser, key):
    codes = second_factors._create_recovery_codes(user)
    second_factors.begin_setup(user)
    second_factors.confirm_setup(user, compute_code(second_factors.find_unconfirmed_secret(user)))
    site = Site("testserver", "http://testserver")
    options, state = passkeys.begin_check(user, site)
    proof = Proof(answer=Answer(site, state, json.loads(key.sign(options))))

    with written_meanwhile(lambda: second_factors.disable_app(user, Proof(codes[0]))):
        second_factors.remove_passkey(user, Passkey.objects.get().pk, proof)

    assert User.objects.get(pk=user.pk).second_factor == ""
    assert not RecoveryCode.objects.exists()
