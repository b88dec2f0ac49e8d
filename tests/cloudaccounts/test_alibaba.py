"""Accounts of Alibaba Cloud, against its simulated one: entered, verified, synced, and changed there."""

from __future__ import annotations

import json

import pytest

from cloudaccounts import registry
from cloudaccounts.models import CloudAccount, CloudResource, ResourceChange, SyncLog
from cloudaccounts.sync.alibaba.errors import format_action
from cloudaccounts.sync.resources import run_sync, sync_resource
from simulator.alibaba import refuse
from tenants.scoping import Role
from tests.factories import MembershipFactory
from tests.vms.conftest import AdminClient

from .alibaba_accounts import HOME, REGIONS, ROLE, alibaba, an_account, entered, page, simulated
from .alibaba_content import ACCESS_KEY, ID_MEMBERS, SECRET_KEY, add_server, ecs_tags, fill
from .resource_checks import check_logs, check_rows, list_links, list_row_names, read_log_texts

__all__ = ["alibaba", "simulated"]
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def api(transactional_db):
    """An administrator of a tenant, as a client of the API."""
    return AdminClient(MembershipFactory(role=Role.ADMIN))


def list_ids(alibaba, region, kind):
    """Return the ids of a kind that the cloud holds for the account."""
    objects = alibaba.state.list(region, kind)
    return sorted(
        one[ID_MEMBERS[kind]] for one in objects if kind != "image" or one["ImageOwnerAlias"] == "self"
    )


def listed(api, **query):
    answer = api.get("/api/v1/cloud-resources/", query)
    assert answer.status_code == 200, answer.json()
    return answer.json()["results"]


def run_all():
    return {log.type: run_sync(log.pk) for log in SyncLog.objects.running().order_by("pk")}


def test_an_account_is_entered_verified_and_shows_what_the_cloud_has(api, alibaba):
    for region in REGIONS:
        # With the same ids in both regions.
        fill(alibaba.state, region)

    answer = entered(api, alibaba)
    shown = answer.json()["account"]
    assert SECRET_KEY not in json.dumps(answer.json())
    assert (shown["provider"], shown["access_id"], shown["options"]) == ("alibaba", ACCESS_KEY, {})
    api.done(answer)
    account = CloudAccount.objects.get(pk=shown["id"])
    assert account.facts["project_id"] == "1234567890123456"
    assert account.facts["arn"] == "acs:ram::1234567890123456:user/portal"
    assert account.facts["regions"] == {region: ["ecs"] for region in REGIONS}
    logs = run_all()
    assert {log.state for log in logs.values()} == {"success"}, {
        code: log.message for code, log in logs.items() if log.state != "success"
    }
    assert set(logs) == {syncer.type for syncer in registry.list_syncers("alibaba")} == set(ID_MEMBERS)
    assert not any(log.unreadable for log in logs.values())
    for region in REGIONS:
        for kind in ID_MEMBERS:
            assert sorted(list_row_names(region=region, type=kind)) == list_ids(alibaba, region, kind), kind
    check_rows()

    # What all clouds have in common.
    here = CloudResource.objects.filter(region=HOME)
    server = here.get(type="server", cloud_id="i-0001")
    assert (server.name, server.status, server.state) == ("网站 1 😀", "Running", "running")
    assert len(server.tags) == 50 and (server.tags["env"], server.tags["Env"]) == ("prod", "PROD")
    assert server.created_in_cloud_at.isoformat() == "2026-01-31T02:04:00+00:00"
    assert server.paid_until.isoformat() == "2027-01-31T16:00:00+00:00"
    assert set(server.addresses.split()) == {"172.16.0.1", "203.0.113.7", "2001:db8::1"}
    assert (server.attributes["vcpus"], server.attributes["memory_mb"]) == (2, 8192)
    assert {link.partition(" ")[0] for link in list_links(server)} == {
        f"server-{one}" for one in ("floating_ip", "image", "keypair", "network", "security_group", "subnet")
    }
    # Paid as it is used: the vendor's date in the year 2099 is none.
    assert here.get(cloud_id="i-0002").paid_until is None
    assert [one.state for one in here.filter(type__in=("load_balancer", "cache", "database"))] == [
        "running"
    ] * 3
    database = here.get(type="database")
    assert (database.size_gb, database.attributes["vcpus"], database.attributes["port"]) == (20, 2, 5432)
    assert database.paid_until.isoformat() == "2027-03-31T16:00:00+00:00"
    assert here.get(type="cache").paid_until is not None
    assert list_links(here.get(type="volume")) == ["volume-server i-0001", "volume-snapshot s-0"]
    assert (here.get(type="snapshot").size_gb, here.get(type="snapshot").state) == (40, "available")
    port = here.get(type="port")
    assert port.addresses.split() == ["172.16.0.1", "172.16.0.77", "2001:db8::1", "203.0.113.77"]
    assert (port.state, len(list_links(port))) == ("in_use", 4)
    assert list_row_names(region=HOME, type="floating_ip") == {"eip-1": "203.0.113.7"}
    assert len(listed(api, tag="env:prod", page_size=200)) == 2 * 6
    assert {one["type"] for one in listed(api, expires_before="2027-03-01T00:00:00Z")} == {
        "cache",
        "server",
        "volume",
    }

    # Changed and removed there, told here.
    alibaba.state.list(HOME, "server")[0] |= {"Status": "Stopped", "Tags": ecs_tags({"env": "test"})}
    alibaba.state.remove(HOME, "server", InstanceId="i-0002")
    for _ in range(2):
        assert sync_resource(account.pk, "server").state == "success"
    server.refresh_from_db()
    assert (server.state, server.tags) == ("stopped", {"env": "test"})
    assert here.get(cloud_id="i-0002").expired_at is not None
    (told,) = ResourceChange.objects.filter(resource=server).values_list("fields", flat=True)
    assert set(told) == {"status", "attributes.tags"}
    assert CloudResource.objects.get(region=REGIONS[1], cloud_id="i-0001").state == "running"
    check_rows()
    check_logs()


def test_the_rules_of_a_security_group_are_read(alibaba):
    fill(alibaba.state, HOME)
    alibaba.state.add(HOME, "security_group", SecurityGroupId="sg-empty", SecurityGroupName="empty")
    account = an_account(alibaba)

    assert sync_resource(account.pk, "security_group").state == "success"

    group = CloudResource.objects.get(cloud_id="sg-web")
    assert (group.attributes["rules"], group.attributes["kind"]) == (3, "normal")
    found = [
        tuple(
            rule[name]
            for name in (
                "direction",
                "protocol",
                "first_port",
                "last_port",
                "cidr",
                "group",
                "policy",
                "priority",
            )
        )
        for rule in group.attributes["rule_list"]
    ]
    assert found == [
        ("egress", "udp", 1, 65535, "::/0", "", "accept", 1),
        ("ingress", "-1", None, None, "", "sg-office", "drop", 100),
        ("ingress", "tcp", 443, 443, "0.0.0.0/0", "", "accept", 1),
    ]
    assert list_links(group) == ["security_group-network vpc-1", "security_group-security_group sg-office"]
    # A group that is deleted between its listing and the request for its rules is gone, and no error.
    missing = refuse("InvalidSecurityGroupId.NotFound", status=404)
    alibaba.answer = lambda operation, number: missing if operation.endswith("GroupAttribute") else None
    log = sync_resource(account.pk, "security_group")
    assert (log.state, log.missing) == ("success", 2)


def test_secrets_stay_where_they_were_entered_for(api, alibaba):
    account = CloudAccount.objects.get(pk=entered(api, alibaba).json()["account"]["id"])
    path = f"/api/v1/cloud-accounts/{account.pk}/"

    def change(**fields):
        return api.patch(path, fields, format="json")

    assert change(credentials={"security_token": "a-token"}).status_code == 202
    account.refresh_from_db()
    assert account.decrypt_secrets() == {"access_key_secret": SECRET_KEY, "security_token": "a-token"}
    for fields in (
        {"endpoint": "http://127.0.0.1:9"},
        {"endpoint": "http://127.0.0.1:9", "credentials": {"security_token": "x"}},
        {"credentials": {"access_key_id": "LTAIOTHER"}},
    ):
        answer = change(**fields)
        assert answer.status_code == 400 and "secret" in json.dumps(answer.json()), fields
        account.refresh_from_db()
        assert (account.auth_url, account.access_id) == (alibaba.url, ACCESS_KEY)
    assert change(credentials={"role_arn": ROLE, "external_id": "x-1"}).status_code == 202
    account.refresh_from_db()
    assert account.options == {"role_arn": ROLE, "external_id": "x-1"}


@pytest.mark.parametrize(
    ("credentials", "fields", "wrong"),
    [
        ({"access_key_id": ""}, {}, "access_key_id"),
        ({"access_key_id": "two words"}, {}, "access_key_id"),
        ({"access_key_id": "k" * 129}, {}, "access_key_id"),
        ({"access_key_secret": ""}, {}, "access_key_secret"),
        ({"access_key_secret": "line\nbreak"}, {}, "access_key_secret"),
        ({"role_arn": "arn:aws:iam::123456789012:role/portal"}, {}, "role_arn"),
        ({"sign_in_region": "evil.example.org/"}, {}, "sign_in_region"),
        ({"password": "x"}, {}, "password"),
        ({}, {"endpoint": "http://100.100.100.200/"}, "endpoint"),
        ({}, {"resource_types": ["router"]}, "router"),
    ],
)
def test_a_bad_form_is_refused_by_field(api, alibaba, credentials, fields, wrong):
    answer = entered(api, alibaba, credentials, **fields)

    assert answer.status_code == 400, answer.json()
    assert wrong in json.dumps(answer.json()["errors"])
    assert not CloudAccount.objects.exists()


def test_small_pages_are_read_to_the_end(alibaba):
    """By token and by number; the services may allow less than what is requested."""
    account = an_account(alibaba)
    for number in range(1, 8):
        add_server(alibaba.state, HOME, number)
        alibaba.state.add(HOME, "network", VpcId=f"vpc-{number}", VpcName="", Status="Available")
        alibaba.state.add(HOME, "database", DBInstanceId=f"rm-{number}", DBInstanceStatus="Running")
    alibaba.state.page_size = 2

    for kind in ("server", "network", "database"):
        log = sync_resource(account.pk, kind)
        assert (log.state, log.created) == ("success", 7), log.message
    assert alibaba.operations.count("ecs:DescribeInstances") == 4
    assert alibaba.operations.count("vpc:DescribeVpcs") == 4


def test_one_odd_object_does_not_hide_the_others(alibaba):
    account = an_account(alibaba)
    alibaba.answer = lambda operation, number: page(
        {"DiskId": "d-1", "Size": 10, "Status": "In_use", "Tags": {}},
        {"DiskId": "d-2", "Attachments": {"Attachment": [7]}},
        {"DiskId": "d-3", "Size": "many", "Status": "HalfOpen", "NewThing": {"a": [1]}},
        {"DiskId": "d-4", "DiskName": "a\tb\x00c", "CreationTime": "yesterday", "ExpiredTime": 7},
        {"DiskName": "without an id"},
        "no object",
    )

    log = sync_resource(account.pk, "volume")

    assert (log.state, log.created, log.unreadable) == ("success", 3, 3), log.message
    states = dict(CloudResource.objects.values_list("cloud_id", "state"))
    assert states == {"d-1": "in_use", "d-3": "", "d-4": ""}
    assert "d-2" in read_log_texts(log) and "without an id" in read_log_texts(log)


def test_a_role_is_taken_and_kept_until_it_ends(alibaba):
    alibaba.state.external_id = "x-1"
    account = an_account(alibaba, options={"role_arn": ROLE, "external_id": "x-1"})

    assert sync_resource(account.pk, "zone").state == "success"
    assert sync_resource(account.pk, "zone").state == "success"

    assert alibaba.operations.count("sts:AssumeRole") == 1
    account.options = {"role_arn": ROLE, "external_id": "x-2"}
    account.save()
    log = sync_resource(account.pk, "zone")
    assert log.state == "failed" and 'Add "sts:AssumeRole"' in log.message


def test_an_unknown_region_is_named_with_those_that_there_are(api, alibaba):
    job = api.ended(entered(api, alibaba, regions=[HOME, "cn-atlantis"]))

    assert job["status"] == "failed"
    assert "no region 'cn-atlantis'" in str(job["outcome"]) and "eu-central-1" in str(job["outcome"])


def test_the_vendor_tells_its_form_and_the_least_policy(api, transactional_db):
    providers = {one["code"]: one for one in api.get("/api/v1/providers/").json()}

    alibaba = providers["alibaba"]
    assert [field["name"] for field in alibaba["credentials"] if field["is_secret"]] == [
        "access_key_secret",
        "security_token",
    ]
    assert (alibaba["is_managed"], alibaba["is_installed"]) == (False, True)
    policy = json.loads(alibaba["policy"])
    (statement,) = policy["Statement"]
    assert (policy["Version"], statement["Action"]) == ("1", alibaba["permissions"])
    needed = {format_action(one.product, one.action) for one in registry.list_syncers("alibaba")}
    assert set(alibaba["permissions"]) == needed | {
        "ecs:DescribeRegions",
        "ecs:DescribeSecurityGroupAttribute",
        "rds:DescribeDBInstanceAttribute",
        "sts:GetCallerIdentity",
    }
