"""Sign-ins with a provider that others have written, as a process of its own: oidc-provider-mock."""

from __future__ import annotations

import signal
import sys
import time
from contextlib import contextmanager

import pytest
import requests as http
from django.test import Client

from devserver import launch
from signin import waiting
from signin.models import RoleRule
from signin.oidc import metadata
from signin.providers import parse_oidc_providers
from tenants.models import Membership, User
from tenants.scoping import Role
from tests.factories import TenantFactory, UserFactory
from tests.servers import free_port

pytestmark = [pytest.mark.django_db, pytest.mark.story]


@contextmanager
def run_mock_provider(folder, port):
    process = launch.start(
        [sys.executable, "-m", "oidc_provider_mock", "--port", str(port)],
        log=folder / "provider.log",
        folder=folder,
        environment={"PATH": "/usr/bin:/bin"},
    )
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                http.get(f"http://127.0.0.1:{port}/jwks", timeout=5)
                break
            except http.ConnectionError:
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.05)
        yield
    finally:
        launch.end(process, stop_signal=signal.SIGTERM, seconds=10)


def sign_in():
    """Sign a browser in as the provider's user `anna`; return it and the last answer."""
    client = Client()
    begun = client.get("/sign-in/corp/")
    if begun.status_code != 302:
        return client, begun
    consent = http.post(begun["Location"], data={"sub": "anna"}, allow_redirects=False, timeout=10)
    return client, client.get(consent.headers["Location"])


def test_sign_in_roles_rotation_sign_out_and_outage(tmp_path, settings):
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    settings.OIDC_PROVIDERS = parse_oidc_providers(
        {"corp": {"name": "Corp", "issuer": url, "client_id": "portal", "client_secret": "s"}},
        require_https=False,
    )
    metadata._known.clear()
    rule = RoleRule.objects.create(
        provider="corp", group="operators", tenant=TenantFactory(), role=Role.OPERATOR
    )
    claims = {"preferred_username": "anna", "email": "anna@example.org", "groups": ["operators"]}

    with run_mock_provider(tmp_path, port):
        http.put(f"{url}/users/anna", json=claims, timeout=5).raise_for_status()
        client, answer = sign_in()
        assert answer.status_code == 302 and client.get("/overview/").status_code == 200
        assert User.objects.get().username == "anna@corp"
        assert Membership.objects.get().tenant == rule.tenant
        keys = http.get(f"{url}/jwks", timeout=5).json()
        leaving = client.post("/logout/").context["url"]
        assert leaving.startswith(f"{url}/oauth2/end_session?")
        assert http.get(leaving, timeout=5).status_code == 200

    # The provider comes back with other keys, and the group is gone.
    with run_mock_provider(tmp_path, port):
        assert http.get(f"{url}/jwks", timeout=5).json() != keys
        http.put(f"{url}/users/anna", json=claims | {"groups": []}, timeout=5).raise_for_status()
        client, answer = sign_in()
        assert answer.status_code == 302 and User.objects.count() == 1
        assert not Membership.objects.exists()

    # It is away: its configuration is known, but no code comes back; for another process it is a page that says so.
    metadata._known.clear()
    _client, answer = sign_in()
    assert answer.status_code == 503 and "Corp does not answer" in answer.content.decode()
    UserFactory(username="local", is_staff=True)
    local = Client()
    assert local.post("/login/", {"username": "local", "password": "demo"}).status_code == 302
    waiting._away_until.clear()
