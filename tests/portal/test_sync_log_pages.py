"""The pages of sync logs: the list, a log that is followed, and what became of each region."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.utils import timezone

from cloudaccounts.models import SyncLog
from tenants.scoping import Role
from tests.factories import CloudAccountFactory, TenantFactory, UserFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def log(own):
    return SyncLog.objects.create(
        account=own, type="server", asked_by=UserFactory(username="olga"), owner="w"
    )


def text(answer):
    return answer.content.decode()


# --- Sync logs ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", 3),
        ("?state=running", 1),
        ("?type=port", 1),
        ("?provider=openstack", 3),
        # Values that do not exist are refused in words and not applied.
        ("?provider=other", 3),
        ("?account={account}", 2),
        ("?started_before=2020-01-01", 1),
        ("?started_before=2020-01-01T00:00", 1),
        ("?started_after=2020-01-01T00:00&state=failed", 1),
        ("?state=unicorn&account=x&started_after=soon", 3),
    ],
)
def test_logs_are_filtered(as_role, own, log, query, found):
    done = {"state": "failed", "ended_at": timezone.now()}
    long_ago = timezone.now() - timedelta(days=9000)
    SyncLog.objects.create(account=own, type="port", started_at=long_ago, message="No <cloud>.", **done)
    SyncLog.objects.create(account=CloudAccountFactory(tenant=own.tenant), type="server", **done)

    html = text(as_role(Role.VIEWER).get("/sync-logs/" + query.format(account=own.pk)))

    assert len(re.findall(r'href="/sync-logs/\d+/"', html)) == found
    assert ("data-busy" in html) is ("olga" in html)
    assert ("is not applied" in html) is ("unicorn" in query or "other" in query)


def test_a_log_is_followed_while_it_runs(as_role, log):
    client, page, asked = as_role(Role.VIEWER), f"/sync-logs/{log.pk}/", {"X-Panel": "log"}
    log.lines.create(text="page 1 <of> 2")

    html = text(client.get(page))

    assert "page 1 &lt;of&gt; 2" in html
    assert "olga" in html
    assert 'data-panel="log" data-busy' in html
    first = client.get(page, headers=asked)
    assert client.get(page, headers={**asked, "If-None-Match": first["ETag"]}).status_code == 304
    log.lines.create(text="page 2", level="error")
    SyncLog.objects.filter(pk=log.pk).update(created=7)
    part = text(client.get(page, headers={**asked, "If-None-Match": first["ETag"]}))
    assert part.index("page 1") < part.index("[error] page 2")
    assert re.search(r"New</dt><dd>7</dd>", part)
    SyncLog.objects.filter(pk=log.pk).update(state="success", ended_at=timezone.now())
    assert "data-busy" not in text(client.get(page, headers=asked))


def test_of_many_lines_the_last_are_shown_and_the_file_has_all(as_role, log, monkeypatch):
    monkeypatch.setattr("cloudaccounts.pages.sync_logs.MAX_LINES", 2)
    for number in range(3):
        log.lines.create(text=f"line-{number}")
    client = as_role(Role.VIEWER)

    html = text(client.get(f"/sync-logs/{log.pk}/"))
    file = client.get(f"/sync-logs/{log.pk}/log.txt")

    assert "line-0" not in html
    assert html.index("line-1") < html.index("line-2")
    assert "The last 2 lines." in html
    assert file["Content-Type"] == "text/plain; charset=utf-8"
    assert re.findall(r"line-\d", file.getvalue().decode()) == ["line-0", "line-1", "line-2"]
    stranger = as_role(Role.ADMIN, of=TenantFactory())
    assert stranger.get(f"/sync-logs/{log.pk}/log.txt").status_code == 404


def test_a_log_tells_what_became_of_each_region_and_who_may_accept(as_role, own, log):
    waiting = text(as_role(Role.VIEWER).get(f"/sync-logs/{log.pk}/"))
    assert "Queued." not in waiting
    SyncLog.objects.filter(pk=log.pk).update(owner="")
    assert "Queued." in text(as_role(Role.VIEWER).get(f"/sync-logs/{log.pk}/"))
    SyncLog.objects.filter(pk=log.pk).update(
        state="failed",
        ended_at=timezone.now(),
        held_back=12,
        regions={"One": "", "Two": "No Cinder there."},
    )

    html = text(as_role(Role.ADMIN).get(f"/sync-logs/{log.pk}/"))

    assert ">Complete<" in html
    assert "No Cinder there." in html
    assert "Resync and mark 12 as deleted" in html
    assert "accept-losses" not in text(as_role(Role.OPERATOR).get(f"/sync-logs/{log.pk}/"))
    SyncLog.objects.create(account=own, type="server", state="success", ended_at=timezone.now())
    assert "accept-losses" not in text(as_role(Role.ADMIN).get(f"/sync-logs/{log.pk}/"))
