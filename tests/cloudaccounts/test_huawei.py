"""Accounts of Huawei Cloud, against a small server that checks signatures itself: entered, verified, synced, changed there."""

from __future__ import annotations

import json

import pytest

from cloudaccounts import registry
from cloudaccounts.models import CloudAccount, CloudResource, ResourceChange, SyncLog
from cloudaccounts.sync.huawei import connection
from cloudaccounts.sync.resources import run_sync, sync_resource
from networks.models import SecurityGroup
from simulator.huawei import shapes
from simulator.huawei.server import refuse
from tenants.scoping import Role
from tests.factories import MembershipFactory
from tests.vms.conftest import AdminClient

from .huawei_content import ACCESS_KEY, REGIONS, SECRET_KEY, TYPES, an_account, entered, fill
from .resource_checks import check_logs, check_rows, list_links, list_row_names

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def api(transactional_db):
    """An administrator of a tenant, as a client of the API."""
    return AdminClient(MembershipFactory(role=Role.ADMIN))


def listed(api, **query):
    answer = api.get("/api/v1/cloud-resources/", query)
    assert answer.status_code == 200, answer.json()
    return answer.json()["results"]


def run_all():
    return {log.type: run_sync(log.pk) for log in SyncLog.objects.running().order_by("pk")}


def list_private(cloud, region, type_code):
    """Return the ids that the cloud has of a type, without images of Huawei Cloud's own."""
    stored = cloud.projects[region].objects.get(type_code, {})
    return sorted(key for key, found in stored.items() if found.get("__imagetype", "private") == "private")


def test_an_account_is_entered_verified_and_shows_what_the_cloud_has(api, huawei, huawei_cloud):
    ids = fill(huawei_cloud)
    fill(huawei_cloud, "ap-southeast-1")

    answer = entered(api, huawei)
    shown = answer.json()["account"]
    assert SECRET_KEY not in json.dumps(answer.json())
    assert (shown["provider"], shown["access_id"], shown["options"]) == ("huawei", ACCESS_KEY, {})
    api.done(answer)
    account = CloudAccount.objects.get(pk=shown["id"])
    assert (account.facts["project_id"], account.facts["account_name"]) == (
        huawei_cloud.account_id,
        "hw-shop",
    )
    assert account.facts["regions"] == {region: ["ecs"] for region in REGIONS}
    logs = run_all()
    assert {log.state for log in logs.values()} == {"success"}, {
        code: log.message for code, log in logs.items() if log.state != "success"
    }
    assert set(logs) == set(TYPES) == {syncer.type for syncer in registry.list_syncers("huawei")}

    # The same ids as the cloud has, in both regions.
    for region in REGIONS:
        for type_code in TYPES:
            found = sorted(list_row_names(region=region, type=type_code))
            assert found == list_private(huawei_cloud, region, type_code) != [], (region, type_code)
    check_rows()

    # What all clouds have in common.
    server = CloudResource.objects.get(type="server", cloud_id=ids[0])
    assert (server.name, server.status, server.state) == ("网站 😀", "ACTIVE", "running")
    assert len(server.tags) == 50 and (server.tags["env"], server.tags["Env"]) == ("prod", "PROD")
    assert server.created_in_cloud_at is not None
    assert server.paid_until.isoformat() == "2026-12-31T15:59:59+00:00"
    assert CloudResource.objects.get(cloud_id=ids[1]).paid_until is None
    assert set(server.addresses.split()) == {"192.168.0.10", "203.0.113.7"}
    assert (server.attributes["vcpus"], server.attributes["memory_mb"]) == (2, 4096)
    links = {link.partition(" ")[0] for link in list_links(server)}
    assert links == {
        f"server-{one}" for one in ("image", "keypair", "network", "port", "security_group", "volume")
    }
    volume = CloudResource.objects.get(type="volume", region="cn-north-4")
    assert (volume.state, volume.size_gb, volume.tags) == ("in_use", 100, {"env": "prod", "空": ""})
    assert volume.attributes["attachments"] == [[ids[0], "/dev/vda"]] and volume.attributes["is_prepaid"]
    database = CloudResource.objects.get(type="database", region="cn-north-4")
    assert (database.state, database.size_gb, database.tags) == ("running", 100, {"env": "prod"})
    assert database.paid_until.isoformat() == "2027-03-01T15:59:59+00:00"
    assert (database.attributes["zone"], database.attributes["memory_mb"]) == ("cn-north-4a", 4096)
    states = CloudResource.objects.filter(type="floating_ip", region="cn-north-4").order_by("name")
    assert list(states.values_list("name", "state", "tags")) == [
        ("203.0.113.8", "available", {}),
        ("front door", "in_use", {"env": "prod"}),
    ]
    group = CloudResource.objects.get(type="security_group", name="web", region="cn-north-4")
    rules = group.attributes["rule_list"]
    sides = [
        tuple(rule[name] for name in ("direction", "protocol", "first_port", "last_port", "cidr", "action"))
        for rule in rules
    ]
    assert sides == [
        ("egress", "-1", None, None, "::/0", "allow"),
        ("ingress", "-1", None, None, "", "deny"),
        ("ingress", "tcp", 22, 22, "10.0.0.0/8", "allow"),
        ("ingress", "tcp", 8000, 8010, "10.0.0.0/8", "allow"),
    ]
    assert len(list_links(group)) == 1 and group.attributes["rules"] == 4
    names = [one["type"] for one in listed(api, tag="env:prod", page_size=200)]
    assert sorted(set(names)) == ["database", "floating_ip", "image", "load_balancer", "server", "volume"]
    ending = listed(api, expires_before="2030-01-01T00:00:00Z")
    assert sorted({one["type"] for one in ending}) == ["database", "server", "volume"]

    # Changed and removed there, told here.
    huawei_cloud.projects["cn-north-4"].objects["server"][ids[0]] |= {
        "status": "SHUTOFF",
        "tags": ["env=test"],
    }
    huawei_cloud.remove("cn-north-4", "server", ids[1])
    for _ in range(2):
        assert sync_resource(account.pk, "server").state == "success"
    server.refresh_from_db()
    assert (server.state, server.tags) == ("stopped", {"env": "test"})
    assert CloudResource.objects.get(cloud_id=ids[1]).expired_at is not None
    (fields,) = ResourceChange.objects.filter(resource=server).values_list("fields", flat=True)
    assert sorted(fields) == ["attributes.tags", "status"]
    check_rows()
    check_logs()

    # The portal takes none of it for its own.
    assert not SecurityGroup.objects.exists()
    assert listed(AdminClient(MembershipFactory(role=Role.ADMIN))) == []
    api.done(api.delete(f"/api/v1/cloud-accounts/{account.pk}/"))
    assert not CloudResource.objects.exists()


def test_an_agency_is_taken_and_kept_until_it_ends(huawei, huawei_cloud):
    huawei_cloud.agencies = {("portal", "hw-other")}
    account = an_account(huawei, options={"agency_name": "portal", "agency_domain": "hw-other"})

    assert sync_resource(account.pk, "zone").state == "success"
    assert sync_resource(account.pk, "zone").state == "success"

    assert huawei_cloud.requested.count("iam:securitytokens") == 1
    assert huawei_cloud.requested.count("iam:projects") == 1
    huawei_cloud.agencies.clear()
    account.options = {"agency_name": "portal", "agency_domain": "hw-third"}
    account.save()
    assert "CreateTemporaryAccessKeyByAgency" in sync_resource(account.pk, "zone").message


def test_ends_of_paid_times_are_missing_without_the_permission_for_orders(huawei, huawei_cloud):
    account = an_account(huawei)
    fill(huawei_cloud)
    huawei_cloud.paid_until = None

    for _ in range(2):
        assert sync_resource(account.pk, "server").state == "success"
    assert not CloudResource.objects.exclude(paid_until=None).exists()
    # Both billing centers are asked once, and not again with each sync.
    assert huawei_cloud.requested.count("iam:query") == 2
    # What else they answer is an error, so that a paid time does not vanish and come back.
    connection.opened_regions.clear()
    huawei_cloud.answer = lambda action, number: (
        refuse(500, "CBC.0999", "Oh.") if action == "iam:query" else None
    )
    assert "could not answer bss:" in sync_resource(account.pk, "volume").message


def test_an_account_is_known_by_its_projects_if_iam_does_not_tell(api, huawei, huawei_cloud):
    huawei_cloud.tells_account = False

    api.done(entered(api, huawei))
    facts = CloudAccount.objects.get().facts
    assert (facts["project_id"], facts["account_name"]) == (huawei_cloud.account_id, "")


def test_projects_below_a_region_are_regions_and_those_of_no_region_are_not(api, huawei, huawei_cloud):
    huawei_cloud.add_project("cn-north-4_shop")
    huawei_cloud.add_project("cn-north-1_old").is_enabled = False
    huawei_cloud.add("cn-north-4_shop", "volume", shapes.volume("of the shop"))

    api.done(entered(api, huawei))
    account = CloudAccount.objects.get()
    assert sorted(account.facts["regions"]) == [*REGIONS, "cn-north-4_shop"]
    run_all()
    assert list(list_row_names(region="cn-north-4_shop").values()) == ["of the shop"]


def test_the_addresses_of_services_are_those_of_the_region():
    from cloudaccounts.sync.huawei.connection import HuaweiRegion

    account = CloudAccount(provider="huawei", access_id=ACCESS_KEY)
    account.set_secret("{}")
    region = HuaweiRegion(account, "cn-north-4_shop")
    assert region._build_base("ecs") == "https://ecs.cn-north-4.myhuaweicloud.com"
    assert region._build_base("eip") == "https://vpc.cn-north-4.myhuaweicloud.com"
    assert HuaweiRegion(account, "")._build_base("iam") == "https://iam.myhuaweicloud.com"
    account.options = {"sign_in_region": "eu-west-101"}
    assert HuaweiRegion(account, "")._build_base("iam") == "https://iam.eu-west-101.myhuaweicloud.eu"


@pytest.mark.parametrize(
    ("credentials", "wrong"),
    [
        ({"access_key_id": "short"}, "access_key_id"),
        ({"secret_access_key": ""}, "secret_access_key"),
        ({"sign_in_region": "http://evil.example.org/"}, "sign_in_region"),
        ({"agency_name": "a/b"}, "agency_name"),
        ({"password": "x"}, "password"),
    ],
)
def test_a_bad_form_is_refused_by_field(api, huawei, credentials, wrong):
    answer = entered(api, huawei, credentials)

    assert answer.status_code == 400 and wrong in json.dumps(answer.json()["errors"])


def test_the_form_has_its_secrets_and_the_least_policy(api, transactional_db):
    (huawei,) = (one for one in api.get("/api/v1/providers/").json() if one["code"] == "huawei")

    secrets = [field["name"] for field in huawei["credentials"] if field["is_secret"]]
    assert secrets == ["secret_access_key", "security_token"]
    policy = json.loads(huawei["policy"])
    assert (policy["Version"], policy["Statement"][0]["Action"]) == ("1.1", huawei["permissions"])
    # Each listing names its permission.
    needed = {syncer.listing.action for syncer in registry.list_syncers("huawei")}
    assert needed | {"vpc:securityGroupRules:get"} == set(huawei["permissions"])


def test_credentials_without_any_project_take_nothing_for_gone(huawei, huawei_cloud):
    account = an_account(huawei, regions=[])
    fill(huawei_cloud)
    assert sync_resource(account.pk, "volume").created == 1
    huawei_cloud.projects.clear()

    for _ in range(3):
        log = sync_resource(account.pk, "volume")
        assert log.state == "failed" and "shows no project" in log.message, log.message
    assert len(list_row_names(type="volume")) == 1
    account.set_secret("{}")
    account.save()
    assert "no secret access key" in sync_resource(account.pk, "volume").message
