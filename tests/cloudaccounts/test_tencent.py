"""Accounts of Tencent Cloud, against the simulated one: entered, verified, synced, changed there, and how it may refuse."""

from __future__ import annotations

import json

import pytest

from cloudaccounts import registry
from cloudaccounts.models import CloudAccount, CloudResource, ResourceChange, SyncLog
from cloudaccounts.sync.resources import run_sync, sync_resource
from cloudaccounts.sync.tencent import connection
from cloudaccounts.sync.tencent.errors import format_action
from simulator.http_messages import Response
from simulator.tencent.answers import refuse
from simulator.tencent.objects import build_object
from simulator.tencent.operations import LISTINGS
from simulator.tencent.signature import Key
from tenants.scoping import Role
from tests.factories import MembershipFactory
from tests.vms.conftest import AdminClient

from .resource_checks import check_logs, check_rows, list_links, list_row_names
from .tencent_server import (
    GUANGZHOU,
    REGIONS,
    SECRET_ID,
    SECRET_KEY,
    SHANGHAI,
    TAGS,
    TencentTestServer,
    an_account,
    prepare,
)

pytestmark = pytest.mark.django_db(transaction=True)
KINDS = sorted(listing.kind for listing in LISTINGS.values())
ROLE = "qcs::cam::uin/100000000001:roleName/portal"


@pytest.fixture(scope="module")
def server():
    server = TencentTestServer()
    yield server
    server.close()


@pytest.fixture
def tencent(server, settings, monkeypatch):
    """An empty cloud; throttled requests are repeated twice, without waits."""
    yield from prepare(server, settings, monkeypatch)


@pytest.fixture
def api(transactional_db):
    """An administrator of a tenant, as a client of the API."""
    return AdminClient(MembershipFactory(role=Role.ADMIN))


@pytest.fixture
def small_pages(monkeypatch):
    """Every listing is requested in pages of two objects."""
    for syncer in registry.list_syncers("tencent"):
        monkeypatch.setattr(type(syncer), "page_size", 2)


def entered(api, tencent, credentials=None, **fields):
    account = {
        "name": "web shop",
        "provider": "tencent",
        "credentials": {"secret_id": SECRET_ID, "secret_key": SECRET_KEY, **(credentials or {})},
        "endpoint": tencent.url,
        "regions": REGIONS,
        "sync_interval_minutes": 5,
        **fields,
    }
    return api.post("/api/v1/cloud-accounts/", account, format="json")


def run_all():
    return {log.type: run_sync(log.pk) for log in SyncLog.objects.running().order_by("pk")}


def a_resource(type_code, cloud_id, **filters):
    return CloudResource.objects.get(type=type_code, cloud_id=cloud_id, region=GUANGZHOU, **filters)


def test_an_account_is_entered_verified_and_shows_what_tencent_cloud_has(api, tencent):
    for region in REGIONS:
        tencent.fill(region)

    answer = entered(api, tencent)
    shown = answer.json()["account"]
    assert SECRET_KEY not in json.dumps(answer.json())
    assert (shown["provider"], shown["access_id"], shown["options"]) == ("tencent", SECRET_ID, {})
    api.done(answer)
    account = CloudAccount.objects.get(pk=shown["id"])
    assert (account.facts["project_id"], account.facts["arn"]) == (
        "100000000001",
        "qcs::cam::uin/100000000001:uin/100000000002",
    )
    assert account.facts["regions"] == {region: ["cvm"] for region in REGIONS}
    logs = run_all()
    assert {code: log.message for code, log in logs.items() if log.state != "success"} == {}
    assert sorted(logs) == KINDS == sorted(syncer.type for syncer in registry.list_syncers("tencent"))

    # The same ids as the cloud has, in both regions; of images, the account's own.
    for region in REGIONS:
        for kind in KINDS:
            held = sorted(set(tencent.cloud.list_ids(region, kind)) - {"img-public01"})
            assert sorted(list_row_names(region=region, type=kind)) == held, (region, kind)
    check_rows()
    check_logs()

    # Changed and removed there, told here.
    server = a_resource("server", "ins-11112222")
    tencent.cloud.get(GUANGZHOU, "server", "ins-11112222").update(
        InstanceState="STOPPED", Tags=[{"Key": "env", "Value": "test"}]
    )
    tencent.cloud.remove(GUANGZHOU, "server", "ins-33334444")
    for _ in range(2):
        assert sync_resource(account.pk, "server").state == "success"
    server.refresh_from_db()
    assert (server.state, server.tags) == ("stopped", {"env": "test"})
    assert a_resource("server", "ins-33334444").expired_at is not None
    assert CloudResource.objects.get(cloud_id="ins-33334444", region=SHANGHAI).expired_at is None
    told = {
        name
        for one in ResourceChange.objects.filter(resource=server).values_list("fields", flat=True)
        for name in one
    }
    assert told >= {"status", "attributes.tags"}
    check_rows()
    check_logs()
    api.done(api.delete(f"/api/v1/cloud-accounts/{account.pk}/"))
    assert not CloudResource.objects.exists()


def test_what_all_clouds_have_in_common_is_understood(tencent):
    tencent.fill()
    account = an_account(tencent)
    for syncer in registry.list_syncers("tencent"):
        assert sync_resource(account.pk, syncer.type).state == "success"

    server = a_resource("server", "ins-11112222")
    assert (server.name, server.status, server.state) == ("网站 😀", "RUNNING", "running")
    assert server.tags == TAGS and len(server.tags) == 50
    assert server.created_in_cloud_at.isoformat() == "2024-03-01T02:00:00+00:00"
    assert server.paid_until.isoformat() == "2027-01-31T02:00:00+00:00"
    assert sorted(server.addresses.split()) == ["10.0.0.4", "43.138.0.9"]
    assert [server.attributes[name] for name in ("flavor", "vcpus", "memory_mb", "zone")] == [
        "S5.MEDIUM4",
        2,
        4096,
        "ap-guangzhou-3",
    ]
    links = {link.partition(" ")[0] for link in list_links(server)}
    assert links == {
        f"server-{one}" for one in ("image", "keypair", "network", "security_group", "subnet", "volume")
    }
    # What never ends is paid until no time.
    assert a_resource("server", "ins-33334444").paid_until is None
    # Without a zone, a time is Beijing's.
    volume = a_resource("volume", "disk-11112222")
    assert (volume.state, volume.size_gb, volume.paid_until.isoformat()) == (
        "available",
        50,
        "2027-01-31T02:00:00+00:00",
    )
    attached = a_resource("volume", "disk-system01")
    assert (attached.state, attached.paid_until) == ("in_use", None)
    assert [link.partition(" ")[0] for link in list_links(attached)] == ["volume-server"]
    database, cache = a_resource("database", "cdb-11112222"), a_resource("cache", "crs-11112222")
    assert (database.state, database.size_gb, database.tags) == ("running", 100, {"env": "prod"})
    assert (database.status, database.paid_until.isoformat()) == ("running", volume.paid_until.isoformat())
    assert (cache.state, cache.paid_until) == ("running", None)
    assert (cache.attributes["memory_mb"], cache.attributes["zone"]) == (1024, "ap-guangzhou-3")
    balancers = [a_resource("load_balancer", one) for one in ("lb-11112222", "lb-33334444")]
    assert [(one.status, one.state) for one in balancers] == [("running", "running"), ("isolated", "stopped")]
    addresses = [a_resource("floating_ip", one) for one in ("eip-11112222", "eip-33334444")]
    assert [one.state for one in addresses] == ["in_use", "available"]
    assert [{link.partition(" ")[0] for link in list_links(one)} for one in addresses] == [
        {"floating_ip-port", "floating_ip-server"},
        {"floating_ip-load_balancer"},
    ]
    states = {
        one: a_resource(one, cloud_id).state
        for one, cloud_id in (
            ("port", "eni-11112222"),
            ("zone", "ap-guangzhou-3"),
            ("snapshot", "snap-11112222"),
            ("image", "img-11112222"),
        )
    }
    assert states == {"port": "in_use", "zone": "available", "snapshot": "available", "image": "available"}
    assert a_resource("network", "vpc-11112222").attributes["cidrs"] == ["10.0.0.0/16", "172.16.0.0/16"]

    group = a_resource("security_group", "sg-11112222")
    shown = [
        tuple(
            rule[name]
            for name in ("direction", "protocol", "first_port", "last_port", "action", "cidr", "group")
        )
        for rule in group.attributes["rule_list"]
    ]
    assert shown == [
        ("ingress", "tcp", 443, 443, "accept", "0.0.0.0/0", ""),
        ("ingress", "tcp", 80, 80, "drop", "", "sg-33334444"),
        ("ingress", "tcp", 8000, 9000, "drop", "", "sg-33334444"),
        ("egress", "all", None, None, "accept", "::/0", ""),
    ]
    assert group.attributes["rules"] == 4 and len(list_links(group)) == 1


def test_listings_have_pages_and_the_same_id_may_be_in_two_regions(tencent, small_pages):
    for region in REGIONS:
        for number in range(5):
            for kind in KINDS:
                tencent.put(kind, f"{kind}-{number}", region=region)
    account = an_account(tencent, regions=REGIONS)

    for kind in KINDS:
        log = sync_resource(account.pk, kind)
        assert (log.state, log.created) == ("success", 10), (kind, log.message)
    for kind in KINDS:
        assert len(list_row_names(region=SHANGHAI, type=kind)) == 5

    assert {
        listing.member: tencent.cloud.operations.count(name)
        for (_service, name), listing in LISTINGS.items()
        if name == "DescribeDisks"
    } == {"DiskSet": 6}
    check_rows()


def test_objects_that_come_and_go_during_a_listing_do_no_harm(tencent, small_pages):
    account = an_account(tencent)
    for number in range(7):
        tencent.put("volume", f"disk-{number}")
    assert sync_resource(account.pk, "volume").created == 7

    def remove_early(operation, number):
        # The offsets of all others shift by one: the fifth would be left out otherwise.
        if (operation, number) == ("DescribeDisks", 3):
            tencent.cloud.remove(GUANGZHOU, "volume", "disk-0")

    tencent.cloud.operations.clear()
    tencent.cloud.intercept = remove_early
    log = sync_resource(account.pk, "volume")
    assert (log.state, log.missing, log.unchanged) == ("success", 0, 7), log.message

    def create_first(operation, number):
        if (operation, number) == ("DescribeDisks", 2):
            held = tencent.cloud.objects[GUANGZHOU, "volume"]
            tencent.cloud.objects[GUANGZHOU, "volume"] = {
                "disk-new": build_object("volume", "disk-new"),
                **held,
            }

    tencent.cloud.operations.clear()
    tencent.cloud.intercept = create_first
    log = sync_resource(account.pk, "volume")
    # The new one is listed at the next sync.
    assert (log.state, log.missing, log.created) == ("success", 1, 0), log.message
    tencent.cloud.intercept = lambda _operation, _number: None
    log = sync_resource(account.pk, "volume")
    assert (log.state, log.created, log.expired) == ("success", 1, 1), log.message


def test_a_group_that_is_removed_during_the_listing_is_left_out(tencent):
    account = an_account(tencent)
    for group in ("sg-1", "sg-2"):
        tencent.put("security_group", group)
    tencent.answer("DescribeSecurityGroupPolicies", refuse("ResourceNotFound"), None)

    log = sync_resource(account.pk, "security_group")

    assert (log.state, log.created) == ("success", 1)
    tencent.answer("DescribeSecurityGroupPolicies", refuse("UnauthorizedOperation"))
    log = sync_resource(account.pk, "security_group")
    assert log.state == "failed" and "vpc:DescribeSecurityGroupPolicies" in log.message


def test_a_role_is_taken_and_kept_until_it_ends(api, tencent, monkeypatch):
    tencent.cloud.roles[ROLE] = "x-1"
    api.done(entered(api, tencent, {"role_arn": ROLE, "external_id": "x-1"}, regions=[GUANGZHOU]))
    account = CloudAccount.objects.get()
    run_all()
    for _ in range(2):
        assert sync_resource(account.pk, "zone").state == "success"
    # Once for the region in which it signs in, and once for that which it lists.
    assert tencent.cloud.operations.count("AssumeRole") == 2

    for region in connection.opened_regions.list_opened():
        region._expires_at = 0
    assert sync_resource(account.pk, "zone").state == "success"
    assert tencent.cloud.operations.count("AssumeRole") == 3
    connection.opened_regions.clear()
    tencent.answer("AssumeRole", Response(200, {"Response": {"Credentials": None}}))
    assert "does not come from" in sync_resource(account.pk, "zone").message
    tencent.answer("AssumeRole", refuse("UnauthorizedOperation"))
    assert 'Add "sts:AssumeRole" to the policy' in sync_resource(account.pk, "zone").message


def test_temporary_credentials_have_a_token(api, tencent):
    tencent.cloud.keys[SECRET_ID] = Key(SECRET_ID, SECRET_KEY, token="the-right-token")

    assert api.ended(entered(api, tencent))["status"] == "failed"
    answer = entered(api, tencent, {"token": "the-right-token"}, name="second")
    assert api.ended(answer)["status"] == "succeeded", answer.json()


def test_an_unknown_region_is_named_with_those_that_there_are(api, tencent):
    job = api.ended(entered(api, tencent, regions=[GUANGZHOU, "ap-middle"]))

    assert job["status"] == "failed"
    assert "no region 'ap-middle'" in str(job["outcome"]) and "ap-shanghai" in str(job["outcome"])


def test_an_account_without_regions_has_all(api, tencent):
    api.done(entered(api, tencent, regions=[]))

    assert sorted(CloudAccount.objects.get().facts["regions"]) == tencent.cloud.regions
    run_all()
    assert {one for log in SyncLog.objects.all() for one in log.regions} == set(tencent.cloud.regions)


@pytest.mark.parametrize(
    ("credentials", "fields", "wrong"),
    [
        ({"secret_id": ""}, {}, "secret_id"),
        ({"secret_id": "two words"}, {}, "secret_id"),
        ({"secret_key": ""}, {}, "secret_key"),
        ({"secret_key": "line\nbreak"}, {}, "secret_key"),
        ({"token": "x" * 4097}, {}, "token"),
        ({"role_arn": "arn:aws:iam::123456789012:role/portal"}, {}, "role_arn"),
        ({"external_id": "a b"}, {}, "external_id"),
        ({"sign_in_region": "http://evil.example.org/"}, {}, "sign_in_region"),
        ({"access_key_id": "x"}, {}, "access_key_id"),
        ({}, {"endpoint": "ftp://example.org"}, "endpoint"),
        ({}, {"resource_types": ["bucket"]}, "bucket"),
    ],
)
def test_a_bad_form_is_refused_by_field(api, tencent, credentials, fields, wrong):
    answer = entered(api, tencent, credentials, **fields)

    assert answer.status_code == 400, answer.json()
    assert wrong in json.dumps(answer.json()["errors"])
    assert not CloudAccount.objects.exists()


def test_the_endpoint_may_not_have_a_path(tencent):
    account = an_account(tencent, auth_url=f"{tencent.url}/api")

    assert "without a path" in sync_resource(account.pk, "zone").message


def test_the_form_and_the_least_policy_are_told(api):
    told = {one["code"]: one for one in api.get("/api/v1/providers/").json()}["tencent"]

    assert [field["name"] for field in told["credentials"] if field["is_secret"]] == ["secret_key", "token"]
    assert (told["label"], told["is_managed"], told["is_installed"]) == ("Tencent Cloud", False, True)
    policy = json.loads(told["policy"])
    assert (policy["version"], policy["statement"][0]["action"]) == ("2.0", told["permissions"])
    # Each listing names the operation that it calls, and nothing is allowed that no listing needs.
    needed = {format_action(syncer.service, syncer.operation) for syncer in registry.list_syncers("tencent")}
    needed |= {"region:DescribeRegions", "sts:GetCallerIdentity", "vpc:DescribeSecurityGroupPolicies"}
    assert needed == set(told["permissions"])


def test_nothing_of_the_environment_is_used(tencent, monkeypatch):
    for name, value in (
        ("HTTP_PROXY", "http://127.0.0.1:9"),
        ("http_proxy", "http://127.0.0.1:9"),
        ("TENCENTCLOUD_SECRET_ID", "AKIDsomebodyelse"),
        ("TENCENTCLOUD_SECRET_KEY", "another"),
    ):
        monkeypatch.setenv(name, value)

    assert sync_resource(an_account(tencent).pk, "zone").state == "success"


@pytest.mark.parametrize(
    ("region", "host"),
    [
        ("ap-guangzhou", "cvm.tencentcloudapi.com"),
        # The regions for banks are reached by domains of their own alone.
        ("ap-shanghai-fsi", "cvm.ap-shanghai-fsi.tencentcloudapi.com"),
    ],
)
def test_without_an_endpoint_requests_go_to_the_vendors_domain(tencent, region, host):
    found = connection.TencentRegion(an_account(tencent, auth_url=""), region)

    assert found._client("cvm")._get_endpoint() == host
    assert found._scheme == "https"
