"""The page of the audit log: its filters, and the export of what it shows."""

from __future__ import annotations

from datetime import timedelta
from html import unescape
from re import search

import pytest
from django.utils import timezone

from events.models import Event
from tenants.scoping import Role
from tests.factories import MembershipFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def auditor(client):
    """A browser of an auditor whose tenant has an event of now, and one each of 3, 20, 60 and 200 days ago."""
    member = MembershipFactory(role=Role.AUDITOR)
    Event.objects.all().delete()
    for days in (0, 3, 20, 60, 200):
        Event.objects.create(
            tenant=member.tenant,
            code="vm.changed",
            object_type="vm",
            object_name=f"vm-{days}",
            at=timezone.now() - timedelta(days=days),
        )
    client.force_login(member.user)
    return client


def shown(answer):
    return [row["event"].object_name for row in answer.context["events"] if row["event"].code == "vm.changed"]


@pytest.mark.parametrize(
    ("period", "days"),
    [
        ("", [0, 3, 20, 60, 200]),
        ("1", [0]),
        ("7", [0, 3]),
        ("30", [0, 3, 20]),
        ("90", [0, 3, 20, 60]),
        ("12", [0, 3, 20, 60, 200]),
        ("x", [0, 3, 20, 60, 200]),
    ],
)
def test_events_of_a_period(auditor, period, days):
    answer = auditor.get("/audit/", {"period": period})

    assert answer.status_code == 200
    assert sorted(shown(answer)) == sorted(f"vm-{one}" for one in days)


def test_the_export_has_what_the_page_shows(auditor):
    page = auditor.get("/audit/", {"period": "30", "search": "vm-", "object_type": "vm"})
    address = unescape(search(r'href="(/[^"]*export[^"]*)"', page.content.decode())[1])

    exported = b"".join(auditor.get(address)).decode()

    assert "after=" in address and "period" not in address
    assert [f"vm-{days}" in exported for days in (0, 3, 20, 60, 200)] == [True, True, True, False, False]
