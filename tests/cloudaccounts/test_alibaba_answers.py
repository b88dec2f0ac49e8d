"""The answers of Alibaba Cloud without a database: its refusals, pages, words and addresses, and the published signature."""

from __future__ import annotations

import json

import pytest
from aliyunsdkcore.acs_exception.exceptions import ServerException
from aliyunsdkcore.client import AcsClient
from aliyunsdkcore.request import CommonRequest

from cloudaccounts.models import CloudAccount
from cloudaccounts.sync.alibaba import listings
from cloudaccounts.sync.alibaba.connection import _find_host, open_region
from cloudaccounts.sync.alibaba.errors import describe_refusal
from cloudaccounts.sync.alibaba.listings import list_by_number, list_by_token, read_page
from cloudaccounts.sync.alibaba.provider import read_paid_until
from cloudaccounts.sync.common_attributes import derive_state
from openstack_client import (
    CloudAuthenticationError,
    CloudError,
    CloudForbiddenError,
    CloudNotFoundError,
    CloudServiceMissingError,
    CloudUnavailableError,
    InvalidCloudRequestError,
)
from simulator.alibaba import AlibabaServer
from simulator.alibaba.signature import build_string_to_sign, compute_signature

SECRET, TOKEN = "a-secret+of/tests", "a-token/with+characters="
PATH = ("Vpcs", "Vpc")


@pytest.mark.parametrize(
    ("code", "status", "kind", "words"),
    [
        ("InvalidAccessKeyId.NotFound", 404, CloudAuthenticationError, "refuses the credentials"),
        ("SignatureDoesNotMatch", 400, CloudAuthenticationError, "refuses the credentials"),
        ("IncompleteSignature", 400, CloudAuthenticationError, "refuses the credentials"),
        ("InvalidSecurityToken.Malformed", 400, CloudAuthenticationError, "refuses the credentials"),
        ("InvalidAccessKeyId.Inactive", 400, CloudAuthenticationError, "access key is disabled"),
        ("Forbidden.AccessKeyDisabled", 403, CloudAuthenticationError, "access key is disabled"),
        ("InvalidSecurityToken.Expired", 400, CloudAuthenticationError, "security token has expired"),
        ("InvalidTimeStamp.Expired", 400, CloudAuthenticationError, "the clock of the portal's machine"),
        ("Account.Arrearage", 400, CloudAuthenticationError, "a payment is overdue"),
        ("InvalidAccountStatus.NotEnoughBalance", 403, CloudAuthenticationError, "a payment is overdue"),
        ("Forbidden.RAM", 403, CloudForbiddenError, 'Add "ecs:DescribeDisks" to the policy'),
        ("NoPermission", 403, CloudForbiddenError, 'Add "ecs:DescribeDisks" to the policy'),
        ("Forbidden.SomethingNew", 403, CloudForbiddenError, 'Add "ecs:DescribeDisks" to the policy'),
        ("Throttling", 400, CloudUnavailableError, "takes no more requests"),
        ("Throttling.User", 400, CloudUnavailableError, "takes no more requests"),
        ("Throttling.Api", 503, CloudUnavailableError, "takes no more requests"),
        ("InvalidNextToken", 400, CloudUnavailableError, "can't continue the listing"),
        ("InvalidParameter.NextToken", 400, CloudUnavailableError, "can't continue the listing"),
        (
            "InvalidRegionId.NotFound",
            404,
            CloudServiceMissingError,
            "has no ecs:DescribeDisks in this region",
        ),
        ("InvalidAction.NotFound", 404, CloudServiceMissingError, "has no ecs:DescribeDisks in this region"),
        ("InvalidSecurityGroupId.NotFound", 404, CloudNotFoundError, "refuses ecs:DescribeDisks"),
        ("InternalError", 500, CloudUnavailableError, "could not answer ecs:DescribeDisks"),
        ("ServiceUnavailable", 503, CloudUnavailableError, "could not answer ecs:DescribeDisks"),
        ("MissingParameter", 400, InvalidCloudRequestError, "refuses ecs:DescribeDisks (MissingParameter)"),
        ("", 418, InvalidCloudRequestError, "refuses ecs:DescribeDisks (418)"),
    ],
)
def test_a_code_means_what_it_says(code, status, kind, words):
    answer = {"Code": code, "Message": f"It says {SECRET}.", "RequestId": "r-1"}

    error = describe_refusal(status, answer, "ecs:DescribeDisks", [SECRET])

    assert type(error) is kind and words in error.message, error.message
    assert (error.status_code, error.request_id) == (status, "r-1")
    assert SECRET not in error.message


def test_the_missing_action_is_the_one_that_the_vendor_names():
    def name(action):
        answer = {"Code": "NoPermission", "AccessDeniedDetail": {"AuthAction": action}}
        return describe_refusal(403, answer, "ecs:DescribeDisks", []).message

    assert 'Add "ecs:DescribeDisksMore"' in name("ecs:DescribeDisksMore")
    for odd in ('x" or anything', 7, None, "ecs", ["ecs:x"]):
        assert 'Add "ecs:DescribeDisks" to' in name(odd)


def test_no_secret_is_told_in_any_form():
    """The vendor repeats the text that it has signed, in which the token is encoded twice."""
    params = {"SecurityToken": TOKEN, "Action": "DescribeDisks"}
    signed = build_string_to_sign("POST", params)
    for message in (
        f"Specified signature is not matched with our calculation. server string to sign is:{signed}",
        f"The token {signed} is wrong, and so is {TOKEN}; {SECRET}",
        {"not": [TOKEN]},
    ):
        error = describe_refusal(
            400, {"Code": "SignatureDoesNotMatch", "Message": message}, "x", [SECRET, TOKEN]
        )
        assert "a-token" not in error.message and "a-secret" not in error.message, error.message


def vpc_page(numbers, total=None, **members):
    found = [{"VpcId": f"vpc-{number}"} for number in numbers]
    return {"Vpcs": {"Vpc": found}, **({} if total is None else {"TotalCount": total}), **members}


def read_all(listing, pages, **more):
    """Return the numbers that a listing yields of these answers, and what it has asked for."""
    left, asked = list(pages), []

    def fetch(**params):
        asked.append(params)
        return left.pop(0)

    yielded = [
        one["VpcId"][4:] for page in listing(fetch, PATH, "vpc:DescribeVpcs", 2, **more) for one in page
    ]
    assert not left, "it ended early"
    return "".join(yielded), asked


@pytest.mark.parametrize(
    "pages",
    [
        [vpc_page([1, 2], 4), vpc_page([3, 4], 4)],
        # RDS names the total in another way, and some services send it as text.
        [vpc_page([1, 2], TotalRecordCount=4), vpc_page([3, 4], TotalRecordCount="4")],
        # The pages are shorter than requested.
        [vpc_page([1], 4), vpc_page([2], 4), vpc_page([3], 4), vpc_page([4], 4)],
        # One is created meanwhile, and shifts another one to the next page.
        [vpc_page([1, 2], 4), vpc_page([2, 3], 5), vpc_page([4], 5)],
        # One of the first page is deleted meanwhile, so that the second page passes over 2: all are read again.
        [vpc_page([1, 3], 5), vpc_page([4], 3), vpc_page([1, 2], 4), vpc_page([3, 4], 4)],
        # A service that tells no total is read until a page is empty.
        [vpc_page([1, 2]), vpc_page([3, 4]), vpc_page([])],
    ],
)
def test_a_listing_by_number_yields_each_object_once(pages):
    found, asked = read_all(list_by_number, pages, id_member="VpcId")

    assert sorted(found) == ["1", "2", "3", "4"]
    assert asked[0] == {"PageNumber": 1, "PageSize": 2} and asked[1]["PageNumber"] == 2


@pytest.mark.parametrize(
    ("pages", "words"),
    [
        ([vpc_page([1, 2], 6)] * 2, "the same page"),
        ([vpc_page([1, 2], 6), vpc_page([], 6)], "ended after 2 of 6 objects"),
        ([vpc_page([1, 2], 6), {"TotalCount": 6}], "has no Vpcs"),
        ([vpc_page([1, 2], 6), {"Vpcs": {"Vpc": None}}], "has no Vpcs"),
    ],
)
def test_a_listing_by_number_that_is_not_whole_is_an_error(pages, words):
    with pytest.raises(CloudUnavailableError, match=words):
        read_all(list_by_number, pages, id_member="VpcId")


def test_a_listing_that_shrinks_for_ever_is_read_a_few_times():
    pages = [vpc_page([1, 2], 5), vpc_page([3], 3)] * listings.MAX_PASSES

    assert read_all(list_by_number, pages, id_member="VpcId")[0] == "123"


@pytest.mark.parametrize(
    ("last", "words"),
    [
        (vpc_page([3], NextToken="two"), "the same page"),
        (vpc_page([2], NextToken="four"), "the same page"),
        (vpc_page([3], NextToken=["four"]), "the same page"),
        ({"NextToken": ""}, "has no Vpcs"),
    ],
)
def test_a_listing_by_token_that_leads_nowhere_is_an_error(last, words):
    pages = [vpc_page([1], NextToken="two"), vpc_page([2], NextToken="three"), last]

    with pytest.raises(CloudUnavailableError, match=words):
        read_all(list_by_token, pages)


def test_a_listing_by_token_passes_the_tokens_on():
    pages = [vpc_page([1], NextToken="two"), vpc_page([], NextToken="three"), vpc_page([2], NextToken="")]

    found, asked = read_all(list_by_token, pages)

    assert found == "12"
    assert [one.get("NextToken") for one in asked] == [None, "two", "three"]


@pytest.mark.parametrize("bound", ["MAX_PAGES", "MAX_OBJECTS"])
def test_a_listing_without_end_is_stopped(bound, monkeypatch):
    monkeypatch.setattr(listings, bound, 20)
    numbers = iter(range(1000))

    def fetch(**params):
        number = next(numbers)
        return vpc_page([number], NextToken=f"t{number}")

    with pytest.raises(CloudUnavailableError, match="more than"):
        list(list_by_token(fetch, PATH, "vpc:DescribeVpcs", 2))
    assert next(numbers) == 21


@pytest.mark.parametrize("answer", [{}, {"Vpcs": []}, {"Vpcs": None}, {"Vpcs": {"Vpc": {}}}])
def test_an_answer_without_the_listing_is_no_empty_listing(answer):
    with pytest.raises(CloudUnavailableError, match="has no Vpcs"):
        read_page(answer, PATH, "vpc:DescribeVpcs")
    assert read_page({"Vpcs": {}}, PATH, "vpc:DescribeVpcs") == []


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


@pytest.mark.parametrize(
    ("charge", "moment", "until"),
    [
        ("PrePaid", "2027-01-31T16:00Z", "2027-01-31T16:00Z"),
        ("Prepaid", "2027-01-31T16:00:00Z", "2027-01-31T16:00:00Z"),
        ("PostPaid", "2027-01-31T16:00Z", ""),
        ("PostPaid", "2099-12-31T15:59Z", ""),
        ("PrePaid", "2099-12-31T15:59Z", ""),
        ("PrePaid", None, ""),
        (None, None, ""),
    ],
)
def test_only_what_is_prepaid_has_an_end(charge, moment, until):
    assert read_paid_until(charge, moment) == until


@pytest.mark.parametrize("region", ["x@evil.example.org/", "CN", "a.b", "-", "x" * 51])
def test_a_region_is_no_way_to_another_host(region):
    with pytest.raises(CloudError, match="is no region of Alibaba Cloud"):
        open_region(CloudAccount(provider="alibaba"), region)


def test_addresses_are_those_of_the_sdk_or_of_the_rule():
    expected = {
        ("Ecs", "eu-central-1"): "ecs.eu-central-1.aliyuncs.com",
        ("R-kvstore", "cn-hongkong"): "r-kvstore.cn-hongkong.aliyuncs.com",
        ("Sts", "eu-central-1"): "sts.aliyuncs.com",
        # Newer than the SDK.
        ("Ecs", "cn-wulanchabu"): "ecs.cn-wulanchabu.aliyuncs.com",
    }
    assert {wanted: _find_host(*wanted) for wanted in expected} == expected


def test_the_signature_is_that_of_the_documentation():
    """The example of the vendor's documentation, with its key and its result."""
    params = {
        "Timestamp": "2016-02-23T12:46:24Z",
        "Format": "XML",
        "AccessKeyId": "testid",
        "Action": "DescribeRegions",
        "SignatureMethod": "HMAC-SHA1",
        "SignatureNonce": "3ee8c1b8-83d3-44af-a94f-4e0ad82fd6cf",
        "Version": "2014-05-26",
        "SignatureVersion": "1.0",
    }

    assert build_string_to_sign("GET", params) == (
        "GET&%2F&AccessKeyId%3Dtestid%26Action%3DDescribeRegions%26Format%3DXML%26SignatureMethod%3DHMAC-SHA1"
        "%26SignatureNonce%3D3ee8c1b8-83d3-44af-a94f-4e0ad82fd6cf%26SignatureVersion%3D1.0"
        "%26Timestamp%3D2016-02-23T12%253A46%253A24Z%26Version%3D2014-05-26"
    )
    assert compute_signature("GET", params, "testsecret") == "OLeaidS1JvxuMvnyHOwuJ+uX5qY="


def test_the_vendors_own_client_is_understood():
    """The SDK's client, which the portal does not use, signs GET requests with all parameters in the URL."""
    server = AlibabaServer()
    server.state.add_key("LTAI5tPortal", SECRET)
    server.state.add("cn-hangzhou", "keypair", KeyPairName="名 *~+/&=%")
    client = AcsClient("LTAI5tPortal", SECRET, "cn-hangzhou")
    request = CommonRequest(
        f"127.0.0.1:{server.url.rpartition(':')[2]}", "2014-05-26", "DescribeKeyPairs", product="Ecs"
    )
    request.set_protocol_type("http")
    # Characters that the encodings of URLs treat in different ways.
    request.add_query_param("KeyPairName", "名 *~+/&=%")
    try:
        answer = json.loads(client.do_action_with_exception(request))
        assert [one["KeyPairName"] for one in answer["KeyPairs"]["KeyPair"]] == ["名 *~+/&=%"]
        server.state.keys["LTAI5tPortal"].secret = "another"
        with pytest.raises(ServerException, match="SignatureDoesNotMatch"):
            client.do_action_with_exception(request)
    finally:
        client.session.close()
        server.stop()
