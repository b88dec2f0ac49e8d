"""A tenant's own Keystone tries to lead the portal to its loopback: by its catalog, by redirects, by a name that changes.

Here 127.0.0.2 is where clouds are allowed, and 127.0.0.3 is what must never be reached.
"""

from __future__ import annotations

import json
import socket
import threading
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest
from django.utils import timezone

from cloudaccounts import connect
from cloudaccounts.connect import open_cloud
from cloudaccounts.models import CloudAccount
from openstack_client import CloudAddressRefusedError, CloudError, InvalidCloudRequestError
from security.policies import cloud_policy

PASSWORD = "the tenant's password"


class Recorder(ThreadingHTTPServer):
    """Keeps what is sent to it, and answers with what `answers` has for the path, as a function of the server."""

    daemon_threads = True

    def __init__(self, address):
        super().__init__((address, 0), _Handler)
        self.url = f"http://{address}:{self.server_port}"
        self.sent = []
        self.answers = {}
        self.elsewhere = (404, {}, {})


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        self.server.sent.append((self.command, self.path, dict(self.headers), body))
        status, headers, said = self.server.answers.get(urlsplit(self.path).path, self.server.elsewhere)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(json.dumps(said).encode())

    do_POST = do_GET  # noqa: N815 - the library's name.

    def log_message(self, *_words):
        """Says nothing."""


@contextmanager
def recording(address):
    server = Recorder(address)
    serving = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    serving.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        serving.join(5)


@pytest.fixture
def keystone(settings):
    """A Keystone that a tenant may have; its catalog leads to itself."""
    settings.ALLOW_LOCAL_CLOUDS = False
    settings.ALLOWED_ADDRESSES = ["127.0.0.2"]
    with recording("127.0.0.2") as server:
        logs_in_to(server, server.url)
        server.answers["/compute/v2.1"] = (200, {}, {})
        yield server


@pytest.fixture
def inside():
    """What listens on the portal's own loopback."""
    with recording("127.0.0.3") as server:
        yield server


def logs_in_to(keystone, compute_url):
    now = timezone.now()
    token = {
        "methods": ["password"],
        "expires_at": (now + timedelta(hours=1)).isoformat(),
        "issued_at": now.isoformat(),
        "project": {"id": "p", "name": "p", "domain": {"id": "default", "name": "Default"}},
        "user": {"id": "u", "name": "u", "domain": {"id": "default", "name": "Default"}},
        "roles": [],
        "catalog": [
            {
                "type": "compute",
                "id": "c",
                "name": "nova",
                "endpoints": [
                    {
                        "interface": "public",
                        "region": "RegionOne",
                        "region_id": "RegionOne",
                        "id": "e",
                        "url": f"{compute_url}/compute/v2.1",
                    }
                ],
            }
        ],
    }
    keystone.answers["/v3/auth/tokens"] = (201, {"X-Subject-Token": "a-token"}, {"token": token})


def account_at(url):
    account = CloudAccount(
        pk=4711, name="theirs", auth_url=f"{url}/v3", access_id="u", project="p", credential_kind="password"
    )
    account.set_secret(PASSWORD)
    return account


def failure(url):
    with pytest.raises(CloudError) as caught:
        open_cloud(account_at(url), "RegionOne").check()
    assert PASSWORD not in caught.value.message
    return caught.value


@pytest.mark.parametrize(
    "host",
    ["127.0.0.3", "127.3", "2130706435", "0x7f000003", "0177.0.0.3", "[::ffff:127.0.0.3]"],
)
def test_a_catalog_that_leads_to_loopback_leads_nowhere(keystone, inside, host):
    logs_in_to(keystone, f"http://{host}:{inside.server_port}")

    error = failure(keystone.url)

    assert type(error) is CloudAddressRefusedError
    assert f"The catalog of {keystone.url} leads to http://" in error.message
    assert "127.0.0.3 is the portal's own machine" in error.message
    assert inside.sent == []


def test_a_host_that_is_none_until_it_is_normalized_leads_nowhere(keystone, inside):
    for host in ("①②⑦.⓪.⓪.③", "127。0。0。3", "127.0.0.3%00", "[::1%25lo]"):
        logs_in_to(keystone, f"http://{host}:{inside.server_port}")
        assert isinstance(failure(keystone.url), CloudError)
    assert inside.sent == []


def test_a_catalog_that_leads_to_metadata_leads_nowhere_even_where_local_clouds_are_allowed(
    keystone, settings
):
    settings.ALLOW_LOCAL_CLOUDS = True
    for host in ("169.254.169.254", "[fd00:ec2::254]", "[::ffff:100.100.100.200]"):
        logs_in_to(keystone, f"http://{host}")
        error = failure(keystone.url)
        assert type(error) is CloudAddressRefusedError and "metadata" in error.message


def test_the_portals_database_and_broker_are_no_cloud_even_where_local_clouds_are_allowed(keystone, settings):
    settings.ALLOW_LOCAL_CLOUDS = True
    for port in (settings.DATABASES["default"]["PORT"], urlsplit(settings.REDIS_URL).port):
        logs_in_to(keystone, f"http://127.0.0.1:{port}")
        assert "own database or broker" in failure(keystone.url).message
        assert "own database or broker" in failure(f"http://127.0.0.2:{port}").message


def test_an_address_that_was_entered_is_refused_in_the_words_of_who_entered_it(inside, settings):
    settings.ALLOW_LOCAL_CLOUDS = False

    error = failure(inside.url)

    assert error.message == (
        f"The auth URL leads to {inside.url}, where clouds are not allowed: "
        "127.0.0.3 is the portal's own machine or network link (ALLOW_LOCAL_CLOUDS)."
    )
    assert inside.sent == []


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_login_that_is_redirected_takes_no_password_along(keystone, inside, status):
    keystone.answers["/v3/auth/tokens"] = (status, {"Location": f"{inside.url}/v3/auth/tokens"}, {})

    error = failure(keystone.url)

    assert type(error) is InvalidCloudRequestError and f"to {inside.url}" in error.message
    assert inside.sent == []


def test_a_service_that_redirects_elsewhere_takes_no_token_along(keystone, settings):
    """Not even where clouds are allowed: another host is not the one that the token was for."""
    settings.ALLOWED_ADDRESSES = ["127.0.0.0/8"]
    with recording("127.0.0.4") as other:
        del keystone.answers["/compute/v2.1"]
        keystone.elsewhere = (302, {"Location": f"{other.url}/compute/v2.1"}, {})
        assert type(failure(keystone.url)) is InvalidCloudRequestError
        assert other.sent == []


def test_a_name_that_changes_its_address_between_two_connections_is_refused(keystone, inside, monkeypatch):
    """DNS rebinding: the name was right when it was saved, and when the portal logged in."""
    answers = iter(["127.0.0.2"] + ["127.0.0.3"] * 9)

    def resolve(_host, port, **_more):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

    monkeypatch.setattr(connect, "cloud_policy", lambda: replace(cloud_policy(), resolve=resolve))
    logs_in_to(keystone, f"http://cloud.example:{keystone.server_port}")

    error = failure(f"http://cloud.example:{keystone.server_port}")

    assert [sent[:2] for sent in keystone.sent] == [("POST", "/v3/auth/tokens")]
    assert keystone.sent[0][2]["Host"] == f"cloud.example:{keystone.server_port}"
    assert type(error) is CloudAddressRefusedError and "127.0.0.3" in error.message
    assert inside.sent == []
