"""Accounts of Huawei Cloud, against a small server that checks signatures itself: entered, verified, synced, changed there, refused."""

from __future__ import annotations

import json

import pytest

from cloudaccounts import registry
from cloudaccounts.models import CloudAccount, CloudResource, ResourceChange, SyncLog
from cloudaccounts.sync.resources import run_sync, sync_resource
from networks.models import SecurityGroup
from simulator.http_messages import Response
from simulator.huawei import shapes
from simulator.huawei.server import HuaweiServer, refuse
from tenants.scoping import Role
from tests.factories import MembershipFactory
from tests.vms.conftest import AdminClient

from .huawei_content import ACCESS_KEY, REGIONS, SECRET_KEY, TYPES, a_cloud, an_account, fill
from .resource_checks import check_logs, check_rows, list_links, list_row_names, read_log_texts

pytestmark = pytest.mark.django_db(transaction=True)
TOKEN = "a-token-of-tests-that-nobody-may-see"


@pytest.fixture(scope="module")
def server():
    server = HuaweiServer()
    yield server
    server.close()


@pytest.fixture
def huawei(server, settings, monkeypatch):
    """The server with a new cloud; one attempt for a throttled request, so that tests do not wait."""
    settings.ALLOW_LOCAL_CLOUDS = True
    from cloudaccounts.sync.huawei import connection

    monkeypatch.setattr(connection, "THROTTLE_WAITS", ())
    connection._regions.clear()
    server.cloud = a_cloud()
    yield server
    connection._regions.clear()


@pytest.fixture
def cloud(huawei):
    return huawei.cloud


@pytest.fixture
def api(transactional_db):
    """An administrator of a tenant, as a client of the API."""
    return AdminClient(MembershipFactory(role=Role.ADMIN))


def entered(api, huawei, credentials=None, **fields):
    account = {
        "name": "web shop",
        "provider": "huawei",
        "credentials": {
            "access_key_id": ACCESS_KEY,
            "secret_access_key": SECRET_KEY,
            **(credentials or {}),
        },
        "endpoint": huawei.url,
        "sync_interval_minutes": 5,
        **fields,
    }
    return api.post("/api/v1/cloud-accounts/", account, format="json")


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


def test_an_account_is_entered_verified_and_shows_what_the_cloud_has(api, huawei, cloud):
    ids = fill(cloud)
    fill(cloud, "ap-southeast-1")

    answer = entered(api, huawei)
    shown = answer.json()["account"]
    assert SECRET_KEY not in json.dumps(answer.json())
    assert (shown["provider"], shown["access_id"], shown["options"]) == ("huawei", ACCESS_KEY, {})
    api.done(answer)
    account = CloudAccount.objects.get(pk=shown["id"])
    assert (account.facts["project_id"], account.facts["account_name"]) == (cloud.account_id, "hw-shop")
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
            assert found == list_private(cloud, region, type_code) != [], (region, type_code)
    check_rows()

    # What all clouds have in common.
    server = CloudResource.objects.get(type="server", cloud_id=ids[0])
    assert (server.name, server.status, server.state) == ("网站 😀", "ACTIVE", "running")
    assert len(server.tags) == 50 and (server.tags["env"], server.tags["Env"]) == ("prod", "PROD")
    assert server.created_in_cloud_at is not None and server.paid_until is None
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
    assert {one["type"] for one in listed(api, expires_before="2030-01-01T00:00:00Z")} == {"database"}

    # Changed and removed there, told here.
    cloud.projects["cn-north-4"].objects["server"][ids[0]] |= {"status": "SHUTOFF", "tags": ["env=test"]}
    cloud.remove("cn-north-4", "server", ids[1])
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


@pytest.mark.parametrize("size", [1, 2, 7])
def test_listings_are_complete_whatever_the_pages(huawei, cloud, size):
    account = an_account(huawei)
    for number in range(6):
        cloud.add("cn-north-4", "keypair", shapes.keypair(f"key-{number}"))
        network = cloud.add("cn-north-4", "network", shapes.network(f"n-{number}"))
        cloud.add("cn-north-4", "subnet", shapes.subnet(f"s-{number}", network))
        cloud.add("cn-north-4", "snapshot", shapes.snapshot(f"s-{number}", "v"))
        cloud.add("cn-north-4", "image", shapes.image(f"i-{number}"))
        cloud.add("cn-north-4", "cache", shapes.cache(f"c-{number}", network))
        group = cloud.add("cn-north-4", "security_group", shapes.security_group(f"g-{number}"))
        cloud.add("cn-north-4", "rule", shapes.rule(group))
    cloud.page_size = size

    for type_code in ("keypair", "network", "subnet", "snapshot", "image", "cache", "security_group"):
        log = sync_resource(account.pk, type_code)
        assert (log.state, log.created) == ("success", 6), (type_code, log.message)
    rules = CloudResource.objects.filter(type="security_group").values_list("attributes__rules", flat=True)
    assert list(rules) == [1] * 6


@pytest.mark.parametrize(
    ("answer", "words", "is_sign_in"),
    [
        (refuse(401, "APIGW.0301", f"verify aksk signature fail, {SECRET_KEY}"), "refuses the credentials", True),
        (refuse(401, "APIGW.0301", "Get secretKey failed,ak:X,err:ak not exist"), "no such access key", True),
        (refuse(401, "APIGW.0301", "AK access failed to reach the limit,forbidden"), "has locked the access key", True),
        (refuse(401, "APIGW.0301", "calc ak sk signature fail:signature expired"), "clock of the portal's machine", True),
        (refuse(401, "APIGW.0301", "decrypt token fail"), "security token has expired", True),
        (refuse(401, "APIGW.0307", "The token must be updated."), "security token has expired", True),
        (refuse(403, "APIC.7108", "Access denied because your account is frozen."), "arrears, frozen, or closed", True),
        (
            Response(403, {"error": {"code": "EVS.1002", "message": "Policy doesn't allow evs:volumes:list to be performed."}}),
            'Add "evs:volumes:list" to a policy',
            False,
        ),
        (Response(401, {"error": {"code": "EPS.0003", "message": "policy doesn't allow it"}}), 'Add "evs:volumes:list"', False),
        (refuse(403, "APIGW.0802", "The IAM user is forbidden in the currently selected region"), "in this region", False),
        (refuse(404, "APIGW.0101", "The API does not exist"), "has no evs:volumes:list", False),
        (refuse(429, "APIGW.0308", "The throttling threshold has been reached"), "takes no more requests", False),
        (refuse(500, "EVS.0000", "Oh."), "could not answer evs:volumes:list", False),
        (refuse(400, "EVS.5400", "Bad."), "refuses evs:volumes:list (EVS.5400): Bad.", False),
        (Response(502, b"<html>Bad gateway</html>", content_type="text/html"), "could not answer", False),
        (Response(200, b"<html>Welcome!</html>", content_type="text/html"), "does not come from Huawei Cloud", False),
        (Response(200, b"\x00\xff"), "does not come from Huawei Cloud", False),
        (Response(200, {"servers": []}), "does not come from Huawei Cloud", False),
        (Response(200, {"volumes": None}), "does not come from Huawei Cloud", False),
        (Response(403, b"forbidden", content_type="text/plain"), "does not come from Huawei Cloud", False),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)  # fmt: skip
def test_a_refusal_is_told_and_costs_no_row(huawei, cloud, answer, words, is_sign_in):
    account = an_account(huawei)
    cloud.add("cn-north-4", "volume", shapes.volume("data"))
    assert sync_resource(account.pk, "volume").state == "success"
    before = list_row_names()
    assert len(before) == 1
    cloud.answer = lambda action, number: answer if action == "evs:volumes:list" else None

    for _ in range(3):
        log = sync_resource(account.pk, "volume")
        assert log.state == "failed" and words in log.message, log.message
        assert SECRET_KEY not in read_log_texts(log)

    assert list_row_names() == before
    account.refresh_from_db()
    assert (account.sign_in_failed_at is not None) == is_sign_in
    # One type alone is concerned.
    assert sync_resource(account.pk, "zone").state == "success"
    check_logs()


def test_a_throttled_request_is_repeated_and_then_told(huawei, cloud, monkeypatch):
    from cloudaccounts.sync.huawei import connection

    waits = []
    monkeypatch.setattr(connection.time, "sleep", waits.append)
    monkeypatch.setattr(connection, "THROTTLE_WAITS", (1.0, 2.0))
    account = an_account(huawei)
    assert sync_resource(account.pk, "zone").state == "success"

    cloud.throttled = 2
    assert sync_resource(account.pk, "zone").state == "success"
    assert waits == [1.0, 2.0]
    cloud.throttled = 3
    assert "no more requests" in sync_resource(account.pk, "zone").message
    cloud.answer = lambda action, number: Response(
        429, {"error_code": "APIGW.0308", "error_msg": "x"}, {"Retry-After": "99"}
    )
    sync_resource(account.pk, "zone")
    assert waits[4:] == [30.0, 30.0]
    account.refresh_from_db()
    assert account.sign_in_failed_at is None


def test_a_wrong_signature_a_wrong_clock_and_a_frozen_account_are_refused_at_sign_in(api, huawei, cloud):
    cloud.clock_offset = 1200
    for change, words in (
        ({}, "clock of the portal's machine"),
        ({"access_key_id": "PORTALTESTS000000002"}, "no such access key"),
        ({"secret_access_key": "another-secret-of-tests-that-is-wrong-00"}, "refuses the credentials"),
        ({"security_token": TOKEN}, "security token has expired"),
    ):
        job = api.ended(entered(api, huawei, change, name=f"a {words}"))
        cloud.clock_offset = 0
        assert job["status"] == "failed" and words in str(job["outcome"]), job["outcome"]
        assert "another-secret" not in str(job) and TOKEN not in str(job)
    cloud.is_frozen = True
    assert "frozen" in str(api.ended(entered(api, huawei, name="frozen"))["outcome"])
    job = api.ended(entered(api, huawei, name="somewhere", regions=["cn-north-4", "eu-middle-9"]))
    assert job["status"] == "failed"
    cloud.is_frozen = False
    outcome = str(api.ended(entered(api, huawei, name="nowhere", regions=["eu-middle-9"]))["outcome"])
    assert "no region 'eu-middle-9'" in outcome and "ap-southeast-1, cn-north-4" in outcome


def test_a_listing_that_breaks_off_expires_nothing(huawei, cloud):
    account = an_account(huawei)
    pages = {1: [["v-1", "v-2"]], 2: [["v-3"]], 3: [["v-4"]], 4: [[]]}

    def answer(action, number):
        if action != "evs:volumes:list":
            return None
        found = pages[number]
        return (
            found
            if isinstance(found, Response)
            else Response(200, {"volumes": [{"id": one, "name": one} for one in found[0]], "count": number})
        )

    cloud.answer = answer
    assert sync_resource(account.pk, "volume").created == 4
    before = list_row_names()
    # The last page is refused: its marker is gone, the cloud throttles, or a page comes again and again.
    for last, words in (
        (Response(400, {"badRequest": {"code": 400, "message": "marker [v-3] not found"}}), "can't continue"),
        (refuse(429, "APIGW.0308", "x"), "no more requests"),
        ([["v-3"]], "does not end"),
        (Response(200, {"volumes": "none"}), "does not come from"),
    ):
        pages |= {1: [["v-1"]], 2: [["v-3"]], 3: last}
        cloud.requested.clear()
        log = sync_resource(account.pk, "volume")
        assert log.state == "failed" and words in log.message, log.message
        assert (log.expired, log.missing) == (0, 0) and list_row_names() == before
    # And whole again, it expires what is gone.
    pages |= {1: [["v-1", "v-2", "v-3"]], 2: [[]]}
    for _ in range(2):
        cloud.requested.clear()
        log = sync_resource(account.pk, "volume")
    assert (log.state, log.expired) == ("success", 1)


def test_totals_may_change_but_not_lie(huawei, cloud):
    account = an_account(huawei)
    answers = {1: (["s-1", "s-2"], 5), 2: (["s-3"], 3)}

    def answer(action, number):
        if action != "evs:snapshots:list":
            return None
        ids, total = answers[number]
        return Response(200, {"snapshots": [{"id": one} for one in ids], "count": total})

    cloud.answer = answer
    assert sync_resource(account.pk, "snapshot").created == 3
    answers[2] = ([], 5)
    cloud.requested.clear()
    log = sync_resource(account.pk, "snapshot")
    assert log.state == "failed" and "ends after 2 of 5 objects" in log.message


def test_one_region_that_fails_leaves_the_other_as_it_is(huawei, cloud):
    account = an_account(huawei, regions=REGIONS)
    # The same id in two regions is two resources.
    for region in REGIONS:
        cloud.add(region, "volume", shapes.volume(region, id="vol-1"))
    assert sync_resource(account.pk, "volume").created == 2
    for region in REGIONS:
        cloud.remove(region, "volume", "vol-1")
    cloud.closed = {"cn-north-4"}

    for _ in range(2):
        log = sync_resource(account.pk, "volume")

    assert (log.state, log.regions["ap-southeast-1"], log.expired) == ("failed", "", 1)
    assert "in this region" in log.regions["cn-north-4"]
    assert list_row_names() == {"vol-1": "cn-north-4"}


def test_one_odd_object_does_not_hide_the_others(huawei, cloud):
    account = an_account(huawei)
    for found in (
        shapes.volume("fine", id="v-1"),
        shapes.volume("odd", id="v-2", attachments="none"),
        shapes.volume("new", id="v-3", status="half-open", size="7", later={"a": 1}, created_at="yesterday"),
        shapes.volume("tab\x00\x1b", id="v-4", tags=["a=b"], metadata=None),
    ):
        cloud.add("cn-north-4", "volume", found)

    log = sync_resource(account.pk, "volume")

    assert (log.state, log.created, log.unreadable) == ("success", 3, 1)
    rows = CloudResource.objects.order_by("cloud_id").values_list(
        "cloud_id", "name", "state", "size_gb", "tags"
    )
    assert list(rows) == [
        ("v-1", "fine", "available", 40, {}),
        ("v-3", "new", "", 7, {}),
        ("v-4", "tab", "available", 40, {"a": "b"}),
    ]


def test_an_agency_is_taken_and_kept_until_it_ends(huawei, cloud):
    cloud.agencies = {("portal", "hw-other")}
    account = an_account(huawei, options={"agency_name": "portal", "agency_domain": "hw-other"})

    assert sync_resource(account.pk, "zone").state == "success"
    assert sync_resource(account.pk, "zone").state == "success"

    assert cloud.requested.count("iam:securitytokens") == 1
    assert cloud.requested.count("iam:projects") == 1
    cloud.agencies.clear()
    account.options = {"agency_name": "portal", "agency_domain": "hw-third"}
    account.save()
    assert "CreateTemporaryAccessKeyByAgency" in sync_resource(account.pk, "zone").message


def test_projects_below_a_region_are_regions_and_those_of_no_region_are_not(api, huawei, cloud):
    cloud.add_project("cn-north-4_shop")
    cloud.add_project("cn-north-1_old").is_enabled = False
    cloud.add("cn-north-4_shop", "volume", shapes.volume("of the shop"))

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
