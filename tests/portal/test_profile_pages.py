"""A user's own pages: language, theme and time zone, the password, API tokens, and the switch of the tenant."""

from __future__ import annotations

import re
import uuid
from datetime import timedelta

import pytest
from django.conf import settings
from django.test import Client
from django.utils import translation
from rest_framework.test import APIClient

from api.models import ApiToken
from tenants.models import User
from tenants.scoping import Role
from tests.factories import MembershipFactory, UserFactory

pytestmark = pytest.mark.django_db

PROFILE, PASSWORD, TOKENS = "/preferences/", "/preferences/password/", "/preferences/tokens/"


@pytest.fixture(autouse=True)
def nobodys_language():
    yield
    translation.deactivate()


def text(answer):
    return answer.content.decode()


@pytest.fixture
def user():
    return MembershipFactory(role=Role.VIEWER).user


@pytest.fixture
def browser(user):
    client = Client()
    client.force_login(user)
    return client


@pytest.mark.parametrize(
    "page", [PROFILE, PASSWORD, TOKENS, f"{TOKENS}new/", f"{TOKENS}{uuid.UUID(int=0)}/revoke/"]
)
def test_a_page_is_for_who_has_signed_in(page):
    assert Client().get(page)["Location"].startswith("/login/")
    assert Client().post(page)["Location"].startswith("/login/")


@pytest.mark.parametrize("page", [PROFILE, PASSWORD, TOKENS])
def test_a_user_without_a_tenant_has_a_profile(page):
    client = Client()
    client.force_login(UserFactory())

    assert client.get(page).status_code == 200


# --- Language, theme, time zone ----------------------------------------------------------------------------


def test_the_language_is_that_of_the_pages_at_once(user, browser):
    assert '<html lang="en"' in text(browser.get(PROFILE))

    answer = browser.post(PROFILE, {"language": "zh-hans", "time_zone": "", "theme": ""}, follow=True)

    user.refresh_from_db()
    assert user.language == "zh-hans"
    assert '<html lang="zh-hans"' in text(answer)
    with translation.override("zh-hans"):
        assert translation.gettext("Changes saved.") in text(answer)
    assert '<html lang="zh-hans"' in text(browser.get("/vms/"))


def test_the_language_is_that_of_the_pages_at_each_sign_in(user):
    User.objects.update(language="zh-hans")
    fresh = Client(headers={"Accept-Language": "en"})
    assert '<html lang="en"' in text(fresh.get("/login/"))

    signed_in = fresh.post("/login/", {"username": user.username, "password": "demo"}, follow=True)

    assert '<html lang="zh-hans"' in text(signed_in)


def test_without_a_choice_the_browser_decides(user, browser):
    chinese = Client(headers={"Accept-Language": "zh-CN,zh;q=0.9"})
    assert '<html lang="zh-hans"' in text(
        chinese.post("/login/", {"username": user.username, "password": "demo"}, follow=True)
    )

    browser.post(PROFILE, {"language": "zh-hans"})
    back = browser.post(PROFILE, {"language": ""}, follow=True, headers={"Accept-Language": "en"})

    assert '<html lang="en"' in text(back)
    assert "Changes saved." in text(back)
    assert not browser.cookies[settings.LANGUAGE_COOKIE_NAME].value


def test_the_theme_is_that_of_every_page(user, browser):
    assert "data-theme" not in text(browser.get("/vms/"))

    browser.post(PROFILE, {"theme": "dark"})

    assert 'data-theme="dark"' in text(browser.get("/vms/"))
    assert browser.get("/api/v1/auth/me").json()["theme"] == "dark"


def test_what_is_not_sent_stays(user, browser):
    User.objects.update(language="zh-hans", theme="dark", time_zone="Asia/Tokyo")

    browser.post(PROFILE, {"time_zone": "Europe/Berlin"})

    user.refresh_from_db()
    assert (user.language, user.theme, user.time_zone) == ("zh-hans", "dark", "Europe/Berlin")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"language": "tlh"}, "language"),
        ({"language": "x" * 5000}, "language"),
        ({"theme": "pink"}, "theme"),
        ({"theme": "\x00"}, "theme"),
        ({"time_zone": "Moon/Base"}, "time-zone"),
        ({"time_zone": "\x00"}, "time-zone"),
        ({"time_zone": "x" * 5000}, "time-zone"),
    ],
)
def test_what_is_wrong_stands_at_its_field_and_nothing_is_saved(user, browser, fields, field):
    answer = browser.post(PROFILE, {"theme": "dark", **fields})

    assert answer.status_code == 400
    assert f'id="{field}-error"' in text(answer)
    user.refresh_from_db()
    assert (user.language, user.theme, user.time_zone) == ("", "", "")


def test_the_api_sets_language_and_theme(user):
    client = APIClient()
    client.force_authenticate(user)

    changed = client.patch("/api/v1/auth/me", {"theme": "light", "language": "zh-hans"}, format="json")
    refused = client.patch("/api/v1/auth/me", {"theme": "pink"}, format="json")

    assert (changed.json()["theme"], changed.json()["language"]) == ("light", "zh-hans")
    assert (refused.status_code, list(refused.json()["errors"])) == (400, ["theme"])


# --- The password ------------------------------------------------------------------------------------------

NEW = "correct horse 7 battery"


def test_a_new_password_ends_other_sessions_and_tokens_and_not_this_one(user, browser):
    other = Client()
    other.force_login(user)
    _row, token = ApiToken.objects.create(user=user, name="script", expiry=None)

    answer = browser.post(
        PASSWORD, {"old_password": "demo", "new_password1": NEW, "new_password2": NEW}, follow=True
    )

    assert "The password was changed." in text(answer)
    assert browser.get("/vms/").status_code == 200
    assert other.get("/vms/")["Location"].startswith("/login/")
    assert APIClient().get("/api/v1/vms/", headers={"Authorization": f"Token {token}"}).status_code == 401
    user.refresh_from_db()
    assert user.check_password(NEW)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"old_password": ""}, "old-password"),
        ({"old_password": "wrong"}, "old-password"),
        ({"new_password1": ""}, "new-password1"),
        ({"new_password2": ""}, "new-password2"),
        ({"new_password2": "different"}, "new-password2"),
        ({"new_password1": "short", "new_password2": "short"}, "new-password2"),
        ({"new_password1": "12345678901", "new_password2": "12345678901"}, "new-password2"),
        ({"new_password1": "password", "new_password2": "password"}, "new-password2"),
    ],
)
def test_a_password_is_refused_at_its_field_and_never_sent_back(user, browser, fields, field):
    form = {"old_password": "demo", "new_password1": NEW, "new_password2": NEW, **fields}

    answer = browser.post(PASSWORD, form)

    assert answer.status_code == 400
    assert f'id="{field}-error"' in text(answer)
    assert NEW not in text(answer)
    user.refresh_from_db()
    assert user.check_password("demo")


def test_guesses_of_the_present_password_are_limited(user, browser):
    form = {"old_password": "wrong", "new_password1": NEW, "new_password2": NEW}

    answers = [
        browser.post(PASSWORD, form).status_code for _attempt in range(settings.LOGIN_FAILURE_LIMIT + 1)
    ]

    assert answers[0] == 400
    assert answers[-1] == 429


# --- API tokens --------------------------------------------------------------------------------------------


def new_form(browser):
    return re.search(r'name="token_key" value="(\w+)"', text(browser.get(f"{TOKENS}new/")))[1]


def test_a_token_is_shown_once_and_works(user, browser):
    answer = browser.post(f"{TOKENS}new/", {"name": "script", "token_key": new_form(browser)})

    token = re.search(r'data-copy-text="([^"]+)"', text(answer))[1]
    assert "no-store" in answer["Cache-Control"]
    assert APIClient().get("/api/v1/vms/", headers={"Authorization": f"Token {token}"}).status_code == 200
    html = text(browser.get(TOKENS))
    assert "script" in html
    assert token not in html
    row = ApiToken.objects.get()
    assert row.expiry - row.created > timedelta(days=settings.API_TOKEN_DAYS - 1)


def test_a_form_that_is_sent_twice_makes_one_token(browser):
    form = {"name": "script", "token_key": new_form(browser)}

    browser.post(f"{TOKENS}new/", form)
    again = browser.post(f"{TOKENS}new/", form, follow=True)

    assert ApiToken.objects.count() == 1
    assert "already created and shown once" in text(again)
    browser.post(f"{TOKENS}new/", {"name": "other", "token_key": new_form(browser)})
    assert ApiToken.objects.count() == 2


@pytest.mark.parametrize("name", ["", "x" * 101, "a\x00", "a\u202eb"])
def test_a_token_without_a_proper_name_is_refused_at_the_field(browser, name):
    answer = browser.post(f"{TOKENS}new/", {"name": name, "token_key": new_form(browser)})

    assert answer.status_code == 400
    assert 'id="name-error"' in text(answer)
    assert not ApiToken.objects.exists()


def test_a_token_is_revoked_by_its_owner_alone(user, browser):
    row, _token = ApiToken.objects.create(user=user, name="script", expiry=None)
    theirs, _token = ApiToken.objects.create(user=UserFactory(), name="theirs", expiry=None)

    assert "theirs" not in text(browser.get(TOKENS))
    for method in (browser.get, browser.post):
        assert method(f"{TOKENS}{theirs.id}/revoke/").status_code == 404
    assert "Revoke token script" in text(browser.get(f"{TOKENS}{row.id}/revoke/"))
    assert "Token script was revoked." in text(browser.post(f"{TOKENS}{row.id}/revoke/", follow=True))
    assert list(ApiToken.objects.all()) == [theirs]
    assert browser.post(f"{TOKENS}{row.id}/revoke/").status_code == 404


def test_the_list_tells_which_tokens_still_work(user, browser):
    ApiToken.objects.create(user=user, name="good", expiry=timedelta(days=1))
    ApiToken.objects.create(user=user, name="old", expiry=timedelta(days=-1))
    ended, _token = ApiToken.objects.create(user=user, name="ended", expiry=None)
    ApiToken.objects.filter(pk=ended.pk).update(credentials_epoch=99)

    html = text(browser.get(f"{TOKENS}?ordering=name"))

    assert re.findall(r">(Valid|Expired|Ended by a change of the password)<", html) == [
        "Ended by a change of the password",
        "Valid",
        "Expired",
    ]
    assert "good" not in text(browser.get(f"{TOKENS}?search=old"))


# --- The tenant --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "target"),
    [
        ("/volumes/", "/volumes/"),
        ("/systems/?search=x", "/systems/?search=x"),
        ("/volumes/new/", "/volumes/new/"),
        ("/vms/sync-now/", "/vms/"),
        ("", "/"),
        ("https://evil.example/vms/", "/"),
        ("//evil.example/vms/", "/"),
        ("/\\evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("/nowhere/", "/"),
        ("/" + "x" * 5000, "/"),
        ("/volumes/\x00", "/volumes/"),
    ],
)
def test_a_switch_of_the_tenant_stays_where_one_is(user, browser, sent, target):
    second = MembershipFactory(user=user)

    answer = browser.post("/tenant/", {"tenant": second.tenant.slug, "next": sent})

    assert (answer.status_code, answer["Location"]) == (302, target)
    assert browser.session["tenant"] == second.tenant.slug


def test_the_switch_of_a_list_leads_back_to_it(user, browser):
    html = text(browser.get("/volumes/"))

    assert '<input type="hidden" name="next" value="/volumes/">' in html


def test_the_language_menu_is_remembered_for_the_next_sign_in_too(as_role):
    client = as_role(Role.VIEWER)

    answer = client.post("/language/setlang/", {"language": "zh-hans", "next": "/vms/"})
    assert answer["Location"] == "/vms/"
    assert 'lang="zh-hans"' in client.get("/vms/").content.decode()
    user = User.objects.get(pk=client.session["_auth_user_id"])
    assert user.language == "zh-hans"
    client.post("/language/setlang/", {"language": "klingon"})
    user.refresh_from_db()
    assert user.language == "zh-hans"

    elsewhere = Client()
    elsewhere.post("/login/", {"username": user.username, "password": "demo"})
    assert 'lang="zh-hans"' in elsewhere.get("/vms/").content.decode()
