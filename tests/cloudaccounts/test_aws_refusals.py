"""How AWS refuses, breaks off and surprises: what is told, and that no row is lost by it."""

from __future__ import annotations

import pytest

from cloudaccounts.models import CloudResource
from cloudaccounts.sync.resources import sync_resource

from .aws_server import REGIONS, SECRET_KEY, an_account, refuse
from .resource_checks import check_logs, list_row_names, read_log_texts

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(
    ("answer", "words", "is_sign_in"),
    [
        (
            refuse("AuthFailure", "AWS was not able to validate the provided access credentials", 401),
            "refuses the credentials",
            True,
        ),
        (refuse("SignatureDoesNotMatch", f"with {SECRET_KEY}", 403), "refuses the credentials", True),
        (refuse("RequestExpired", "Request has expired.", 400), "the clock of the portal's machine", True),
        (refuse("ExpiredToken", "x", 400), "session token has expired", True),
        (
            refuse("OptInRequired", "You are not subscribed.", 401),
            "closed, suspended, or not signed up",
            True,
        ),
        (refuse("UnauthorizedOperation", "Not you.", 403), 'Add "ec2:DescribeVolumes" to the policy', False),
        (refuse("RequestLimitExceeded", "Slow down.", 503), "takes no more requests", False),
        (refuse("InternalError", "Oh.", 500), "could not answer ec2:DescribeVolumes", False),
        (
            (200, {"Content-Type": "text/html"}, b"<html><body>Welcome!<br></html>"),
            "does not come from AWS",
            False,
        ),
        ((200, {"Content-Type": "text/xml"}, b"\x00\xff"), "does not come from AWS", False),
        ((502, {"Content-Type": "text/html"}, b"<html>Bad gateway</html>"), "could not answer", False),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_refusal_is_told_and_costs_no_row(aws, answer, words, is_sign_in):
    account = an_account(aws)
    aws.client("ec2").create_volume(Size=5, AvailabilityZone="us-east-1a")
    assert sync_resource(account.pk, "volume").state == "success"
    before = list_row_names()
    assert len(before) == 1
    aws.answer = lambda operation, number: answer if operation == "DescribeVolumes" else None

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


def a_page(ids, token=""):
    """Return an answer with volumes, and the token of the next page."""
    items = "".join(f"<item><volumeId>{one}</volumeId><status>available</status></item>" for one in ids)
    following = f"<nextToken>{token}</nextToken>" if token else ""
    xml = f'<DescribeVolumesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><volumeSet>{items}</volumeSet>{following}</DescribeVolumesResponse>'
    return 200, {"Content-Type": "text/xml"}, xml.encode()


def test_a_listing_that_breaks_off_expires_nothing(aws):
    account = an_account(aws)
    pages = {1: a_page(["vol-1", "vol-2"], "two"), 2: a_page(["vol-3"], "three"), 3: a_page(["vol-4"])}
    aws.answer = lambda operation, number: pages[number]
    assert sync_resource(account.pk, "volume").created == 4
    before = list_row_names()

    # The last page is refused: its token has run out, AWS throttles, or a page leads to itself for ever.
    pages |= {1: a_page([], "two"), 2: a_page(["vol-3"], "three")}
    for last, words in (
        (refuse("InvalidNextToken"), "can't continue the listing"),
        (refuse("RequestLimitExceeded", status=503), "no more requests"),
        (a_page(["vol-3"], "three"), "the same page"),
    ):
        pages[3] = last
        aws.operations.clear()
        log = sync_resource(account.pk, "volume")
        assert log.state == "failed" and words in log.message, log.message
        assert (log.expired, log.missing) == (0, 0)
        assert list_row_names() == before
    # And whole again, it expires what is gone.
    pages |= {1: a_page(["vol-1", "vol-2", "vol-3"])}
    for _ in range(2):
        aws.operations.clear()
        log = sync_resource(account.pk, "volume")
    assert (log.state, log.expired) == ("success", 1)


def test_one_region_that_fails_leaves_the_other_as_it_is(aws):
    account = an_account(aws, regions=REGIONS)
    for region in REGIONS:
        aws.client("ec2", region).create_volume(Size=1, AvailabilityZone=f"{region}a")
    assert sync_resource(account.pk, "volume").created == 2
    volumes = aws.client("ec2", REGIONS[0]).describe_volumes()["Volumes"]
    aws.client("ec2", REGIONS[0]).delete_volume(VolumeId=volumes[0]["VolumeId"])
    aws.answer = lambda operation, number: refuse("UnauthorizedOperation") if number % 2 == 0 else None

    aws.operations.clear()
    for _ in range(2):
        log = sync_resource(account.pk, "volume")

    assert (log.state, log.regions[REGIONS[0]], log.expired) == ("failed", "", 1)
    assert "ec2:DescribeVolumes" in log.regions[REGIONS[1]]
    assert len(list_row_names(region=REGIONS[0])) == 0 and len(list_row_names(region=REGIONS[1])) == 1


def test_one_odd_object_does_not_hide_the_others(aws):
    account = an_account(aws)
    volumes = "".join(
        f"<item>{inner}</item>"
        for inner in (
            "<volumeId>vol-1</volumeId><size>10</size><status>available</status>",
            "<volumeId>vol-2</volumeId><size>many</size><status>available</status>",
            "<volumeId>vol-3</volumeId><size>7</size><status>half-open</status><newThing><a>1</a></newThing>",
            "<volumeId>vol-4</volumeId><tagSet><item><key>Name</key><value>a&#9;b</value></item></tagSet>",
        )
    )
    body = f'<DescribeVolumesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>r</requestId><volumeSet>{volumes}</volumeSet></DescribeVolumesResponse>'
    aws.answer = lambda operation, number: (200, {"Content-Type": "text/xml"}, body.encode())

    log = sync_resource(account.pk, "volume")

    # A number that is none makes the SDK refuse the whole page: it is told, and nothing is taken for gone.
    assert (log.state, list_row_names()) == ("failed", {}) and "does not come from AWS" in log.message
    aws.answer = lambda operation, number: (
        200,
        {"Content-Type": "text/xml"},
        body.replace("<size>many</size>", "").encode(),
    )
    log = sync_resource(account.pk, "volume")
    assert (log.state, log.created) == ("success", 4)
    states = dict(CloudResource.objects.values_list("cloud_id", "state"))
    assert states == {"vol-1": "available", "vol-2": "available", "vol-3": "", "vol-4": ""}
