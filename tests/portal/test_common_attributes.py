"""What resources of all clouds have in common, on the pages of the inventory: state, tags, size, end of what is prepaid."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.utils import timezone

from tenants.scoping import Role
from tests.factories import CloudResourceFactory

pytestmark = pytest.mark.django_db


def list_names(client, query):
    """Return the names of the inventory's rows, in order."""
    page = client.get(f"/resources/{query}").content.decode()
    return re.findall(r'<td class="name"><a href="/resources/[^"]+/"[^>]*>([^<]*)</a>', page)


def test_they_are_shown_and_filter_the_inventory(as_role, own):
    now = timezone.now()
    server = CloudResourceFactory(
        account=own,
        type="server",
        name="web-1",
        state="running",
        tags={"env": "prod", "租户": ""},
        size_gb=40,
        paid_until=now + timedelta(days=20),
    )
    CloudResourceFactory(account=own, type="server", name="later", paid_until=now + timedelta(days=60))
    client = as_role(Role.VIEWER)

    page = client.get(f"/resources/{server.pk}/").content.decode()
    assert "env: prod" in page and "租户" in page and "40 GB" in page
    for query, found in {
        "?state=running": ["web-1"],
        "?state=stopped": [],
        "?ends=7": [],
        "?ends=30": ["web-1"],
        "?ends=90": ["later", "web-1"],
    }.items():
        assert list_names(client, query) == found, query
    assert "expires_before=" in client.get("/resources/?ends=30").content.decode()
