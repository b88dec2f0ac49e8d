"""The pages of what is in the accounts, and of the syncs that found it."""

from __future__ import annotations

import re
import uuid
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from cloudaccounts.models import CloudResource, ResourceChange, ResourceLink, SyncLog
from cloudaccounts.pages.resource_detail import format_json_value
from cloudaccounts.pages.topology_diagram import shorten_label
from tenants.scoping import Role
from tests.factories import CloudAccountFactory, CloudResourceFactory, TenantFactory, UserFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def server(own):
    return CloudResourceFactory(
        account=own,
        type="server",
        cloud_id="server-id",
        name="web-1",
        status="ACTIVE",
        addresses="10.0.0.7",
        attributes={"disks": [{"gb": 10, "boot": True}], "nets": [["inner", "10.0.0.7"]], "note": "<b>"},
    )


@pytest.fixture
def log(own):
    return SyncLog.objects.create(
        account=own, type="server", asked_by=UserFactory(username="olga"), owner="w"
    )


def text(answer):
    return answer.content.decode()


def names(html):
    """The resources of a list, in its order."""
    return re.findall(r'<td class="long"><a href="/resources/[^"]+/">([^<]*)</a>', html)


def link(source, target):
    return ResourceLink.objects.create(
        source=source,
        kind=f"{source.type}-{target.type}",
        account=source.account,
        region=source.region,
        target_type=target.type,
        target_cloud_id=target.cloud_id,
    )


# --- Who may see what --------------------------------------------------------------------------------------

PAGES = ["/resources/", "/resources/{server}/", "/sync-logs/", "/sync-logs/{log}/", "/sync-logs/{log}/lines/"]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_shows_members_and_staff_what_is_theirs_and_strangers_nothing(
    as_role, staff, server, log, page
):
    address = page.format(server=server.pk, log=log.pk)

    for client in (as_role(Role.VIEWER), staff):
        html = text(client.get(address))
        assert "Ours" in html
        assert not re.findall(r"<script(?![^>]*\bsrc=)|\son[a-z]+=|\sstyle=", html)
        assert client.post(address).status_code == 405
    stranger = as_role(Role.ADMIN, of=TenantFactory()).get(address)
    assert stranger.status_code == (404 if "{" in page else 200)
    assert "Ours" not in text(stranger)
    assert Client().get(address)["Location"].startswith("/login/")


def test_of_a_shared_account_a_tenant_sees_the_catalogue_and_no_logs(as_role, account, staff):
    flavor = account.resources.get(type="flavor", name="small")
    server = CloudResourceFactory(account=account, type="server", name="somebodys")
    log = SyncLog.objects.create(account=account, type="flavor", state="success", ended_at=timezone.now())
    ResourceChange.objects.create(resource=flavor, log=log, fields={"status": ["", "active"]})
    client = as_role(Role.ADMIN)

    assert {"small", "Ubuntu 22.04"} <= set(names(text(client.get("/resources/"))))
    assert "somebodys" not in text(client.get("/resources/"))
    assert client.get(f"/resources/{server.pk}/").status_code == 404
    page = text(client.get(f"/resources/{flavor.pk}/"))
    assert "a sync" in page
    assert f"/sync-logs/{log.pk}/" not in page
    assert client.get(f"/sync-logs/{log.pk}/").status_code == 404
    assert "one" not in re.findall(r"<option[^>]*>([^<]*)", text(client.get("/sync-logs/")))
    assert f"/sync-logs/{log.pk}/" in text(staff.get(f"/resources/{flavor.pk}/"))
    assert "somebodys" in text(staff.get("/resources/?type=server"))


# --- The list ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["b-port", "web-1"]),
        ("?expired=", ["b-port", "gone", "web-1"]),
        ("?expired=true", ["gone"]),
        ("?type=server", ["web-1"]),
        ("?region=Far", ["b-port"]),
        ("?status=ACTIVE", ["web-1"]),
        ("?search=WEB+10.0.0.7", ["web-1"]),
        ("?search=server-id", ["web-1"]),
        ("?ordering=-name", ["web-1", "b-port"]),
        ("?ordering=last_seen_at", ["web-1", "b-port"]),
        ("?account={account}", ["b-port", "web-1"]),
        ("?account=1&type=server", []),
        # Nonsense is left out.
        ("?account=x&type=%00&expired=perhaps&ordering=secret&page=x", ["b-port", "gone", "web-1"]),
    ],
)
def test_the_list_is_filtered_ordered_and_exported_alike(as_role, server, query, found):
    CloudResourceFactory(account=server.account, type="port", name="b-port", region="Far", status="DOWN")
    CloudResourceFactory(account=server.account, type="port", name="gone", expired_at=timezone.now())
    client = as_role(Role.VIEWER)

    html = text(client.get("/resources/" + query.format(account=server.account_id)))

    assert names(html) == found
    export = re.search(r'href="(/api/v1/cloud-resources/export/\?[^"]*)"', html)[1].replace("&amp;", "&")
    lines = client.get(export).getvalue().decode().splitlines()[1:]
    assert [line.split(",")[5] for line in lines] == found


def test_the_list_tells_in_words_what_is_missing_or_gone_and_has_pages(as_role, own):
    for number in range(51):
        CloudResourceFactory(account=own, type="server", name=f"n-{number:02}", missing_count=1)
    CloudResourceFactory(account=own, type="port", name="", cloud_id="port-id", expired_at=timezone.now())

    html = text(as_role(Role.VIEWER).get("/resources/?expired=&ordering=name"))

    assert names(html)[:2] == ["port-id", "n-00"]
    assert ">missing<" in html
    assert ">expired<" in html
    assert 'aria-sort="ascending"' in html
    assert "ordering=-name" in html
    assert 'href="?expired=&amp;ordering=name&amp;page=2"' in html


# --- A resource --------------------------------------------------------------------------------------------


def test_a_resource_shows_its_attributes_and_what_changed(as_role, server, log):
    for fields in (
        {"expired": [False, True]},
        {"expired": [True, False], "name": ["web-0", "web-1"]},
        {"attributes.disks": [None, [{"gb": 10}]], "links": [["server-port a"], []]},
    ):
        ResourceChange.objects.create(resource=server, log=log, fields=fields)

    html = text(as_role(Role.VIEWER).get(f"/resources/{server.pk}/"))

    assert "-\n  boot: yes\n  gb: 10" in html
    assert "- inner, 10.0.0.7" in html
    assert "&lt;b&gt;" in html
    assert html.index("came back") < html.index("<strong>expired</strong>")
    assert "web-0" in html
    assert html.index("<b>disks</b>") < html.index("web-0")
    assert f'href="/sync-logs/{log.pk}/"' in html


def test_attributes_that_are_junk_are_shown_as_far_as_that_goes():
    deep: dict = {}
    for _level in range(200):
        deep = {"in": deep, "at": 1}

    assert format_json_value(deep).count("\n") < 40
    assert "…" in format_json_value(deep)
    assert (
        format_json_value({"b": None, "a": [[1, True], {"c": ""}]}) == "a:\n  - 1, yes\n  -\n    c: -\nb: -"
    )
    assert (format_json_value([]), format_json_value(0), format_json_value(False)) == ("-", "0", "no")


def test_the_picture_has_a_box_and_a_line_for_each_and_says_the_same_in_words(as_role, server):
    port = CloudResourceFactory(account=server.account, type="port", name="port-1")
    network = CloudResourceFactory(account=server.account, type="network", name="n & co", cloud_id="net-1")
    gone = CloudResourceFactory(account=server.account, type="port", name="gone", expired_at=timezone.now())
    link(port, server)
    link(port, network)
    link(gone, server)
    lonely = CloudResourceFactory(account=server.account)
    client = as_role(Role.VIEWER)

    near = text(client.get(f"/resources/{server.pk}/?depth=1"))
    html = text(client.get(f"/resources/{server.pk}/?depth=2"))

    near, html = near.partition('drawing"')[2], html.partition('drawing"')[2]
    assert (near.count("<rect"), html.count("<rect")) == (2, 3)
    assert html.count("<path") == html.count("<title>port → server</title>") + 1 == 2
    assert f'<a href="/resources/{network.pk}/?depth=2#topology"' in html
    words = html.partition("The same in words")[2]
    assert "1 link away" in words
    assert "2 links away" in words
    assert "(port → network: port-1)" in words
    assert "n &amp; co" in words
    assert "gone" not in words
    assert text(client.get(f"/resources/{server.pk}/?depth=999")).count("<rect") == 3
    assert "Nothing that the portal shows you" in text(client.get(f"/resources/{lonely.pk}/?depth=x"))


def test_a_crowd_is_drawn_as_a_few_and_told_whole(as_role, server):
    for number in range(20):
        port = CloudResourceFactory(account=server.account, type="port", name=f"p-{number:02}")
        link(port, server)
        link(port, CloudResourceFactory(account=server.account, type="floating_ip", name=f"f-{number:02}"))

    html = text(as_role(Role.VIEWER).get(f"/resources/{server.pk}/?depth=2"))

    # Five and the rest of the ports; the addresses of those five, and five and the rest of the others'.
    assert html.count("<rect") == 1 + 6 + 5 + 6
    assert "15 more" in html
    assert html.partition("The same in words")[2].count("<li>") == 40


def test_a_picture_that_is_cut_says_so(as_role, server, monkeypatch):
    monkeypatch.setattr("cloudaccounts.services.topology.MAX_NODES", 5)
    for _number in range(9):
        link(CloudResourceFactory(account=server.account, type="port"), server)

    html = text(as_role(Role.VIEWER).get(f"/resources/{server.pk}/"))

    assert "only the nearest 5 are." in html


def test_names_are_cut_to_the_width_that_they_have():
    assert shorten_label("short", 5) == "short"
    assert shorten_label("longer", 5) == "long…"
    assert shorten_label("数据库服务器", 7) == "数据…"


# --- Sync logs ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", 3),
        ("?state=running", 1),
        ("?type=port", 1),
        ("?provider=openstack", 3),
        ("?provider=other", 0),
        ("?account={account}", 2),
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
    assert ("hx-get" in html) is ("olga" in html)


def test_a_log_is_followed_and_gets_only_the_lines_that_are_new(as_role, log):
    client = as_role(Role.VIEWER)
    first = log.lines.create(text="page 1 <of> 2")

    html = text(client.get(f"/sync-logs/{log.pk}/"))

    assert "page 1 &lt;of&gt; 2" in html
    assert "olga" in html
    assert f'hx-get="/sync-logs/{log.pk}/lines/?after={first.pk}"' in html
    last = log.lines.create(text="page 2", level="error")
    SyncLog.objects.filter(pk=log.pk).update(created=7)
    part = text(client.get(f"/sync-logs/{log.pk}/lines/?after={first.pk}"))
    assert "page 1" not in part
    assert "<strong>error</strong> page 2" in part
    assert 'hx-swap-oob="true"' in part
    assert "7 new" in part
    assert f"?after={last.pk}" in part
    SyncLog.objects.filter(pk=log.pk).update(state="success", ended_at=timezone.now())
    ended = text(client.get(f"/sync-logs/{log.pk}/lines/?after={last.pk}"))
    assert "hx-get" not in ended
    assert "<li" not in ended
    assert "page 1" in text(client.get(f"/sync-logs/{log.pk}/lines/?after=-1&after=x"))


def test_many_lines_come_in_parts(as_role, log, monkeypatch):
    monkeypatch.setattr("cloudaccounts.pages.sync_logs.MAX_LINES", 2)
    SyncLog.objects.filter(pk=log.pk).update(state="failed", ended_at=timezone.now())
    lines = [log.lines.create(text=f"line-{number}") for number in range(3)]
    client = as_role(Role.VIEWER)

    html = text(client.get(f"/sync-logs/{log.pk}/"))

    assert "line-1" in html
    assert "line-2" not in html
    assert f'?after={lines[1].pk}" hx-trigger="load"' in html
    assert "line-2" in text(client.get(f"/sync-logs/{log.pk}/lines/?after={lines[1].pk}"))


def test_a_log_tells_what_became_of_each_region_and_who_may_accept(as_role, own, log):
    waiting = text(as_role(Role.VIEWER).get(f"/sync-logs/{log.pk}/"))
    assert "It waits for a worker." not in waiting
    SyncLog.objects.filter(pk=log.pk).update(owner="")
    assert "It waits for a worker." in text(as_role(Role.VIEWER).get(f"/sync-logs/{log.pk}/"))
    SyncLog.objects.filter(pk=log.pk).update(
        state="failed",
        ended_at=timezone.now(),
        held_back=12,
        regions={"One": "", "Two": "No Cinder there."},
    )

    html = text(as_role(Role.ADMIN).get(f"/sync-logs/{log.pk}/"))

    assert "listed to its end" in html
    assert "No Cinder there." in html
    assert "believe that 12 are gone" in html
    assert "accept-losses" not in text(as_role(Role.OPERATOR).get(f"/sync-logs/{log.pk}/"))
    SyncLog.objects.create(account=own, type="server", state="success", ended_at=timezone.now())
    assert "accept-losses" not in text(as_role(Role.ADMIN).get(f"/sync-logs/{log.pk}/"))


# --- What pages cost ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES)
def test_much_costs_no_more_queries_than_little(as_role, server, log, page):
    client, page = as_role(Role.ADMIN), page.format(server=server.pk, log=log.pk)

    def grow(count):
        for _number in range(count):
            account = CloudAccountFactory(tenant=server.account.tenant)
            CloudResourceFactory(account=account, type="server")
            link(
                CloudResourceFactory(account=server.account, type="port", cloud_id=str(uuid.uuid4())), server
            )
            ResourceChange.objects.create(resource=server, log=log, fields={"name": ["a", "b"]})
            log.lines.create(text="line")
            SyncLog.objects.create(
                account=account, type="port", state="failed", ended_at=timezone.now(), asked_by=UserFactory()
            )

    def cost():
        with CaptureQueriesContext(connection) as queries:
            assert client.get(page).status_code == 200
        return len(queries)

    grow(2)
    client.get(page)
    few = cost()
    grow(12)
    assert cost() == few
    assert few <= 16
    assert CloudResource.objects.count() > 20
