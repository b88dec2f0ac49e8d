"""Every answer has the headers by which browsers protect its reader: of each route, for strangers and for administrators."""

from __future__ import annotations

import re

import pytest
from django.urls import URLPattern, get_resolver
from rest_framework.test import APIClient

from tests.factories import UserFactory
from tests.stories import select_evenly

pytestmark = pytest.mark.django_db

SAMPLES = {"uuid": "00000000-0000-4000-8000-000000000007", "int": "7", "slug": "x", "str": "x", "path": "a/b"}
# What a policy must never allow a script or a style: code in the page itself, code from texts, and other hosts.
FORBIDDEN_SOURCES = ("unsafe-inline", "unsafe-eval", "http:", "https:", "*")
# Swagger UI brings styles of its own; see `portal/api_document.py`.
WITH_INLINE_STYLES = {"/api/docs/"}


def list_routes(patterns=None, prefix="/"):
    """Return the address of each route, with sample keys in the place of variables."""
    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        route = prefix + str(pattern.pattern).removeprefix("^").removesuffix("$").removesuffix("\\Z")
        if isinstance(pattern, URLPattern):
            address = re.sub(r"<(?:(\w+):)?\w+>", lambda found: SAMPLES[found[1] or "str"], route)
            if not re.search(r"[()\\?]", address):  # A route of the admin that is a regular expression.
                yield address
        else:
            yield from list_routes(pattern.url_patterns, route)


ROUTES = sorted(set(list_routes()))
# The admin's pages are all drawn by the same code of Django, which takes long; the answers of the API are all alike, too.
PAGES = [address for address in ROUTES if not address.startswith(("/admin/", "/api/"))]
TRIED = [
    *PAGES,
    *select_evenly([address for address in ROUTES if address.startswith("/admin/")], 10),
    *select_evenly([address for address in ROUTES if address.startswith("/api/")], 60),
]


def read_policy(answer):
    """Return the directives of a Content-Security-Policy by name."""
    directives = (part.split() for part in answer["Content-Security-Policy"].split(";"))
    return {name: sources for name, *sources in directives}


def find_faults(answer, address):
    """Return what protects the reader of an answer too little."""
    expected = {
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
        "X-Frame-Options": "DENY",
        "Cross-Origin-Opener-Policy": "same-origin",
    }
    yield from (
        f"{name}: {answer.get(name)}" for name, value in expected.items() if answer.get(name) != value
    )
    policy = read_policy(answer)
    for name, sources in {
        "object-src": ["'none'"],
        "base-uri": ["'self'"],
        "frame-ancestors": ["'none'"],
    }.items():
        if policy.get(name) != sources:
            yield f"{name}: {policy.get(name)}"
    for name in ("default-src", "script-src", "style-src"):
        is_exempt = name == "style-src" and address in WITH_INLINE_STYLES
        for source in policy.get(name, []):
            if not is_exempt and any(source.strip("'").startswith(word) for word in FORBIDDEN_SOURCES):
                yield f"{name}: {source}"
    for cookie in answer.cookies.values():
        if not cookie["samesite"] or (cookie.key == "sessionid" and not cookie["httponly"]):
            yield f"cookie: {cookie.OutputString()}"


@pytest.mark.parametrize("is_signed_in", [False, True], ids=["stranger", "administrator"])
def test_every_answer_protects_its_reader(is_signed_in, settings):
    settings.JOB_EVENTS_SECONDS = 0
    settings.SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
    assert len(ROUTES) > 250
    client = APIClient(raise_request_exception=False)
    if is_signed_in:
        client.force_login(UserFactory(is_staff=True, is_superuser=True))

    faults = {}
    # The middleware is the same for strangers, whom most pages send to the sign-in.
    for address in TRIED if is_signed_in else select_evenly(TRIED, 80):
        if address in {"/logout/", "/admin/logout/"}:
            continue  # It would sign the administrator out.
        answer = client.get(address)
        if found := list(find_faults(answer, address)):
            faults[address] = (answer.status_code, found)
        assert answer.status_code < 500 or address.startswith("/health/"), address

    assert faults == {}
