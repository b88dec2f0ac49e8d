"""Every way in which Alibaba Cloud may refuse a sync: told, without a secret, and without a row that is taken for gone."""

from __future__ import annotations

import pytest

from cloudaccounts.sync.resources import sync_resource
from simulator.alibaba import refuse
from simulator.http_messages import Response

from .alibaba_accounts import HOME, alibaba, an_account, page, simulated
from .alibaba_content import SECRET_KEY, add_volume, fill
from .resource_checks import check_logs, list_row_names, read_log_texts

__all__ = ["alibaba", "simulated"]
pytestmark = pytest.mark.django_db(transaction=True)
HTML = Response(200, b"<html><body>Welcome!</body></html>", content_type="text/html")


@pytest.mark.parametrize(
    ("answer", "words", "is_sign_in"),
    [
        (refuse("InvalidAccessKeyId.NotFound", "x", 404), "refuses the credentials", True),
        (refuse("Account.Arrearage", "x", 403), "a payment is overdue", True),
        (refuse("Forbidden.RAM", "Not you.", 403), 'Add "ecs:DescribeDisks" to the policy', False),
        (refuse("Throttling.Api", "Slow down.", 503), "takes no more requests", False),
        (refuse("InternalError", "Oh.", 500), "could not answer ecs:DescribeDisks", False),
        (HTML, "does not come from Alibaba Cloud", False),
        (Response(502, b"<html>Bad gateway</html>", content_type="text/html"), "could not answer", False),
        (Response(200, b"\x00\xff"), "does not come from Alibaba Cloud", False),
        (Response(200, {"RequestId": "r"}), "has no Disks", False),
        (Response(200, {"Disks": {}}, is_truncated=True), "No answer to ecs:DescribeDisks", False),
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


def test_a_request_whose_connection_broke_is_signed_and_sent_once_more(alibaba):
    account = an_account(alibaba)
    broken = Response(200, {"Zones": {"Zone": []}}, is_truncated=True)
    alibaba.answer = lambda operation, number: broken if number == 1 else None

    assert sync_resource(account.pk, "zone").state == "success"
    assert alibaba.operations == ["ecs:DescribeZones"] * 2


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
