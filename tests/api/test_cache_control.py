"""No cache may store a tenant's responses; public documents are rendered once and have an ETag."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from drf_spectacular.generators import SchemaGenerator
from rest_framework.test import APIClient

from api.models import ApiToken
from portal.api_document import build_document
from tests.factories import MembershipFactory, UserFactory, VirtualMachineFactory

pytestmark = pytest.mark.django_db

VARY = {"Authorization", "Cookie", "X-Tenant", "Accept-Language"}


def vary(response: Any) -> set[str]:
    return {name.strip() for name in response["Vary"].split(",")}


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/vms/",
        "/api/v1/vms/export/",
        "/api/v1/vms/nothing/",
        "/api/v1/auth/me",
        "/api/v1/jobs/?unknown=1",
        "/vms/",
        "/volumes/",
        "/services/",
        "/sync-logs/",
        "/nothing/",
        "/admin/",
        "/admin/login/",
        "/admin/vms/virtualmachine/",
        "/login/",
        "/api/docs/?script=",  # It has the CSRF token of its reader in it.
        "/health/ready",
        "/metrics",
    ],
)
@pytest.mark.parametrize("by", ["session", "token", "nobody"])
def test_private_answers_are_never_stored(path: str, by: str) -> None:
    user = UserFactory(is_staff=True, is_superuser=True)
    client: Any = Client()
    if by == "session":
        client.force_login(user)
    if by == "token":
        client = APIClient()
        client.credentials(
            HTTP_AUTHORIZATION=f"Token {ApiToken.objects.create(user=user, name='a', expiry=None)[1]}"
        )

    response = client.get(path)

    assert "no-store" in response["Cache-Control"]
    assert vary(response) >= VARY


def test_what_a_page_posts_and_shows_in_parts_is_never_stored() -> None:
    member = MembershipFactory(role="admin")
    vm = VirtualMachineFactory(information_system__tenant=member.tenant)
    client = Client()
    client.force_login(member.user)

    for response in (
        client.get(f"/vms/{vm.pk}/console/"),
        client.get(f"/vms/{vm.pk}/row/"),
        client.post(f"/vms/{vm.pk}/ask/", {"action": "nothing"}),
    ):
        assert "no-store" in response["Cache-Control"]
        assert vary(response) >= VARY


@pytest.mark.parametrize("path", ["/api/schema/", "/api/schema/?format=json", "/api/docs/"])
def test_what_is_everybodys_has_an_etag(path: str) -> None:
    first = Client().get(path)
    again = Client().get(path, headers={"If-None-Match": first["ETag"]})
    weak = Client().get(path, headers={"If-None-Match": f"W/{first['ETag']}"})

    assert (first.status_code, again.status_code, weak.status_code) == (200, 304, 304)
    assert not again.content
    assert "no-cache" in first["Cache-Control"]
    assert {"Accept", "Accept-Language"} <= vary(first)


@pytest.mark.story
def test_the_document_is_made_once_for_each_language_and_form(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    real = SchemaGenerator.get_schema
    monkeypatch.setattr(
        SchemaGenerator, "get_schema", lambda self, **kwargs: (made.append(1), real(self, **kwargs))[1]
    )
    build_document.cache_clear()
    client = Client()

    for _ in range(3):
        english = client.get("/api/schema/?format=json").json()
        chinese = client.get("/api/schema/?format=json", headers={"Accept-Language": "zh-hans"}).json()
        assert client.get("/api/schema/?lang=" + "x" * 100).status_code == 200
        assert (
            client.get("/api/schema/", headers={"Accept": "application/vnd.oai.openapi"}).status_code == 200
        )

    assert len(made) == 3
    assert english["paths"].keys() == chinese["paths"].keys()


def test_the_policy_allows_no_inline_styles() -> None:
    for path in ("/login/", "/api/docs/", "/admin/login/", "/api/schema/", "/nothing/"):
        response = Client().get(path)
        assert "unsafe-inline" not in response["Content-Security-Policy"]
        if response["Content-Type"].startswith("text/html"):
            assert b"<style" not in response.content
            assert b" style=" not in response.content
