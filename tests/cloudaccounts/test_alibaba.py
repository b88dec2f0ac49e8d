"""Accounts of Alibaba Cloud, against its simulated one: entered, verified, synced, changed there, and every way in which it may refuse."""

from __future__ import annotations

import json

import pytest

from cloudaccounts import registry
from cloudaccounts.models import CloudAccount, CloudResource, ResourceChange, SyncLog
from cloudaccounts.sync.alibaba.errors import format_action
from cloudaccounts.sync.common_attributes import derive_state
from cloudaccounts.sync.resources import run_sync, sync_resource
from simulator.alibaba import AlibabaServer, refuse
from simulator.alibaba.signature import build_string_to_sign, compute_signature
from simulator.http_messages import Response
from tenants.scoping import Role
from tests.factories import MembershipFactory
from tests.vms.conftest import AdminClient

from .alibaba_content import ACCESS_KEY, ID_MEMBERS, SECRET_KEY, add_server, add_volume, ecs_tags, fill
from .resource_checks import check_logs, check_rows, list_links, list_row_names, read_log_texts

pytestmark = pytest.mark.django_db(transaction=True)
REGIONS = ["cn-hangzhou", "eu-central-1"]
HOME = REGIONS[0]
ROLE = "acs:ram::1234567890123456:role/portal"


@pytest.fixture(scope="module")
def simulated():
    server = AlibabaServer()
    yield server
    server.stop()


@pytest.fixture
def alibaba(simulated, settings, monkeypatch):
    """A cloud without anything but its zones, and a key; waits of no length."""
    from cloudaccounts.sync.alibaba import connection

    settings.ALLOW_LOCAL_CLOUDS = True
    simulated.reset()
    simulated.state.add_key(ACCESS_KEY, SECRET_KEY)
    monkeypatch.setattr(connection, "FIRST_WAIT_SECONDS", 0)
    connection._regions.clear()
    yield simulated
    connection._regions.clear()


@pytest.fixture
def api(transactional_db):
    """An administrator of a tenant, as a client of the API."""
    return AdminClient(MembershipFactory(role=Role.ADMIN))


def entered(api, alibaba, credentials=None, **fields):
    account = {
        "name": "web shop",
        "provider": "alibaba",
        "credentials": {
            "access_key_id": ACCESS_KEY,
            "access_key_secret": SECRET_KEY,
            **(credentials or {}),
        },
        "endpoint": alibaba.url,
        "regions": REGIONS,
        "sync_interval_minutes": 5,
        **fields,
    }
    return api.post("/api/v1/cloud-accounts/", account, format="json")


def an_account(alibaba, secrets=None, **columns):
    """An account that was verified before."""
    account = CloudAccount(
        **{
            "name": "alibaba",
            "provider": "alibaba",
            "access_id": ACCESS_KEY,
            "auth_url": alibaba.url,
            "regions": [HOME],
            **columns,
        }
    )
    account.set_secret(json.dumps({"access_key_secret": SECRET_KEY, **(secrets or {})}))
    account.save()
    return account


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
        ({}, {"resource_types": ["port"]}, "port"),
    ],
)
def test_a_bad_form_is_refused_by_field(api, alibaba, credentials, fields, wrong):
    answer = entered(api, alibaba, credentials, **fields)

    assert answer.status_code == 400, answer.json()
    assert wrong in json.dumps(answer.json()["errors"])
    assert not CloudAccount.objects.exists()


def page(*objects, **members):
    return Response(200, {"Disks": {"Disk": list(objects)}, **members})


HTML = Response(200, b"<html><body>Welcome!</body></html>", content_type="text/html")


@pytest.mark.parametrize(
    ("answer", "words", "is_sign_in"),
    [
        (refuse("InvalidAccessKeyId.NotFound", "x", 404), "refuses the credentials", True),
        (refuse("InvalidAccessKeyId.Inactive", "x", 400), "access key is disabled", True),
        (refuse("Forbidden.AccessKeyDisabled", "x", 403), "access key is disabled", True),
        (refuse("SignatureDoesNotMatch", f"with {SECRET_KEY}", 400), "refuses the credentials", True),
        (refuse("InvalidSecurityToken.Expired", "x", 400), "security token has expired", True),
        (refuse("InvalidTimeStamp.Expired", "x", 400), "the clock of the portal's machine", True),
        (refuse("Account.Arrearage", "x", 403), "a payment is overdue", True),
        (refuse("InvalidAccountStatus.NotEnoughBalance", "x", 403), "a payment is overdue", True),
        (refuse("Forbidden.RAM", "Not you.", 403), 'Add "ecs:DescribeDisks" to the policy', False),
        (
            refuse("NoPermission", "x", 403, AccessDeniedDetail={"AuthAction": "ecs:DescribeDisksMore"}),
            'Add "ecs:DescribeDisksMore" to the policy',
            False,
        ),
        (refuse("Throttling", "Slow down.", 400), "takes no more requests", False),
        (refuse("Throttling.Api", "Slow down.", 503), "takes no more requests", False),
        (refuse("InvalidNextToken", "x", 400), "can't continue the listing", False),
        (refuse("InvalidRegionId.NotFound", "x", 404), "has no ecs:DescribeDisks in this region", False),
        (refuse("InternalError", "Oh.", 500), "could not answer ecs:DescribeDisks", False),
        (refuse("ServiceUnavailable", "Oh.", 503), "could not answer ecs:DescribeDisks", False),
        (refuse("MissingParameter", "x", 400), "refuses ecs:DescribeDisks (MissingParameter)", False),
        (HTML, "does not come from Alibaba Cloud", False),
        (Response(502, b"<html>Bad gateway</html>", content_type="text/html"), "could not answer", False),
        (Response(200, b"\x00\xff"), "does not come from Alibaba Cloud", False),
        (Response(200, b"[1]"), "does not come from Alibaba Cloud", False),
        (Response(200, {"RequestId": "r"}), "has no Disks", False),
        (Response(200, {"Disks": {"Disk": "many"}}), "has no Disks", False),
        (Response(200, {"Disks": {}}, is_truncated=True), "No answer to ecs:DescribeDisks", False),
        (Response(302, b"", {"Location": "http://127.0.0.2:9/"}), "redirects", False),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_refusal_is_told_and_costs_no_row(alibaba, answer, words, is_sign_in):
    account = an_account(alibaba)
    add_volume(alibaba.state, HOME, 1)
    assert sync_resource(account.pk, "volume").state == "success"
    before = list_row_names()
    assert len(before) == 1
    alibaba.answer = lambda operation, number: answer if operation == "ecs:DescribeDisks" else None

    for _ in range(2):
        log = sync_resource(account.pk, "volume")
        assert log.state == "failed" and words in log.message, log.message
        assert SECRET_KEY not in read_log_texts(log)

    assert list_row_names() == before
    account.refresh_from_db()
    assert (account.sign_in_failed_at is not None) == is_sign_in
    check_logs()


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lambda key, state: setattr(key, "secret", "another-secret"), "refuses the credentials"),
        (lambda key, state: setattr(key, "is_active", False), "access key is disabled"),
        (lambda key, state: setattr(key, "is_expired", True), "security token has expired"),
        (lambda key, state: setattr(key, "token", "another-token"), "refuses the credentials"),
        (lambda key, state: setattr(state, "clock_offset", 16 * 60), "the clock of the portal's machine"),
        (lambda key, state: setattr(state, "clock_offset", -16 * 60), "the clock of the portal's machine"),
        (lambda key, state: state.keys.clear(), "refuses the credentials"),
    ],
)
def test_the_cloud_refuses_by_itself_and_no_secret_is_told(alibaba, break_it, words):
    """The simulated cloud repeats what it has signed, with the token in it, as the vendor does."""
    token = "a-token/with+characters=that-are-encoded"
    alibaba.state.add_key("STS.temporary", SECRET_KEY, token=token)
    account = an_account(alibaba, {"security_token": token}, access_id="STS.temporary")
    assert sync_resource(account.pk, "zone").state == "success"
    break_it(alibaba.state.keys["STS.temporary"], alibaba.state)

    log = sync_resource(account.pk, "zone")

    assert log.state == "failed" and words in log.message, log.message
    texts = read_log_texts(log)
    assert SECRET_KEY not in texts and "a-token" not in texts and "string to sign" not in texts
    account.refresh_from_db()
    assert account.sign_in_failed_at is not None


def test_a_missing_permission_concerns_one_type(alibaba):
    fill(alibaba.state, HOME)
    alibaba.state.denied |= {"kvstore:DescribeInstances", "rds:DescribeDBInstanceAttribute"}
    account = an_account(alibaba)

    assert 'Add "kvstore:DescribeInstances"' in sync_resource(account.pk, "cache").message
    assert 'Add "rds:DescribeDBInstanceAttribute"' in sync_resource(account.pk, "database").message
    assert sync_resource(account.pk, "server").state == "success"


def test_a_throttled_request_is_repeated_a_few_times(alibaba):
    account = an_account(alibaba)
    alibaba.state.throttled["ecs:DescribeZones"] = 4
    assert sync_resource(account.pk, "zone").state == "success"
    assert alibaba.operations.count("ecs:DescribeZones") == 5

    alibaba.operations.clear()
    alibaba.state.throttled["ecs:DescribeZones"] = 100
    log = sync_resource(account.pk, "zone")
    assert log.state == "failed" and "takes no more requests" in log.message
    assert alibaba.operations.count("ecs:DescribeZones") == 5


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


def test_a_listing_that_breaks_off_expires_nothing(alibaba):
    account = an_account(alibaba)
    disks = [add_volume(alibaba.state, HOME, number) for number in range(1, 5)]
    assert sync_resource(account.pk, "volume").created == 4
    before = list_row_names()
    pages = {1: page(NextToken="two"), 2: page(disks[2], NextToken="three")}
    alibaba.answer = lambda operation, number: pages[number]

    for last, words in (
        (refuse("InvalidNextToken"), "can't continue the listing"),
        (page(disks[3], NextToken="two"), "the same page"),
        (page(disks[2], NextToken="four"), "the same page"),
    ):
        pages[3] = last
        alibaba.operations.clear()
        log = sync_resource(account.pk, "volume")
        assert log.state == "failed" and words in log.message, log.message
        assert (log.expired, log.missing) == (0, 0)
        assert list_row_names() == before
    # And whole again, it expires what is gone.
    pages[3] = page(*disks[:2])
    for _ in range(2):
        alibaba.operations.clear()
        log = sync_resource(account.pk, "volume")
    assert (log.state, log.expired) == ("success", 1)


def vpc_page(numbers, total):
    found = [{"VpcId": f"vpc-{number}", "Status": "Available"} for number in numbers]
    return Response(200, {"Vpcs": {"Vpc": found}, "TotalCount": total})


@pytest.mark.parametrize(
    ("pages", "words"),
    [
        # The same page again and again, and an end before the total.
        ([vpc_page([1, 2], 6)] * 3, "the same page"),
        ([vpc_page([1, 2], 6), vpc_page([], 6)], "ended after 2 of 6 objects"),
    ],
)
def test_a_listing_by_number_that_is_not_whole_is_an_error(alibaba, pages, words):
    account = an_account(alibaba)
    alibaba.answer = lambda operation, number: pages[number - 1]

    log = sync_resource(account.pk, "network")

    assert log.state == "failed" and words in log.message, log.message
    assert log.missing == log.expired == 0


@pytest.mark.parametrize(
    "pages",
    [
        # One is created meanwhile, and shifts another one to the next page.
        [vpc_page([1, 2], 4), vpc_page([2, 3], 5), vpc_page([4], 5)],
        # One of the first page is deleted meanwhile, so that the second page passes over another: all are read again.
        [vpc_page([9, 1], 5), vpc_page([3, 4], 4), vpc_page([1, 2], 4), vpc_page([3, 4], 4)],
        # A service that tells no total is read until a page is empty.
        [vpc_page([1, 2], None), vpc_page([3, 4], None), vpc_page([], None)],
    ],
)
def test_a_total_that_changes_is_no_error(alibaba, pages):
    account = an_account(alibaba)
    alibaba.answer = lambda operation, number: pages[number - 1]

    log = sync_resource(account.pk, "network")

    assert log.state == "success", log.message
    assert {f"vpc-{number}" for number in range(1, 5)} <= set(list_row_names())
    assert alibaba.operations.count("vpc:DescribeVpcs") == len(pages)
    check_rows()


def test_a_listing_without_end_is_stopped(alibaba, monkeypatch):
    from cloudaccounts.sync.alibaba import listings

    monkeypatch.setattr(listings, "MAX_PAGES", 20)
    account = an_account(alibaba)
    alibaba.answer = lambda operation, number: page({"DiskId": f"d-{number}"}, NextToken=f"t{number}")

    log = sync_resource(account.pk, "volume")

    assert log.state == "failed" and "more than 20 pages" in log.message
    assert len(alibaba.operations) == 21


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


@pytest.mark.parametrize(
    ("type_code", "words", "state"),
    [
        ("volume", "Attaching Detaching Creating ReIniting", "changing"),
        ("snapshot", "progressing", "changing"),
        ("image", "Waiting Creating", "changing"),
        ("image", "CreateFailed", "error"),
        (
            "cache",
            "Changing Flushing Transforming BackupRecovering SSLModifying NetworkModifying",
            "changing",
        ),
        ("cache", "Normal", "running"),
        ("database", "DBInstanceClassChanging TRANSING INS_CLONING GuardSwitching Restoring", "changing"),
        ("load_balancer", "active", "running"),
        ("load_balancer", "inactive", "stopped"),
        ("load_balancer", "locked", "error"),
        ("floating_ip", "InUse", "in_use"),
        ("server", "NeverHeardOf", ""),
    ],
)
def test_the_vendors_words_of_statuses_are_known(type_code, words, state):
    assert {str(derive_state(type_code, word)) for word in words.split()} == {state}


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


@pytest.mark.parametrize("region", ["x@evil.example.org/", "CN", "a.b", "-"])
def test_a_region_is_no_way_to_another_host(alibaba, region):
    log = sync_resource(an_account(alibaba, auth_url="", regions=[region]).pk, "zone")

    assert log.state == "failed" and "is no region of Alibaba Cloud" in log.message
    assert alibaba.operations == []


def test_addresses_are_those_of_the_sdk_or_of_the_rule(alibaba):
    from cloudaccounts.sync.alibaba.connection import _find_host

    found = {
        (product, region): _find_host(product, region)
        for product, region in (
            ("Ecs", "eu-central-1"),
            ("R-kvstore", "cn-hongkong"),
            ("Sts", "eu-central-1"),
        )
    }
    assert found == {
        ("Ecs", "eu-central-1"): "ecs.eu-central-1.aliyuncs.com",
        ("R-kvstore", "cn-hongkong"): "r-kvstore.cn-hongkong.aliyuncs.com",
        ("Sts", "eu-central-1"): "sts.aliyuncs.com",
    }
    # Newer than the SDK.
    assert _find_host("Ecs", "cn-wulanchabu") == "ecs.cn-wulanchabu.aliyuncs.com"


def test_the_signature_is_that_of_the_documentation():
    """The example of the vendor's documentation, with its key and its result."""
    params = {
        "TimeStamp": "2016-02-23T12:46:24Z",
        "Format": "XML",
        "AccessKeyId": "testid",
        "Action": "DescribeRegions",
        "SignatureMethod": "HMAC-SHA1",
        "SignatureNonce": "3ee8c1b8-83d3-44af-a94f-4e0ad82fd6cf",
        "Version": "2014-05-26",
        "SignatureVersion": "1.0",
    }
    params["Timestamp"] = params.pop("TimeStamp")

    assert build_string_to_sign("GET", params) == (
        "GET&%2F&AccessKeyId%3Dtestid%26Action%3DDescribeRegions%26Format%3DXML%26SignatureMethod%3DHMAC-SHA1"
        "%26SignatureNonce%3D3ee8c1b8-83d3-44af-a94f-4e0ad82fd6cf%26SignatureVersion%3D1.0"
        "%26Timestamp%3D2016-02-23T12%253A46%253A24Z%26Version%3D2014-05-26"
    )
    assert compute_signature("GET", params, "testsecret") == "OLeaidS1JvxuMvnyHOwuJ+uX5qY="


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
