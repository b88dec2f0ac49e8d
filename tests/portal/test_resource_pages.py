"""The pages of what is in the accounts, and of the syncs that found it."""

from __future__ import annotations

import re
import uuid

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from cloudaccounts.models import CloudResource, ResourceChange, ResourceLink, SyncLog
from cloudaccounts.own_pages import register_page_finder
from cloudaccounts.pages.resource_labels import label_status
from cloudaccounts.pages.resource_values import describe_attributes
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
    return re.findall(r'<td class="name"><a href="/resources/[^"]+/"[^>]*>([^<]*)</a>', html)


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

PAGES = [
    "/resources/",
    "/resources/{server}/",
    "/resources/{server}/topology/",
    "/resources/{server}/changes/",
    "/cloud-changes/",
    "/sync-logs/",
    "/sync-logs/{log}/",
]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_shows_members_and_staff_what_is_theirs_and_strangers_nothing(
    as_role, staff, server, log, page
):
    address = page.format(server=server.pk, log=log.pk)
    ResourceChange.objects.create(resource=server, log=log, fields={"status": ["", "ACTIVE"]}, outside=True)

    for client in (as_role(Role.VIEWER), staff):
        html = text(client.get(address))
        assert "web-1" in html if "changes" in page or "topology" in page else "Ours" in html
        assert ("Outside the portal" in html) == ("changes" in page)
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
    page = text(client.get(f"/resources/{flavor.pk}/changes/"))
    assert '<td class="when">Sync</td>' in page
    assert f"/sync-logs/{log.pk}/" not in page
    assert client.get(f"/sync-logs/{log.pk}/").status_code == 404
    assert "one" not in re.findall(r"<option[^>]*>([^<]*)", text(client.get("/sync-logs/")))
    assert f"/sync-logs/{log.pk}/" in text(staff.get(f"/resources/{flavor.pk}/changes/"))
    assert "somebodys" in text(staff.get("/resources/?type=server"))


# --- The list ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["b-port", "web-1"]),
        ("?expired=all", ["b-port", "gone", "web-1"]),
        ("?expired=true", ["gone"]),
        ("?type=server", ["web-1"]),
        ("?region=Far", ["b-port"]),
        ("?status=ACTIVE", ["web-1"]),
        ("?search=WEB+10.0.0.7", ["web-1"]),
        ("?search=server-id", ["web-1"]),
        ("?ordering=-name", ["web-1", "b-port"]),
        ("?ordering=last_seen_at", ["web-1", "b-port"]),
        ("?account={account}", ["b-port", "web-1"]),
        ("?type=server&status=DOWN", []),
        # Values that do not exist are refused in words and not applied.
        ("?account=x&type=%00&expired=perhaps&ordering=secret&page=x", ["b-port", "web-1"]),
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
    for number in range(26):
        CloudResourceFactory(account=own, type="server", name=f"n-{number:02}", missing_count=1)
    CloudResourceFactory(account=own, type="port", name="", cloud_id="port-id", expired_at=timezone.now())

    html = text(as_role(Role.VIEWER).get("/resources/?expired=all&ordering=name"))

    assert names(html)[:2] == ["port-id", "n-00"]
    assert ">Not found in last sync<" in html
    assert ">Deleted in cloud<" in html
    assert 'aria-sort="ascending"' in html
    assert "ordering=-name" in html
    assert 'href="?expired=all&amp;ordering=name&amp;page=2"' in html


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
    assert ">inner, 10.0.0.7<" in html
    assert "&lt;b&gt;" in html
    html = text(as_role(Role.VIEWER).get(f"/resources/{server.pk}/changes/"))
    assert html.index("Came back") < html.index("<strong>Deleted in cloud</strong>")
    assert "web-0" in html
    assert html.index("<b>disks</b>") < html.index("web-0")
    assert f'href="/sync-logs/{log.pk}/"' in html


def test_the_picture_has_a_box_and_a_line_for_each_and_says_the_same_in_words(as_role, server):
    port = CloudResourceFactory(account=server.account, type="port", name="port-1")
    network = CloudResourceFactory(account=server.account, type="network", name="n & co", cloud_id="net-1")
    gone = CloudResourceFactory(account=server.account, type="port", name="gone", expired_at=timezone.now())
    link(port, server)
    link(port, network)
    link(gone, server)
    lonely = CloudResourceFactory(account=server.account)
    client = as_role(Role.VIEWER)

    near = text(client.get(f"/resources/{server.pk}/topology/?depth=1"))
    html = text(client.get(f"/resources/{server.pk}/topology/?depth=2"))

    near, html = near.partition('drawing"')[2], html.partition('drawing"')[2]
    drawing = html.partition("</svg>")[0]
    assert (near.count("<rect"), html.count("<rect")) == (2, 3)
    assert drawing.count("<path") == drawing.count("<title>port → server</title>") + 1 == 2
    assert f'<a href="/resources/{network.pk}/topology/?depth=2"' in html
    words = html.partition("View as list")[2]
    assert "1 link away" in words
    assert "2 links away" in words
    assert "(port → network: port-1)" in words
    assert "n &amp; co" in words
    assert "gone" not in words
    wrong = text(client.get(f"/resources/{server.pk}/topology/?depth=999"))
    assert wrong.count("<rect") == 3
    assert "The filter “Depth” has no value “999”; it is not applied." in wrong
    assert "No related resources" in text(client.get(f"/resources/{lonely.pk}/topology/?depth=x"))


def test_a_crowd_is_drawn_as_a_few_and_told_whole(as_role, server):
    for number in range(20):
        port = CloudResourceFactory(account=server.account, type="port", name=f"p-{number:02}")
        link(port, server)
        link(port, CloudResourceFactory(account=server.account, type="floating_ip", name=f"f-{number:02}"))

    html = text(as_role(Role.VIEWER).get(f"/resources/{server.pk}/topology/?depth=2"))

    # Five and the rest of the ports; the addresses of those five, and five and the rest of the others'.
    assert html.count("<rect") == 1 + 6 + 5 + 6
    assert "15 more" in html
    assert html.partition("View as list")[2].count("<li>") == 40


def test_a_picture_that_is_cut_says_so(as_role, server, monkeypatch):
    monkeypatch.setattr("cloudaccounts.services.topology.MAX_NODES", 5)
    for _number in range(9):
        link(CloudResourceFactory(account=server.account, type="port"), server)

    html = text(as_role(Role.VIEWER).get(f"/resources/{server.pk}/topology/"))

    assert "Only the nearest 5 resources are shown." in html


def test_names_are_cut_to_the_width_that_they_have():
    assert shorten_label("short", 5) == "short"
    assert shorten_label("longer", 5) == "long…"
    assert shorten_label("数据库服务器", 7) == "数据…"


def test_types_are_picked_and_a_chain_over_others_becomes_one_link(as_role, server):
    network = CloudResourceFactory(account=server.account, type="network", name="net-1", cloud_id="net-1")
    for number in range(3):
        port = CloudResourceFactory(account=server.account, type="port", name=f"p-{number}")
        link(port, server)
        link(port, network)

    html = text(as_role(Role.VIEWER).get(f"/resources/{server.pk}/topology/?type=network"))

    drawing = html.partition('drawing"')[2].partition("</svg>")[0]
    assert drawing.count("<rect") == 2
    assert drawing.count("<path") == drawing.count("<title>server → network</title>") == 1
    assert "Resource type: Network" in html
    assert "1 link away" in html
    refused = text(as_role(Role.VIEWER).get(f"/resources/{server.pk}/topology/?type=unicorn"))
    assert "has no value “unicorn”" in refused


def test_two_hundred_nodes_stay_readable(as_role, server):
    network = CloudResourceFactory(account=server.account, type="network", cloud_id="net-1")
    for number in range(100):
        port = CloudResourceFactory(account=server.account, type="port", name=f"p-{number:03}")
        link(port, network)
        link(port, CloudResourceFactory(account=server.account, type="server", name=f"s-{number:03}"))

    html = text(as_role(Role.VIEWER).get(f"/resources/{network.pk}/topology/"))

    assert html.partition('drawing"')[2].partition("</svg>")[0].count("<rect") < 40
    assert html.partition("View as list")[2].count("<li>") == 200


# --- Between a server and its VM ---------------------------------------------------------------------------


def test_a_server_leads_to_its_vm_and_the_vm_to_its_server(as_role, server, monkeypatch):
    monkeypatch.setattr("cloudaccounts.own_pages._finders", {})
    client, vm = as_role(Role.VIEWER), uuid.uuid4()
    assert "Open virtual machine" not in text(client.get(f"/resources/{server.pk}/"))

    CloudResource.objects.filter(pk=server.pk).update(attributes={"metadata": {"portal_vm": str(vm)}})

    assert f'href="/vms/{vm}/"' in text(client.get(f"/resources/{server.pk}/"))
    for noted in ("no-id", 7, None):
        CloudResource.objects.filter(pk=server.pk).update(attributes={"metadata": {"portal_vm": noted}})
        assert "Open virtual machine" not in text(client.get(f"/resources/{server.pk}/"))
    register_page_finder("server", lambda scope, resource: f"/vms/{resource.cloud_id}/")
    assert 'href="/vms/server-id/"' in text(client.get(f"/resources/{server.pk}/topology/"))
    assert (
        client.get(f"/resources/of/{server.account_id}/server-id/")["Location"] == f"/resources/{server.pk}/"
    )


def test_a_cloud_id_leads_to_what_is_there_and_never_to_anothers(as_role, server):
    address = f"/resources/of/{server.account_id}/server-id/"
    gone = CloudResourceFactory(
        account=server.account, type="server", cloud_id="server-id", region="Far", expired_at=timezone.now()
    )
    port = CloudResourceFactory(account=server.account, type="port", cloud_id="server-id")
    client = as_role(Role.VIEWER)

    assert client.get(address)["Location"] == f"/resources/{server.pk}/"
    assert client.get(f"{address}?type=port")["Location"] == f"/resources/{port.pk}/"
    assert as_role(Role.ADMIN, of=TenantFactory()).get(address).status_code == 404
    assert client.get("/resources/of/1000000/server-id/").status_code == 404
    unknown = client.get(f"/resources/of/{server.account_id}/a/b%00c/?type=%00", follow=True)
    assert unknown.status_code == 200
    assert "a/bc is not in the inventory" in text(unknown)
    CloudResource.objects.exclude(pk=gone.pk).delete()
    assert client.get(address)["Location"] == f"/resources/{gone.pk}/"


# --- Words of clouds ---------------------------------------------------------------------------------------


def test_statuses_and_attributes_are_in_the_readers_words_with_the_clouds_as_title(as_role, server):
    CloudResource.objects.filter(pk=server.pk).update(
        status="SHUTOFF",
        attributes={"memory_mb": 2048, "disk_gb": 10, "created_at": "2026-01-02T03:04:05+00:00"},
    )

    listed = text(as_role(Role.VIEWER).get("/resources/"))
    page = text(as_role(Role.VIEWER).get(f"/resources/{server.pk}/"))

    for html in (listed, page):
        assert 'title="SHUTOFF">Shut off</span>' in html
    assert '<dt title="memory_mb">Memory</dt><dd class="text">2 GiB</dd>' in page
    assert 'datetime="2026-01-02T03:04:05+00:00"' in page
    assert label_status("ACTIVE", "server") != label_status("ACTIVE", "network")
    assert label_status("made-up") == "made-up"
    assert describe_attributes({"created_at": "never", "odd": [[]], "x": {}})[0]["at"] is None


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


def test_a_panel_of_the_inventory_is_sent_once_and_has_its_filters(as_role, server):
    CloudResourceFactory(account=server.account, type="port", name="b-port", region="Far", status="DOWN")
    client, asked = as_role(Role.VIEWER), {"X-Panel": "resources"}

    expected = {"": ["b-port", "web-1"], "?region=Far": ["b-port"], "?status=ACTIVE": ["web-1"]}
    for query, found in expected.items():
        answer = client.get(f"/resources/{query}", headers=asked)
        assert names(text(answer)) == found
        assert "<select" not in text(answer)
        again = client.get(f"/resources/{query}", headers={**asked, "If-None-Match": answer["ETag"]})
        assert again.status_code == 304
    with CaptureQueriesContext(connection) as queries:
        client.get("/resources/", headers=asked)
    assert not [query for query in queries if "DISTINCT" in query["sql"] and '"region"' in query["sql"][:120]]
