"""Authenticator apps and recovery codes: set up, asked for at every sign-in, demanded by the installation or a tenant."""

from __future__ import annotations

import re
import time

import pytest
from django.test import Client
from rest_framework.test import APIClient

from api.models import ApiToken
from events.models import Event
from signin.models import RecoveryCode, TotpDevice
from signin.services import second_factors
from tenants.models import User
from tenants.scoping import Role
from tests.factories import MembershipFactory, UserFactory

from .totp import compute_code, wrong_code

pytestmark = pytest.mark.django_db
PAGE = "/preferences/second-factor/"


def text(answer):
    return answer.content.decode()


def sign_in(user, client=None):
    client = client or Client()
    return client, client.post("/login/", {"username": user.username, "password": "demo"})


@pytest.fixture
def user():
    return MembershipFactory(role=Role.ADMIN).user


@pytest.fixture
def enrolled(user):
    """The user with a second factor: its secret and its recovery codes. The clock of the app is a minute ahead of what was used."""
    second_factors.begin_setup(user)
    secret = second_factors.find_unconfirmed_secret(user)
    codes = second_factors.confirm_setup(user, compute_code(secret))
    TotpDevice.objects.update(last_interval=0)
    user.refresh_from_db()
    return secret, codes


def test_codes_are_those_of_the_standard():
    """The vectors of RFC 6238, of which six of eight digits are used, and of the portal's own check."""
    secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
    for at, code in {59: "287082", 1111111109: "081804", 20000000000: "353130"}.items():
        assert compute_code(secret, at) == code


def test_setting_up_shows_a_qr_code_and_recovery_codes_once(user):
    browser = Client()
    browser.force_login(user)
    assert browser.get(f"{PAGE}set-up/").status_code == 302 and not TotpDevice.objects.exists()

    assert browser.post(f"{PAGE}set-up/").status_code == 302
    page = text(browser.get(f"{PAGE}set-up/"))
    svg = re.search(r"<svg.*?</svg>", page, re.DOTALL)[0]
    assert "style" not in svg and "script" not in svg
    secret = re.search(r'data-copy-text="([A-Z2-7 ]{39})"', page)[1].replace(" ", "")
    assert secret not in TotpDevice.objects.get().encrypted_secret
    refused = browser.post(f"{PAGE}set-up/", {"code": wrong_code(secret)})
    assert refused.status_code == 400 and "This code is wrong" in text(refused)
    assert not User.objects.get(pk=user.pk).second_factor

    done = browser.post(f"{PAGE}set-up/", {"code": compute_code(secret)})

    codes = re.findall(r"<code>([A-Z2-7]{4}(?:-[A-Z2-7]{4}){3})</code>", text(done))
    assert len(codes) == 10 and RecoveryCode.objects.count() == 10
    assert User.objects.get(pk=user.pk).second_factor == "totp"
    assert codes[0] not in text(browser.get(PAGE)) and "10 recovery codes are left" in text(browser.get(PAGE))
    assert browser.post(f"{PAGE}set-up/").status_code == 302 and TotpDevice.objects.get().confirmed_at


def test_a_password_alone_opens_no_session(user, enrolled):
    secret, _codes = enrolled
    client, answer = sign_in(user)
    assert answer["Location"] == "/login/code/"
    assert client.get("/overview/")["Location"].startswith("/login/")
    assert client.get("/api/v1/auth/me").status_code == 401

    wrong = client.post("/login/code/", {"code": wrong_code(secret)})
    assert wrong.status_code == 400 and client.get("/overview/").status_code == 302
    right = client.post("/login/code/", {"code": compute_code(secret)})

    assert right["Location"] == "/overview/" and client.get("/overview/").status_code == 200
    event = Event.objects.get(code="sign_in.succeeded")
    assert event.parameters == {"method": "password", "factor": "totp"}
    failed = Event.objects.get(code="sign_in.failed")
    assert failed.parameters["reason"] == "wrong_code" and failed.object_name == user.username


def test_a_code_works_once(user, enrolled):
    secret, codes = enrolled
    code = compute_code(secret)
    assert second_factors.check_code(user, code) == "totp"
    for again in (code, compute_code(secret, time.time() - 30)):
        client, _answer = sign_in(user)
        assert client.post("/login/code/", {"code": again}).status_code == 400

    client, _answer = sign_in(user)
    assert client.post("/login/code/", {"code": codes[3].lower().replace("-", " ")}).status_code == 302
    assert Event.objects.get(code="sign_in.succeeded").parameters["factor"] == "recovery_code"
    client, _answer = sign_in(user)
    assert client.post("/login/code/", {"code": codes[3]}).status_code == 400
    assert second_factors.count_recovery_codes(user) == 9


def test_a_clock_that_is_set_back_locks_nobody_out(user, enrolled):
    """The last code was accepted while the clock was an hour ahead; the next one is accepted, and only once."""
    secret, _codes = enrolled
    TotpDevice.objects.update(last_interval=int(time.time() + 3600) // 30)
    code = compute_code(secret)

    assert second_factors.check_code(user, code) == "totp"
    assert second_factors._verify_proof(user, second_factors.Proof(code)) == ""


def test_two_sign_ins_with_one_code_at_once(transactional_db, at_once_codes):
    assert sorted(at_once_codes()) == ["", "totp"]


@pytest.fixture
def at_once_codes():
    import threading

    from django.db import connection

    def run():
        user = UserFactory()
        second_factors.begin_setup(user)
        secret = second_factors.find_unconfirmed_secret(user)
        second_factors.confirm_setup(user, compute_code(secret))
        TotpDevice.objects.update(last_interval=0)
        code, results, barrier = compute_code(secret), [], threading.Barrier(2)

        def verify():
            barrier.wait(10)
            results.append(second_factors._verify_proof(user, second_factors.Proof(code)))
            connection.close()

        threads = [threading.Thread(target=verify) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return results

    return run


@pytest.mark.parametrize(
    "code", ["", " ", "12345", "1234567", "١٢٣٤٥٦", "abcdef", "\x00", "x" * 5000, "-" * 40]
)
def test_codes_that_are_none(user, enrolled, code):
    client, _answer = sign_in(user)

    assert client.post("/login/code/", {"code": code}).status_code == 400


def test_wrong_codes_are_limited_whatever_passwords_are_right(user, enrolled, settings):
    """A correct password resets the count of wrong passwords: it must not reset that of wrong codes."""
    settings.LOGIN_FAILURE_LIMIT = 3
    secret, _codes = enrolled
    statuses = []
    for _ in range(4):
        client, _answer = sign_in(user)
        statuses.append(client.post("/login/code/", {"code": wrong_code(secret)}).status_code)
    assert statuses == [400, 400, 400, 429]
    client, _answer = sign_in(user)
    assert client.post("/login/code/", {"code": compute_code(secret)}).status_code == 429


@pytest.mark.parametrize("change", [{"is_active": False}, {"credentials_epoch": 7}])
def test_a_sign_in_that_waits_for_its_code_ends_with_the_credentials(user, enrolled, change):
    secret, _codes = enrolled
    client, _answer = sign_in(user)
    User.objects.filter(pk=user.pk).update(**change)

    answer = client.post("/login/code/", {"code": compute_code(secret)})

    assert answer["Location"] == "/login/" and client.get("/overview/").status_code == 302


def test_a_sign_in_waits_ten_minutes_for_its_code(user, enrolled, monkeypatch):
    secret, _codes = enrolled
    client, _answer = sign_in(user)
    monkeypatch.setattr("signin.sessions.PENDING_SECONDS", 0)

    assert client.post("/login/code/", {"code": compute_code(secret)})["Location"] == "/login/"
    assert Client().get("/login/code/")["Location"] == "/login/"


def test_rest_asks_for_the_code_too(user, enrolled):
    secret, codes = enrolled
    client = APIClient()
    body = {"username": user.username, "password": "demo"}

    def post(path, **more):
        answer = client.post(f"/api/v1/auth/{path}", body | more, format="json")
        return answer.status_code, answer.json().get("code")

    assert post("login") == (401, "code_required")
    assert post("login", code=wrong_code(secret)) == (401, "wrong_code")
    assert post("login", password="wrong", code=codes[0]) == (401, "wrong_credentials")
    assert post("tokens/", name="ci") == (401, "code_required")
    assert post("tokens/", name="ci", code=wrong_code(secret)) == (401, "wrong_code")
    assert not ApiToken.objects.exists()
    assert post("tokens/", name="ci", code=codes[1])[0] == 201
    assert post("login", code=compute_code(secret))[0] == 200
    assert client.get("/api/v1/auth/me").json()["second_factor"] == "totp"
    assert Event.objects.get(code="sign_in.succeeded").parameters == {"method": "password", "factor": "totp"}


def test_the_admin_has_no_door_of_its_own(enrolled, user):
    User.objects.filter(pk=user.pk).update(is_staff=True, is_superuser=True)
    client = Client()

    answer = client.post("/admin/login/?next=/admin/", {"username": user.username, "password": "demo"})

    assert answer["Location"] == "/login/code/" and client.get("/admin/").status_code == 302
    assert client.post("/login/code/", {"code": compute_code(enrolled[0])})["Location"] == "/admin/"
    plain = UserFactory()
    refused = Client().post("/admin/login/", {"username": plain.username, "password": "demo"})
    assert refused.status_code == 200 and "Incorrect username or password" in text(refused)


def test_disabling_and_renewing_take_a_code(user, enrolled):
    _secret, codes = enrolled
    browser = Client()
    browser.force_login(user)

    assert browser.post(f"{PAGE}codes/", {"code": "000000x"}).status_code == 400
    renewed = browser.post(f"{PAGE}codes/", {"code": codes[0]})
    new = re.findall(r"<code>([A-Z2-7-]{19})</code>", text(renewed))
    assert len(new) == 10 and not set(new) & set(codes)
    assert browser.post(f"{PAGE}disable/", {"code": codes[1]}).status_code == 400
    assert User.objects.get(pk=user.pk).second_factor == "totp"

    assert browser.post(f"{PAGE}disable/", {"code": new[0]}).status_code == 302
    assert not User.objects.get(pk=user.pk).second_factor and not RecoveryCode.objects.exists()
    assert sign_in(user)[1]["Location"] == "/overview/"


def test_staff_must_have_one_where_the_installation_says_so(settings):
    settings.SECOND_FACTOR_FOR_STAFF = True
    staff = UserFactory(is_staff=True, is_superuser=True)
    token = ApiToken.objects.create(user=staff, name="ci", expiry=None)[1]
    browser, program = Client(), APIClient(HTTP_AUTHORIZATION=f"Token {token}")
    browser.force_login(staff)

    for page in ("/overview/", "/admin/", "/preferences/"):
        assert browser.get(page)["Location"] == PAGE
    assert browser.get("/overview/", headers={"X-Panel": "x"}).status_code in {200, 302}
    assert browser.get("/api/v1/vms/").json()["code"] == "second_factor_required"
    assert program.get("/api/v1/vms/").json()["code"] == "second_factor_required"
    assert program.get("/api/v1/vms/").status_code == 403
    assert browser.get(PAGE).status_code == 200 and browser.get("/api/v1/auth/me").status_code == 200
    assert "must have a second factor" in text(browser.get(PAGE))

    browser.post(f"{PAGE}set-up/")
    secret = second_factors.find_unconfirmed_secret(staff)
    browser.post(f"{PAGE}set-up/", {"code": compute_code(secret)})

    assert browser.get("/overview/").status_code == 200 == browser.get("/admin/").status_code
    assert program.get("/api/v1/vms/").status_code == 200
    other = Client()
    other.force_login(MembershipFactory().user)
    assert other.get("/overview/").status_code == 200


def test_a_tenant_demands_one_of_its_members():
    admin = MembershipFactory(role=Role.ADMIN)
    elsewhere = MembershipFactory(user=admin.user)
    program, browser = APIClient(), Client()
    program.force_authenticate(admin.user)
    browser.force_login(admin.user)
    path = f"/api/v1/tenants/{admin.tenant_id}/"

    changed = program.patch(path, {"second_factor_required": True}, format="json")

    assert changed.json()["second_factor_required"] is True
    headers = {"X-Tenant": admin.tenant.slug}
    for refused in (
        program.get("/api/v1/vms/", headers=headers),
        program.get(path + "usage/"),
        program.patch(path, {}),
    ):
        assert (refused.status_code, refused.json()["code"]) == (403, "second_factor_required")
    assert program.get("/api/v1/vms/", headers={"X-Tenant": elsewhere.tenant.slug}).status_code == 200
    browser.post("/tenant/", {"tenant": admin.tenant.slug})
    assert browser.get("/vms/")["Location"] == PAGE
    assert f"{admin.tenant.name} demands a second factor" in text(browser.get(PAGE))
    browser.post("/tenant/", {"tenant": elsewhere.tenant.slug})
    assert browser.get("/vms/").status_code == 200

    User.objects.filter(pk=admin.user_id).update(second_factor="provider")
    program.force_authenticate(User.objects.get(pk=admin.user_id))
    assert program.get(path + "usage/").status_code == 200


def test_administrators_demand_it_on_the_members_page():
    admin, viewer = MembershipFactory(role=Role.ADMIN), MembershipFactory(role=Role.VIEWER)
    browser, other = Client(), Client()
    browser.force_login(admin.user)
    other.force_login(viewer.user)
    User.objects.filter(pk=admin.user_id).update(second_factor="totp")
    path = f"/membership/{admin.tenant_id}/second-factor/"
    assert f'formaction="{path}"' in text(browser.get("/membership/"))
    assert "/second-factor/" not in text(other.get("/membership/")).partition("<main")[2]

    for demanded in ("yes", ""):
        assert browser.post(path, {"demanded": demanded}).status_code == 302
        admin.tenant.refresh_from_db()
        assert admin.tenant.second_factor_required is bool(demanded)
    assert other.post(path, {"demanded": "yes"}).status_code == 404


def test_an_administrator_removes_a_lost_factor(user, enrolled):
    staff = UserFactory(is_staff=True, is_superuser=True)
    browser = Client()
    browser.force_login(staff)

    browser.post(f"/admin/signin/totpdevice/{user.pk}/delete/", {"post": "yes"})

    assert not TotpDevice.objects.exists() and not RecoveryCode.objects.exists()
    assert sign_in(user)[1]["Location"] == "/overview/"
    event = Event.objects.filter(code="user.changed", object_id=str(user.pk)).latest("pk")
    assert (event.actor_name, event.after) == (staff.username, {"second_factor": ""})


def test_the_providers_own_second_factor_counts(provider, sign_in, settings):
    from dataclasses import replace

    settings.OIDC_PROVIDERS["corp"] = replace(settings.OIDC_PROVIDERS["corp"], second_factor=True)
    sign_in()
    assert User.objects.get().second_factor == "provider"
    assert Event.objects.get(code="sign_in.succeeded").parameters["factor"] == "provider"

    settings.OIDC_PROVIDERS["corp"] = replace(settings.OIDC_PROVIDERS["corp"], second_factor=False)
    sign_in()
    assert User.objects.get().second_factor == ""


def test_a_user_of_a_provider_may_have_an_app_as_well(provider, sign_in):
    sign_in()
    user = User.objects.get()
    second_factors.begin_setup(user)
    secret = second_factors.find_unconfirmed_secret(user)
    second_factors.confirm_setup(user, compute_code(secret))
    TotpDevice.objects.update(last_interval=0)

    client, answer = sign_in(following="/vms/")

    assert answer["Location"] == "/login/code/" and client.get("/preferences/").status_code == 302
    assert client.post("/login/code/", {"code": compute_code(secret)})["Location"] == "/vms/"
    assert client.post("/logout/").context["url"].startswith(provider.url)
    event = Event.objects.filter(code="sign_in.succeeded").latest("pk")
    assert event.parameters == {"method": "oidc", "provider": "corp", "factor": "totp"}
