"""How Huawei Cloud may refuse, break off, and answer oddly: it is told, and costs no row."""

from __future__ import annotations

import pytest

from cloudaccounts.models import CloudResource
from cloudaccounts.sync.huawei import connection
from cloudaccounts.sync.resources import sync_resource
from simulator.http_messages import Response
from simulator.huawei import shapes
from simulator.huawei.server import refuse
from tenants.scoping import Role
from tests.clock import set_clock
from tests.factories import MembershipFactory
from tests.vms.conftest import AdminClient

from .huawei_content import REGIONS, SECRET_KEY, an_account, entered
from .resource_checks import check_logs, list_row_names, read_log_texts

pytestmark = pytest.mark.django_db(transaction=True)
TOKEN = "a-token-of-tests-that-nobody-may-see"


@pytest.fixture
def api(transactional_db):
    """An administrator of a tenant, as a client of the API."""
    return AdminClient(MembershipFactory(role=Role.ADMIN))


@pytest.mark.parametrize("size", [1, 2, 7])
def test_listings_are_complete_whatever_the_pages(huawei, huawei_cloud, size):
    account = an_account(huawei)
    for number in range(6):
        huawei_cloud.add("cn-north-4", "keypair", shapes.keypair(f"key-{number}"))
        network = huawei_cloud.add("cn-north-4", "network", shapes.network(f"n-{number}"))
        huawei_cloud.add("cn-north-4", "subnet", shapes.subnet(f"s-{number}", network))
        huawei_cloud.add("cn-north-4", "snapshot", shapes.snapshot(f"s-{number}", "v"))
        huawei_cloud.add("cn-north-4", "image", shapes.image(f"i-{number}"))
        huawei_cloud.add("cn-north-4", "cache", shapes.cache(f"c-{number}", network))
        group = huawei_cloud.add("cn-north-4", "security_group", shapes.security_group(f"g-{number}"))
        huawei_cloud.add("cn-north-4", "rule", shapes.rule(group))
    huawei_cloud.page_size = size

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
def test_a_refusal_is_told_and_costs_no_row(huawei, huawei_cloud, answer, words, is_sign_in):
    account = an_account(huawei)
    huawei_cloud.add("cn-north-4", "volume", shapes.volume("data"))
    assert sync_resource(account.pk, "volume").state == "success"
    before = list_row_names()
    assert len(before) == 1
    huawei_cloud.answer = lambda action, number: answer if action == "evs:volumes:list" else None

    for _ in range(2):
        log = sync_resource(account.pk, "volume")
        assert log.state == "failed" and words in log.message, log.message
        assert SECRET_KEY not in read_log_texts(log)

    assert list_row_names() == before
    account.refresh_from_db()
    assert (account.sign_in_failed_at is not None) == is_sign_in
    # One type alone is concerned.
    assert sync_resource(account.pk, "zone").state == "success"
    check_logs()


def test_a_throttled_request_is_repeated_and_then_told(huawei, huawei_cloud, monkeypatch):

    waits = []
    set_clock(monkeypatch, connection, sleep=waits.append)
    monkeypatch.setattr(connection, "THROTTLE_WAITS", (1.0, 2.0))
    account = an_account(huawei)
    assert sync_resource(account.pk, "zone").state == "success"

    huawei_cloud.throttled = 2
    assert sync_resource(account.pk, "zone").state == "success"
    assert waits == [1.0, 2.0]
    huawei_cloud.throttled = 3
    assert "no more requests" in sync_resource(account.pk, "zone").message
    huawei_cloud.answer = lambda action, number: Response(
        429, {"error_code": "APIGW.0308", "error_msg": "x"}, {"Retry-After": "99"}
    )
    sync_resource(account.pk, "zone")
    assert waits[4:] == [30.0, 30.0]
    account.refresh_from_db()
    assert account.sign_in_failed_at is None


def test_a_wrong_signature_a_wrong_clock_and_a_frozen_account_are_refused_at_sign_in(
    api, huawei, huawei_cloud
):
    huawei_cloud.clock_offset = 1200
    for change, words in (
        ({}, "clock of the portal's machine"),
        ({"access_key_id": "PORTALTESTS000000002"}, "no such access key"),
        (
            {"secret_access_key": "another-secret-of-tests-that-is-wrong-00", "security_token": TOKEN},
            "verify aksk signature fail",
        ),
        ({"security_token": TOKEN}, "security token has expired"),
    ):
        job = api.ended(entered(api, huawei, change, name=f"a {words}"))
        huawei_cloud.clock_offset = 0
        assert job["status"] == "failed" and words in str(job["outcome"]), job["outcome"]
        assert "another-secret" not in str(job) and TOKEN not in str(job)
    huawei_cloud.is_frozen = True
    assert "frozen" in str(api.ended(entered(api, huawei, name="frozen"))["outcome"])
    job = api.ended(entered(api, huawei, name="somewhere", regions=["cn-north-4", "eu-middle-9"]))
    assert job["status"] == "failed"
    huawei_cloud.is_frozen = False
    outcome = str(api.ended(entered(api, huawei, name="nowhere", regions=["eu-middle-9"]))["outcome"])
    assert "no region 'eu-middle-9'" in outcome and "ap-southeast-1, cn-north-4" in outcome


def test_a_listing_that_breaks_off_expires_nothing(huawei, huawei_cloud):
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

    huawei_cloud.answer = answer
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
        huawei_cloud.requested.clear()
        log = sync_resource(account.pk, "volume")
        assert log.state == "failed" and words in log.message, log.message
        assert (log.expired, log.missing) == (0, 0) and list_row_names() == before
    # And whole again, it expires what is gone.
    pages |= {1: [["v-1", "v-2", "v-3"]], 2: [[]]}
    for _ in range(2):
        huawei_cloud.requested.clear()
        log = sync_resource(account.pk, "volume")
    assert (log.state, log.expired) == ("success", 1)


def test_totals_may_change_but_not_lie(huawei, huawei_cloud):
    account = an_account(huawei)
    answers = {1: (["s-1", "s-2"], 5), 2: (["s-3"], 3)}

    def answer(action, number):
        if action != "evs:snapshots:list":
            return None
        ids, total = answers[number]
        return Response(200, {"snapshots": [{"id": one} for one in ids], "count": total})

    huawei_cloud.answer = answer
    assert sync_resource(account.pk, "snapshot").created == 3
    answers[2] = ([], 5)
    huawei_cloud.requested.clear()
    log = sync_resource(account.pk, "snapshot")
    assert log.state == "failed" and "ends after 2 of 5 objects" in log.message


def test_one_region_that_fails_leaves_the_other_as_it_is(huawei, huawei_cloud):
    account = an_account(huawei, regions=REGIONS)
    # The same id in two regions is two resources.
    for region in REGIONS:
        huawei_cloud.add(region, "volume", shapes.volume(region, id="vol-1"))
    assert sync_resource(account.pk, "volume").created == 2
    for region in REGIONS:
        huawei_cloud.remove(region, "volume", "vol-1")
    huawei_cloud.closed = {"cn-north-4"}

    for _ in range(2):
        log = sync_resource(account.pk, "volume")

    assert (log.state, log.regions["ap-southeast-1"], log.expired) == ("failed", "", 1)
    assert "in this region" in log.regions["cn-north-4"]
    assert list_row_names() == {"vol-1": "cn-north-4"}


def test_one_odd_object_does_not_hide_the_others(huawei, huawei_cloud):
    account = an_account(huawei)
    for found in (
        shapes.volume("fine", id="v-1"),
        shapes.volume("odd", id="v-2", attachments="none"),
        shapes.volume("new", id="v-3", status="half-open", size="7", later={"a": 1}, created_at="yesterday"),
        shapes.volume("tab\x00\x1b", id="v-4", tags=["a=b"], metadata=None),
        shapes.volume("paid", id="v-5", metadata={"orderID": "CS1"}),
    ):
        huawei_cloud.add("cn-north-4", "volume", found)
    huawei_cloud.paid_until = {"v-5": "2027-01-31T15:59:59Z"}
    huawei_cloud.add("cn-north-4", "volume", shapes.volume(5, id="v-6", metadata="none"))
    # An id that is none, of an object with an order.
    huawei_cloud.projects["cn-north-4"].objects["volume"]["v-4a"] = shapes.volume(
        "no id", id=["v"], metadata={"orderID": "CS2"}
    )

    log = sync_resource(account.pk, "volume")

    assert (log.state, log.created, log.unreadable) == ("success", 4, 3)
    rows = CloudResource.objects.order_by("cloud_id").values_list(
        "cloud_id", "name", "state", "size_gb", "tags"
    )
    assert list(rows) == [
        ("v-1", "fine", "available", 40, {}),
        ("v-3", "new", "", 7, {}),
        ("v-4", "tab", "available", 40, {"a": "b"}),
        ("v-5", "paid", "available", 40, {}),
    ]
