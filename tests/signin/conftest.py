"""A provider in the settings, and browsers that sign in with it."""

from __future__ import annotations

import http.client
from contextlib import closing
from urllib.parse import urlsplit

import pytest
from django.test import Client

from signin import waiting
from signin.oidc import metadata
from signin.providers import parse_oidc_providers

from .provider import CLIENT_ID, CLIENT_SECRET, run_provider


@pytest.fixture
def provider(settings):
    """A provider, which the settings know as `corp`, and which the process has never asked before."""
    with run_provider() as running:
        settings.OIDC_PROVIDERS = parse_oidc_providers(
            {
                "corp": {
                    "name": "Company account",
                    "issuer": running.url,
                    "client_id": CLIENT_ID,
                    "client_secret": CLIENT_SECRET,
                }
            },
            require_https=False,
        )
        metadata._known.clear()
        waiting._away_until.clear()
        yield running
        metadata._known.clear()
        waiting._away_until.clear()


def follow_to_callback(url):
    """Do what the browser does at the provider; return the path with which it comes back."""
    parts = urlsplit(url)
    with closing(http.client.HTTPConnection(parts.hostname, parts.port, timeout=10)) as connection:
        connection.request("GET", f"{parts.path}?{parts.query}")
        back = urlsplit(connection.getresponse().headers["Location"])
    return f"{back.path}?{back.query}"


@pytest.fixture
def sign_in(provider):
    """A function that signs a browser in with the provider, and returns it with the last answer."""

    def sign_in(client=None, following=""):
        client = client or Client()
        begun = client.get("/sign-in/corp/", {"next": following} if following else {})
        if begun.status_code != 302:
            return client, begun
        return client, client.get(follow_to_callback(begun["Location"]))

    return sign_in
