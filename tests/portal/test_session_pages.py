"""A user's own sessions on the profile: which there are, and how one or all others are ended."""

from __future__ import annotations

import re
import uuid
from datetime import timedelta

import pytest
from django.contrib.sessions.models import Session
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from api import sessions
from api.models import UserSession
from api.sessions import digest_session_key
from api.tasks import delete_expired_rows
from tenants.scoping import Role
from tests.factories import MembershipFactory, UserFactory

pytestmark = pytest.mark.django_db

SESSIONS = "/preferences/sessions/"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
EDGE = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0"
PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1"


@pytest.fixture
def user():
    return MembershipFactory(role=Role.VIEWER).user


def sign_in(user, agent=FIREFOX, address="192.0.2.7"):
    client = Client(headers={"User-Agent": agent}, REMOTE_ADDR=address)
    answer = client.post("/login/", {"username": user.username, "password": "demo"})
    assert answer.status_code == 302
    return client


def text(answer):
    return answer.content.decode()


def row_of(client):
    return UserSession.objects.get(key_digest=digest_session_key(client.session.session_key))


def test_each_browser_is_a_session_in_words(user):
    laptop, _work = sign_in(user), sign_in(user, EDGE, "198.51.100.2")
    sign_in(user, PHONE, "2001:db8::5")

    html = text(laptop.get(SESSIONS))

    for words in ("Firefox on Linux", "Edge on Windows", "Safari on iOS", "192.0.2.7", "2001:db8::5"):
        assert words in html
    (current,) = [row for row in html.split("<tr id=")[1:] if "This session" in row]
    assert "Firefox on Linux" in current


def test_nothing_that_opens_a_session_is_stored_or_shown(user):
    browser = sign_in(user)
    key = browser.session.session_key

    html = text(browser.get(SESSIONS))
    answer = browser.get("/api/v1/auth/sessions/").json()

    assert key not in html
    assert digest_session_key(key) not in html + str(answer)
    assert key not in str(UserSession.objects.values_list().get())
    assert (answer["count"], answer["results"][0]["is_current"]) == (1, True)
    assert answer["results"][0]["browser"] == "Firefox"


def test_an_ended_session_is_signed_out_and_the_others_are_not(user):
    here, there = sign_in(user), sign_in(user, EDGE)
    end = f"{SESSIONS}{row_of(there).id}/end/"
    assert "End session Edge on Windows" in text(here.get(end))
    assert there.get("/overview/").status_code == 200

    answer = here.post(end, follow=True)

    assert "The session Edge on Windows was ended." in text(answer)
    assert there.get("/overview/")["Location"].startswith("/login/")
    assert there.get("/api/v1/auth/me").status_code == 401
    assert here.get("/overview/").status_code == 200
    assert here.post(end).status_code == 404


def test_all_other_sessions_end_at_once(user):
    here, there, phone = sign_in(user), sign_in(user, EDGE), sign_in(user, PHONE)
    stranger = sign_in(UserFactory())

    answer = here.post(f"{SESSIONS}end-others/", follow=True)

    assert "2 sessions were ended." in text(answer)
    for ended in (there, phone):
        assert ended.get("/overview/")["Location"].startswith("/login/")
    assert here.get(SESSIONS).status_code == 200
    assert "End other sessions" not in text(here.get(SESSIONS))
    assert stranger.get(SESSIONS).status_code == 200


def test_the_end_of_this_session_leads_to_the_sign_in(user):
    browser = sign_in(user)

    answer = browser.post(f"{SESSIONS}{row_of(browser).id}/end/")

    assert (answer.status_code, answer["Location"]) == (302, SESSIONS)
    assert browser.get(SESSIONS)["Location"].startswith("/login/")


def test_a_session_of_somebody_else_is_not_found(user):
    browser, theirs = sign_in(user), sign_in(UserFactory(), EDGE)
    theirs.get(SESSIONS)

    for method in (browser.get, browser.post):
        assert method(f"{SESSIONS}{row_of(theirs).id}/end/").status_code == 404
        assert method(f"{SESSIONS}{uuid.uuid4()}/end/").status_code == 404
    assert "Edge" not in text(browser.get(SESSIONS))
    assert browser.delete(f"/api/v1/auth/sessions/{row_of(theirs).id}/").status_code == 404
    assert theirs.get(SESSIONS).status_code == 200


@pytest.mark.parametrize("page", [SESSIONS, f"{SESSIONS}end-others/", f"{SESSIONS}{uuid.UUID(int=0)}/end/"])
def test_a_page_is_for_who_has_signed_in(page):
    assert Client().get(page)["Location"].startswith("/login/")


def test_signing_out_removes_the_session_from_the_list(user):
    here, there = sign_in(user), sign_in(user, EDGE)
    assert UserSession.objects.count() == 2

    there.post("/logout/")

    assert "Edge" not in text(here.get(SESSIONS))
    assert UserSession.objects.count() == 1


def test_a_new_password_keeps_this_session_with_its_begin_and_hides_the_ended_ones(user):
    here, _there = sign_in(user), sign_in(user, EDGE)
    before = row_of(here)
    new = "correct horse 7 battery"

    here.post("/preferences/password/", {"old_password": "demo", "new_password1": new, "new_password2": new})

    after = row_of(here)
    assert (after.id, after.created_at) == (before.id, before.created_at)
    assert after.key_digest != before.key_digest
    html = text(here.get(SESSIONS))
    assert "Firefox on Linux" in html
    assert "Edge" not in html


def test_a_request_writes_nothing_for_minutes_after_the_last(user, monkeypatch):
    browser = sign_in(user)
    browser.get("/overview/")

    with CaptureQueriesContext(
        connection,
    ) as few:
        browser.get("/overview/")
    assert not [query for query in few if "portal_api_usersession" in query["sql"]]

    monkeypatch.setattr(sessions, "_recorded", {})
    UserSession.objects.update(last_used_at=timezone.now() - timedelta(hours=1))
    browser.get("/overview/")

    assert row_of(browser).last_used_at > timezone.now() - timedelta(minutes=1)


def test_a_session_of_the_release_before_appears_when_it_is_used(user):
    browser = sign_in(user)
    browser.get("/overview/")
    UserSession.objects.all().delete()
    sessions._recorded.clear()

    assert "Firefox on Linux" in text(browser.get(SESSIONS))


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        ("", "Unknown browser"),
        ("<script>alert(1)</script>", "Unknown browser"),
        ("x" * 5000, "Unknown browser"),
        ("curl/8.5.0", "curl"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15) Version/17 Safari/605", "Safari on macOS"),
    ],
)
def test_any_text_of_a_browser_is_bounded_and_harmless(user, agent, words):
    browser = sign_in(user, agent)

    html = text(browser.get(SESSIONS))

    assert f'<td class="name">{words}' in html
    assert "<script>alert" not in html
    assert len(row_of(browser).user_agent) <= 300


def test_the_beat_removes_what_has_expired_or_is_gone(user):
    kept, expired, gone = sign_in(user), sign_in(user), sign_in(user)
    long_ago = timezone.now() - timedelta(days=20)
    UserSession.objects.update(created_at=long_ago)
    key = expired.session.session_key
    Session.objects.filter(session_key=key).update(expire_date=timezone.now() - timedelta(seconds=1))
    Session.objects.filter(session_key=gone.session.session_key).delete()

    delete_expired_rows()

    assert not Session.objects.filter(session_key=key).exists()
    assert [row.key_digest for row in UserSession.objects.all()] == [
        digest_session_key(kept.session.session_key)
    ]
    assert kept.get(SESSIONS).status_code == 200


def test_the_api_ends_one_session_and_all_others(user):
    here, there, third = sign_in(user), sign_in(user, EDGE), sign_in(user, PHONE)
    csrf = {"X-CSRFToken": here.get("/api/v1/auth/me").cookies["csrftoken"].value}

    assert here.delete(f"/api/v1/auth/sessions/{row_of(there).id}/", headers=csrf).status_code == 204
    assert there.get("/api/v1/auth/me").status_code == 401
    answer = here.post("/api/v1/auth/sessions/end-others/", headers=csrf)

    assert (answer.status_code, answer.json()) == (200, {"ended": 1})
    assert third.get("/api/v1/auth/me").status_code == 401
    assert here.get("/api/v1/auth/sessions/").json()["count"] == 1


def test_the_list_costs_the_same_for_many_sessions(user):
    browser = sign_in(user)
    browser.get(SESSIONS)

    def count():
        with CaptureQueriesContext(connection) as queries:
            assert browser.get(SESSIONS).status_code == 200
        return len(queries)

    few = count()
    for _number in range(10):
        sign_in(user, EDGE)

    assert count() == few
    assert len(re.findall(r"<td class=\"name\">Edge on Windows", text(browser.get(SESSIONS)))) == 10
