"""How the simulated Tencent Cloud refuses and answers badly, and what becomes of it: a reason in the log, and no lost row."""

from __future__ import annotations

import pytest

from cloudaccounts import registry
from cloudaccounts.models import CloudResource
from cloudaccounts.sync.resources import sync_resource
from cloudaccounts.sync.tencent import connection
from simulator.http_messages import Request, Response
from simulator.tencent.answers import ApiError, refuse
from simulator.tencent.objects import build_object
from simulator.tencent.signature import Key, check_signature
from tests.clock import set_clock

from .resource_checks import check_logs, check_rows, list_row_names, read_log_texts
from .tencent_server import (
    GUANGZHOU,
    REGIONS,
    SECRET_ID,
    SECRET_KEY,
    SHANGHAI,
    TencentTestServer,
    a_page,
    an_account,
    prepare,
)

pytestmark = pytest.mark.django_db(transaction=True)


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
def small_pages(monkeypatch):
    """Every listing is requested in pages of two objects."""
    for syncer in registry.list_syncers("tencent"):
        monkeypatch.setattr(type(syncer), "page_size", 2)


def test_a_listing_that_is_not_whole_expires_nothing(tencent, small_pages, monkeypatch):
    account = an_account(tencent)
    four = [build_object("volume", f"disk-{number}") for number in range(4)]
    for one in four:
        tencent.cloud.put(GUANGZHOU, "volume", one)
    assert sync_resource(account.pk, "volume").created == 4
    before = list_row_names()
    whole = a_page(four[:2], 4)

    for answers, words in (
        ([whole, refuse("RequestLimitExceeded")], "no more requests"),
        ([whole, refuse("InternalError")], "could not answer"),
        ([whole, whole], "the same page"),
        ([whole, a_page([], 4)], "2 of 4 objects"),
        ([whole, a_page(four[2:3], 4)], "3 of 4 objects"),
        ([whole, a_page(None, 4)], "does not come from Tencent Cloud"),
        ([whole, a_page({}, 4)], "does not come from Tencent Cloud"),
        ([a_page(four, None)], "does not come from Tencent Cloud"),
        ([a_page([], 4)], "0 of 4 objects"),
    ):
        tencent.answer("DescribeDisks", *answers)
        log = sync_resource(account.pk, "volume")
        assert log.state == "failed" and words in log.message, (words, log.message)
        assert (log.expired, log.missing, list_row_names()) == (0, 0, before)

    # The bounds of a listing: each page has new objects, and tells that there are still more.
    def a_longer_page(number):
        return a_page(
            [build_object("volume", f"disk-{2 * number + one}") for one in range(2)], 2 * number + 9
        )

    tencent.answer("DescribeDisks", *map(a_longer_page, range(20)))
    monkeypatch.setattr(connection, "MAX_PAGES", 3)
    assert "too many pages" in sync_resource(account.pk, "volume").message
    monkeypatch.setattr(connection, "MAX_PAGES", 100)
    monkeypatch.setattr(connection, "MAX_OBJECTS", 5)
    tencent.answer("DescribeDisks", *map(a_longer_page, range(20)))
    assert "too many objects" in sync_resource(account.pk, "volume").message
    check_logs()


@pytest.mark.parametrize(
    ("answer", "words", "is_sign_in"),
    [
        (refuse("AuthFailure.SignatureFailure", f"with {SECRET_KEY}"), "refuses the credentials", True),
        (refuse("AuthFailure.SecretIdNotFound"), "misspelled, disabled or deleted", True),
        (refuse("AuthFailure.InvalidSecretId"), "misspelled, disabled or deleted", True),
        (refuse("AuthFailure.TokenFailure"), "wrong or has expired", True),
        (refuse("AuthFailure.SignatureExpire"), "the clock of the portal's machine", True),
        (refuse("InvalidAccount.InsufficientBalance"), "in arrears", True),
        (refuse("AccountQualificationRestrictions"), "not verified", True),
        (refuse("InvalidParameter.LoadBalancerNotFound"), "refuses cvm:DescribeDisks", False),
        (refuse("UnauthorizedOperation"), 'Add "cvm:DescribeDisks" to the policy', False),
        (
            refuse(
                "AuthFailure.UnauthorizedOperation",
                "You are not authorized to perform this operation. [[request id:1]you are not authorized to perform operation (cbs:DescribeDisks)\nresource (*) has no permission]",
            ),
            'Add "cbs:DescribeDisks" to the policy',
            False,
        ),
        (refuse("RequestLimitExceeded.UinLimitExceeded"), "takes no more requests", False),
        (refuse("RequestLimitExceeded", status=429), "takes no more requests", False),
        (refuse("UnsupportedRegion"), "has no cvm:DescribeDisks in this region", False),
        (refuse("InvalidParameterValue", f"{SECRET_KEY}\x00\x1b[31m"), "refuses cvm:DescribeDisks", False),
        (refuse("InternalError", status=500), "could not answer cvm:DescribeDisks", False),
        (Response(502, b"<html>Bad gateway</html>", {}, "text/html"), "could not answer", False),
        (Response(404, b"not here", {}, "text/plain"), "refuses cvm:DescribeDisks (HTTP 404)", False),
        (Response(200, b"<html>Welcome!</html>", {}, "text/html"), "does not come from", False),
        (Response(200, b"\x00\xff"), "does not come from", False),
        (Response(200, b"[]"), "does not come from", False),
        (Response(200, {"Response": "no"}), "does not come from", False),
        (Response(200, {"Response": {"Error": "no"}}), "refuses cvm:DescribeDisks", False),
        (Response(200, b"[" * 5000 + b"]" * 5000), "does not come from", False),
        (Response(302, b"", {"Location": "http://127.0.0.1:1/"}), "redirects", False),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_refusal_is_told_and_costs_no_row(tencent, answer, words, is_sign_in):
    account = an_account(tencent)
    tencent.put("volume", "disk-1")
    assert sync_resource(account.pk, "volume").state == "success"
    before = list_row_names()
    tencent.answer("DescribeDisks", answer)

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


def test_a_signature_is_checked_by_other_code_than_the_sdks(tencent):
    cases = {
        "wrong key": (an_account(tencent, name="1", secret="another-secret"), "SignatureFailure"),
        "unknown id": (an_account(tencent, name="2", access_id="AKIDunknown"), "SecretIdNotFound"),
    }
    for account, code in cases.values():
        assert code in sync_resource(account.pk, "zone").message
    account = an_account(tencent)
    assert sync_resource(account.pk, "zone").state == "success"
    tencent.cloud.keys[SECRET_ID] = Key(SECRET_ID, SECRET_KEY, is_enabled=False)
    assert "disabled" in sync_resource(account.pk, "zone").message
    tencent.cloud.keys[SECRET_ID] = Key(SECRET_ID, SECRET_KEY, token="a-token")
    assert "TokenFailure" in sync_resource(account.pk, "zone").message
    tencent.reset()
    for seconds in (-400, 400):
        tencent.cloud.clock_offset = seconds
        assert "more than five minutes" in sync_resource(account.pk, "zone").message


def test_the_signature_of_the_vendors_documentation_is_right():
    # From "Signature v3" of the documentation of the API 3.0.
    key = Key("AKIDz8krbsJ5yKBZQpn74WFkmLPx3EXAMPLE", "Gu5t9xGARNpq86cd98joQYCN3EXAMPLE")
    body = rb'{"Limit": 1, "Filters": [{"Values": ["\u672a\u547d\u540d"], "Name": "instance-name"}]}'
    headers = {
        "authorization": f"TC3-HMAC-SHA256 Credential={key.secret_id}/2019-02-25/cvm/tc3_request, SignedHeaders=content-type;host,"
        " Signature=72e494ea809ad7a8c8f7a4507b9bddcbaa8e581f516e8da2f66e2c5a96525168",
        "content-type": "application/json; charset=utf-8",
        "host": "cvm.tencentcloudapi.com",
        "x-tc-timestamp": "1551113065",
    }

    def check(body=body, now=1551113065, **changed):
        request = Request("POST", "/", "", headers | changed, body, 0.0)
        return check_signature(request, {key.secret_id: key}.get, now)

    assert check() == (key, "cvm")
    for case, code in (
        ({"body": body + b" "}, "SignatureFailure"),
        ({"host": "evil.example.org"}, "SignatureFailure"),
        ({"now": 1551113065 + 301}, "SignatureExpire"),
        ({"x-tc-token": "a-token"}, "TokenFailure"),
        ({"authorization": "Basic eDp5"}, "InvalidAuthorization"),
    ):
        with pytest.raises(ApiError, match=code):
            check(**case)


def test_requests_of_an_operation_keep_a_distance(tencent, monkeypatch):
    waits = []
    monkeypatch.setattr(connection, "LEAST_SECONDS_BETWEEN", 50)
    set_clock(monkeypatch, connection, sleep=waits.append)
    region = connection.TencentRegion(an_account(tencent), GUANGZHOU)

    for service, operation in (
        ("cvm", "DescribeZones"),
        ("cvm", "DescribeZones"),
        ("sts", "GetCallerIdentity"),
    ):
        region.call(service, operation)

    assert len(waits) == 1 and 49 < waits[0] <= 50


def test_a_throttled_request_is_repeated_a_few_times(tencent):
    account = an_account(tencent)
    tencent.put("volume", "disk-1")
    tencent.cloud.throttled["DescribeDisks"] = 2

    assert sync_resource(account.pk, "volume").created == 1

    assert tencent.cloud.operations.count("DescribeDisks") == 3
    tencent.cloud.throttled["DescribeDisks"] = 3
    assert "takes no more requests" in sync_resource(account.pk, "volume").message
    # What it throttles is repeated, and nothing else.
    tencent.answer("DescribeDisks", refuse("InternalError"))
    sync_resource(account.pk, "volume")
    assert tencent.cloud.operations.count("DescribeDisks") == 1


def test_a_broken_connection_is_made_anew_once(tencent):
    account = an_account(tencent)
    tencent.put("volume", "disk-1")
    broken = Response(200, {"Response": {"TotalCount": 0}}, is_truncated=True)
    tencent.answer("DescribeDisks", broken, None)

    assert sync_resource(account.pk, "volume").created == 1

    tencent.answer("DescribeDisks", broken)
    log = sync_resource(account.pk, "volume")
    assert log.state == "failed" and "No answer to cvm:DescribeDisks" in log.message
    assert tencent.cloud.operations.count("DescribeDisks") == 2


def test_one_region_that_fails_leaves_the_other_as_it_is(tencent):
    account = an_account(tencent, regions=REGIONS)
    for region in REGIONS:
        for cloud_id in ("disk-1", "disk-2"):
            tencent.put("volume", cloud_id, region=region)
    assert sync_resource(account.pk, "volume").created == 4
    for region in REGIONS:
        tencent.cloud.remove(region, "volume", "disk-2")
    tencent.cloud.intercept = lambda operation, number: (
        None if number % 2 else refuse("UnauthorizedOperation")
    )

    tencent.cloud.operations.clear()
    for _ in range(2):
        log = sync_resource(account.pk, "volume")

    assert (log.state, log.regions[GUANGZHOU], log.expired) == ("failed", "", 1)
    assert "cvm:DescribeDisks" in log.regions[SHANGHAI]
    assert [len(list_row_names(region=region)) for region in REGIONS] == [1, 2]


def test_one_odd_object_does_not_hide_the_others(tencent):
    account = an_account(tencent)
    odd = [
        build_object("volume", "disk-1", DiskState="HALF_OPEN", NewThing={"a": 1}, DiskSize="many"),
        build_object("volume", "disk-2", Tags="none"),
        build_object("volume", "disk-3", DiskName="a\tb\x00", CreateTime="soon", Placement=None),
        build_object("volume", "disk-4", Tags=[{"Key": "a", "Value": None}, {}]),
        build_object("volume", 5),
    ]
    tencent.answer("DescribeDisks", a_page(odd, len(odd)))

    log = sync_resource(account.pk, "volume")

    assert (log.state, log.created, log.unreadable) == ("success", 3, 2), log.message
    assert "disk-2" in log.message
    states = dict(CloudResource.objects.values_list("cloud_id", "state"))
    assert states == {"disk-1": "", "disk-3": "available", "disk-4": "available"}
    check_rows()
