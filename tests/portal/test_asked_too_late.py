"""Requests that come after the session has ended, or with a form that is older than it."""

from __future__ import annotations

import re
import uuid
from urllib.parse import parse_qs, urlsplit

import pytest
from django.test import Client
from django.urls import URLResolver, get_resolver

from api.page_addresses import find_nearest_page, is_for_programs
from tasks.models import Job
from tenants.scoping import Role
from tests.factories import MembershipFactory
from tests.stories import select_evenly
from vms.models import VirtualMachine

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}
SAMPLES = {"uuid": str(uuid.UUID(int=7)), "int": "7", "slug": "upgrade", "str": "x", "path": "a/b"}


def page_addresses():
    """Every address of the portal's own pages, with made-up keys."""
    for pattern in get_resolver().url_patterns:
        is_admin = str(pattern.pattern) == "admin/"
        below = pattern.url_patterns if isinstance(pattern, URLResolver) and not is_admin else [None]
        for page in below:
            if isinstance(page, URLResolver) or (page is None and isinstance(pattern, URLResolver)):
                continue
            route = f"{pattern.pattern}{page.pattern if page else ''}"
            path = "/" + re.sub(r"<(\w+):\w+>", lambda found: SAMPLES[found[1]], route)
            if not is_for_programs(path):
                yield path


def asked_for_next(address):
    target = urlsplit(address)
    assert target.path == "/login/"
    (wanted,) = parse_qs(target.query)["next"]
    return wanted


def is_get_refused(path):
    client = Client()
    client.force_login(MembershipFactory(role=Role.ADMIN).user)
    return client.get(path).status_code == 405


def test_there_are_such_pages():
    assert len(list(page_addresses())) > 40


ADDRESSES = sorted(
    set(page_addresses()) - {"/login/", "/login/code/", "/logout/", "/signed-out/", "/admin/login/"}
)


@pytest.mark.parametrize(
    ("method", "path"),
    [("get", path) for path in select_evenly(ADDRESSES, 20)]
    + [("post", path) for path in select_evenly(ADDRESSES, 15)],
)
def test_after_signing_in_one_is_on_a_page(path, method):
    answer = getattr(Client(), method)(path)

    if answer.status_code == 302 and answer["Location"].startswith("/login/"):
        wanted = asked_for_next(answer["Location"])
        assert find_nearest_page(wanted) == wanted
        assert not is_get_refused(wanted)
        assert not re.search(r"/(lines|events|ask|console)/$", wanted)


@pytest.mark.parametrize(
    "path", select_evenly([path for path in ADDRESSES if path not in {"/language/setlang/", "/"}], 40)
)
def test_a_script_without_a_session_leads_the_whole_page_to_the_sign_in(path):
    here = "http://testserver/vms/?status=running&page=2"
    for method in ("get", "post"):
        answer = getattr(Client(), method)(path, headers={**HTMX, "HX-Current-URL": here})
        if answer.status_code in {404, 405}:
            continue  # An address that the sample does not fit.
        assert answer.content == b""
        assert asked_for_next(answer["HX-Redirect"]) == "/vms/?status=running&page=2"


@pytest.mark.parametrize(
    ("claimed", "wanted"),
    [
        ("http://evil.example/vms/?status=running", "/vms/"),
        ("//evil.example/", "/vms/"),
        ("javascript:alert(1)", "/vms/"),
        ("http://testserver/vms/ask/", "/vms/"),
        ("http://testserver/api/v1/vms/", "/"),
        ("http://testserver/login/?next=/vms/", "/"),
        ("http://testserver/nothing/at/all/", "/"),
        ("http://testserver/" + "x" * 5000, "/vms/"),
        ("", "/vms/"),
    ],
)
@pytest.mark.parametrize("header", ["HX-Current-URL", "Referer"])
def test_the_page_that_one_is_on_is_believed_only_when_it_is_ours(claimed, wanted, header):
    headers = {header: claimed} | (HTMX if header == "HX-Current-URL" else {})

    answer = Client().post("/vms/ask/", headers=headers)

    assert asked_for_next(answer.headers.get("HX-Redirect") or answer["Location"]) == wanted


@pytest.mark.parametrize("wanted", ["/vms/ask/", f"/vms/{uuid.UUID(int=1)}/row/", "/tenant/", "/logout/"])
def test_a_sign_in_that_is_to_lead_to_no_page_leads_to_the_one_above(wanted):
    member = MembershipFactory(role=Role.ADMIN)
    VirtualMachine.objects.all().delete()

    answer = Client().post("/login/", {"username": member.user.username, "password": "demo", "next": wanted})

    assert answer.status_code == 302
    assert answer["Location"] == find_nearest_page(wanted) != wanted


class TestOlderThanTheSession:
    """A form whose CSRF token is not the session's: somebody has signed in again in another tab."""

    @pytest.fixture
    def browser(self, tenant):
        client = Client(enforce_csrf_checks=True)
        client.force_login(MembershipFactory(tenant=tenant, role=Role.ADMIN).user)
        client.get("/vms/")
        return client

    def test_what_was_typed_is_still_there_to_be_sent_again(self, browser, vm):
        typed = {
            "information_system": str(vm.information_system_id),
            "name": "typed <by> hand",
            "cpu_cores": "2",
            "memory_gb": "4",
            "disk_gb": "40",
            "boot": "os:ubuntu|22.04",
            "description": "two\nlines",
            "create": "1",
        }

        refused = browser.post("/vms/new/", {**typed, "csrfmiddlewaretoken": "x" * 64})

        html = refused.content.decode()
        assert refused.status_code == 403
        assert "Your session has changed" in html
        assert "typed &lt;by&gt; hand" in html
        assert '<form class="fields" id="kept-form" method="post" action="/vms/new/">' in html
        assert not Job.objects.exists()
        form = html[html.index('id="kept-form"') :]
        names = re.findall(r'<(?:input|textarea)[^>]* name="([^"]+)"', form)
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', form)[1]
        assert set(names) == {"csrfmiddlewaretoken", *typed}
        # The person presses the button: it is the same form with a token that is good.
        again = browser.post("/vms/new/", {**typed, "csrfmiddlewaretoken": token})
        assert again.status_code == 302
        assert VirtualMachine.objects.filter(name="typed <by> hand").exists()

    def test_secrets_are_typed_again(self, browser):
        html = browser.post(
            "/accounts/new/", {"name": "mine", "secret": "hush-hush", "credential_kind": "password"}
        ).content.decode()

        assert "hush-hush" not in html
        assert 'type="password" name="secret"' in html
        assert ">\nmine</textarea>" in html
        assert ">\npassword</textarea>" in html

    @pytest.mark.parametrize(
        "headers",
        [
            {"Origin": "http://evil.example"},
            {"Origin": "null"},
            {"Referer": "http://evil.example/vms/new/"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site", "Referer": "http://testserver/"},
        ],
    )
    def test_what_another_site_sends_is_not_offered_to_be_sent(self, browser, headers):
        refused = browser.post("/vms/new/", {"name": "of-a-stranger"}, headers=headers)

        assert refused.status_code == 403
        assert b"of-a-stranger" not in refused.content
        assert b"kept-form" not in refused.content

    def test_what_is_too_long_is_not_repeated(self, browser):
        refused = browser.post("/vms/new/", {"description": "<" * 500_000})

        assert refused.status_code == 403
        assert b"too long to be repeated" in refused.content
        assert len(refused.content) < 30_000

    def test_a_script_gets_a_line_above_the_page(self, browser, vm):
        refused = browser.post(f"/vms/{vm.pk}/ask/", {"action": "stop"}, headers=HTMX)

        assert (refused.status_code, refused["HX-Retarget"]) == (403, "#messages")
        assert b"<html" not in refused.content
        assert b"Reload the page" in refused.content

    def test_who_is_signed_out_is_told_how_to_keep_it(self, browser):
        browser.logout()

        html = browser.post("/vms/new/", {"name": "typed"}).content.decode()

        assert ">\ntyped</textarea>" in html
        assert "Sign in in another tab" in html
