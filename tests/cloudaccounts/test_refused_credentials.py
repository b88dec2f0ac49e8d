"""An account whose credentials the cloud refuses in a sync shows that before it is verified again; and its sync logs."""

from __future__ import annotations

import pytest
from django.utils import timezone, translation

from cloudaccounts.log_lines import format_line
from cloudaccounts.models import CloudAccount, SyncLogLine
from cloudaccounts.sync.openstack.provider import OpenStackProvider
from cloudaccounts.sync.resources import sync_resource
from openstack_client import CloudAuthenticationError, CloudUnavailableError
from tests.factories import ScheduledAccountFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def account():
    return ScheduledAccountFactory(name="one", last_verified_at=timezone.now(), regions=["RegionOne"])


def refuse(monkeypatch, error):
    def list_regions(self, account):
        raise error

    monkeypatch.setattr(OpenStackProvider, "list_regions", list_regions)


def test_a_sync_that_cannot_sign_in_marks_the_account_and_one_that_can_clears_it(account, monkeypatch):
    refuse(monkeypatch, CloudUnavailableError("No answer."))
    sync_resource(account.pk, "server")
    assert CloudAccount.objects.get().sign_in_failed_at is None

    refuse(monkeypatch, CloudAuthenticationError("Wrong password."))
    sync_resource(account.pk, "server")
    marked = CloudAccount.objects.get()
    assert marked.sign_in_failed_at is not None
    # It still takes new resources if its last verification says so.
    assert marked.is_usable
    refuse(monkeypatch, CloudUnavailableError("No answer."))
    sync_resource(account.pk, "server")
    assert CloudAccount.objects.get().sign_in_failed_at == marked.sign_in_failed_at

    monkeypatch.setattr(OpenStackProvider, "list_regions", lambda self, account: ["RegionOne"])
    monkeypatch.setattr("cloudaccounts.sync.resources._SyncRun._list_region", lambda *_args: "")
    assert sync_resource(account.pk, "server").state == "success"
    assert CloudAccount.objects.get().sign_in_failed_at is None


def test_a_region_that_refuses_the_credentials_marks_the_account_too(account, monkeypatch):
    def open_client(self, account, region):
        raise CloudAuthenticationError("Wrong password.")

    monkeypatch.setattr(OpenStackProvider, "list_regions", lambda self, account: ["RegionOne"])
    monkeypatch.setattr(OpenStackProvider, "open_client", open_client)

    assert sync_resource(account.pk, "server").state == "failed"
    assert CloudAccount.objects.get().sign_in_failed_at is not None


def test_a_line_is_in_the_readers_language_and_one_of_the_release_before_too(account, monkeypatch):
    refuse(monkeypatch, CloudUnavailableError("No answer."))
    line = sync_resource(account.pk, "server").lines.latest("pk")
    before = SyncLogLine(text="Beendet.", code="ended", params={"state": "failed", "words": "No answer."})

    assert format_line(line) == format_line(before) == "Ended: failed. No answer."
    with translation.override("zh-hans"):
        assert format_line(SyncLogLine.objects.get(pk=line.pk)) == format_line(before)
        assert format_line(before).startswith("已结束：")
        assert format_line(before).endswith("No answer.")
    for odd in (
        SyncLogLine(text="As it was."),
        SyncLogLine(text="As it was.", code="of a later release"),
        SyncLogLine(text="As it was.", code="page", params={"region": "One"}),
        SyncLogLine(text="As it was.", code="ended", params={"state": "unicorn", "words": ""}),
        SyncLogLine(text="As it was.", code="page", params=[1]),
    ):
        assert format_line(odd) == "As it was."
