"""The error of each status of each service: the table in translation.py, line by line."""

import json
import pickle
from email.utils import formatdate

import pytest

from openstack_client import (
    CloudAddressOutsideSubnetError,
    CloudAuthenticationError,
    CloudChangedError,
    CloudConflictError,
    CloudForbiddenError,
    CloudInUseError,
    CloudNoRouteError,
    CloudNotFoundError,
    CloudQuotaExceededError,
    CloudUnavailableError,
    InvalidCloudRequestError,
)
from openstack_client.translation import MAX_RETRY_AFTER_SECONDS, error_from_response, parse_retry_after

SERVICES = ("identity", "compute", "block-storage", "network", "image")
AGAIN = CloudUnavailableError


class Answer:
    """As requests has them."""

    reason = "Some reason"

    def __init__(self, status, body=b"", **headers):
        self.status_code = status
        self.content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def kind_of(status, body=b"", service="compute", **headers):
    return type(error_from_response(Answer(status, body, **headers), service=service, doing="do it"))


def usual(status):
    """Return the expected error of a status without a message of the service."""
    if status == 401:
        return AGAIN
    if status == 403:
        return CloudForbiddenError
    if status in {409, 423}:
        return CloudConflictError
    if status == 412:
        return CloudChangedError
    if status == 507:
        return CloudQuotaExceededError
    if status in {404, 408, 421, 425, 429}:
        return AGAIN
    if status in {501, 505, 506, 510} or 400 <= status < 500:
        return InvalidCloudRequestError
    return AGAIN


@pytest.mark.parametrize("service", SERVICES)
def test_every_status_of_every_service(service):
    for status in range(300, 600):
        expected = usual(status)
        if status == 401 and service == "identity":
            expected = CloudAuthenticationError
        if service == "image" and status in {404, 413}:
            expected = {404: CloudNotFoundError, 413: CloudQuotaExceededError}[status]
        assert kind_of(status, service=service) is expected, status
        assert kind_of(status, b"<html>an error page</html>", service=service) is expected, status


def words(kind, message, **more):
    return {kind: {"code": 0, "message": message, **more}}


@pytest.mark.parametrize(
    ("status", "service", "body", "headers", "expected"),
    [
        (413, "compute", words("overLimit", "This request was rate-limited.", retryAfter="30"), {"retry_after": "30"}, AGAIN),
        (413, "compute", words("overLimit", "OverLimit Retry..."), {"retry_after": "5"}, AGAIN),
        (413, "compute", words("overLimit", "Quota exceeded: code=InstanceLimitExceeded"), {"retry_after": "5"}, CloudQuotaExceededError),
        (413, "compute", words("overLimit", "x"), {"retry_after": "0"}, CloudQuotaExceededError),
        (413, "block-storage", words("overLimit", "VolumeLimitExceeded: Maximum number of volumes allowed (10) exceeded for quota 'volumes'."), {"retry_after": "0"}, CloudQuotaExceededError),
        (413, "block-storage", words("overLimit", "VolumeSizeExceedsAvailableQuota: Requested volume or snapshot exceeds allowed gigabytes quota."), {"retry_after": "0"}, CloudQuotaExceededError),
        (413, "block-storage", words("overLimitFault", "This request was rate-limited.", details='Only 10 POST request(s) can be made to "*" every minute.'), {"retry_after": "42"}, AGAIN),
        (413, "network", b"<html>Request Entity Too Large</html>", {}, InvalidCloudRequestError),
        (413, "image", b"<html>quota</html>", {}, CloudQuotaExceededError),
        (403, "compute", words("forbidden", "Quota exceeded for instances: Requested 1, but already used 10 of 10 instances"), {}, CloudQuotaExceededError),
        (403, "compute", words("forbidden", "Policy doesn't allow it to be performed."), {}, CloudForbiddenError),
        (409, "network", {"NeutronError": {"type": "OverQuota", "message": "Quota exceeded for resources: ['port']."}}, {}, CloudQuotaExceededError),
        (409, "network", {"NeutronError": {"type": "RetryRequest", "message": "x"}}, {}, AGAIN),
        (409, "network", {"NeutronError": {"type": "PortInUse", "message": "x"}}, {}, CloudInUseError),
        (409, "network", {"NeutronError": {"type": "SomethingNew", "message": "x"}}, {}, CloudConflictError),
        (404, "network", {"NeutronError": {"type": "ExternalGatewayForFloatingIPNotFound", "message": "x"}}, {}, CloudNoRouteError),
        (404, "network", {"NeutronError": {"type": "PortNotFound", "message": "x"}}, {}, CloudNotFoundError),
        (404, "network", {"NeutronError": {"type": ["x"], "message": "x"}}, {}, CloudNotFoundError),
        (400, "network", {"NeutronError": {"type": "InvalidIpForNetwork", "message": "x"}}, {}, CloudAddressOutsideSubnetError),
        (400, "compute", {"NeutronError": {"type": "InvalidIpForNetwork", "message": "x"}}, {}, InvalidCloudRequestError),
        (409, "compute", words("conflictingRequest", "Cannot 'start' instance while it is in vm_state active"), {}, CloudConflictError),
        (404, "compute", words("itemNotFound", "Instance x could not be found."), {}, CloudNotFoundError),
        (501, "compute", words("notImplemented", "Console type spice-html5 is unavailable."), {}, InvalidCloudRequestError),
        (500, "compute", words("computeFault", "Unexpected API Error."), {}, AGAIN),
        (400, "compute", {"badRequest": ["a list"]}, {}, InvalidCloudRequestError),
    ],
)  # fmt: skip
def test_statuses_that_depend_on_the_message(status, service, body, headers, expected):
    assert kind_of(status, body, service, **headers) is expected


def test_new_token_that_is_refused_is_no_authentication_error():
    error = error_from_response(Answer(401), service="compute", doing="list servers")
    assert "credentials" not in error.message and "token" in error.message


NOW = "Sun, 29 Nov 2026 12:00:00 GMT"


@pytest.mark.parametrize(
    ("said", "date", "seconds"),
    [
        (None, None, None), ("", None, None), ("7", None, 7.0), (" 7 ", None, 7.0), ("0", None, 0.0),
        ("3600", None, MAX_RETRY_AFTER_SECONDS), ("9" * 400, None, MAX_RETRY_AFTER_SECONDS),
        ("-5", None, None), ("1e3", None, None), ("inf", None, None), ("nan", None, None), ("soon", None, None),
        ("7, 8", None, None), ("\u0667", None, None),
        ("Sun, 29 Nov 2026 12:00:30 GMT", NOW, 30.0), ("Sun, 29 Nov 2026 11:00:00 GMT", NOW, 0.0),
        ("Sun, 29 Nov 2026 12:00:30 -0000", NOW, 30.0), ("Sun, 99 Nov 2026 12:00:30 GMT", NOW, None),
        ("Sun, 29 Nov 9999 12:00:30 GMT", NOW, None), ("Mon, 30 Nov 2026 12:00:00 GMT", NOW, MAX_RETRY_AFTER_SECONDS),
    ],
)  # fmt: skip
def test_retry_after(said, date, seconds):
    assert parse_retry_after(said, date) == seconds


def test_retry_after_without_a_date_uses_our_clock():
    assert (
        50 < parse_retry_after(formatdate(usegmt=True, timeval=__import__("time").time() + 60), "junk") <= 61
    )


def test_messages_are_cleaned_and_bounded():
    body = json.dumps({"computeFault": {"message": "a\x00b\ud800\x1b[31m" + "x" * 100_000}}).encode()
    answer = Answer(500, body, **{"x-openstack-request-id": "req-\x1b" + "1" * 5000})
    error = error_from_response(answer, service="compute", doing="do it")
    assert "ab?[31m" in error.message and len(error.message) < 600 and len(error.request_id) <= 100


def test_equal_rule_is_named_by_its_id():
    message = "Security group rule already exists. Rule id is 5d8e3ff0-0037-40b0-bd0a-7c3b6e3fbfa5."
    body = {"NeutronError": {"type": "SecurityGroupRuleExists", "message": message, "detail": ""}}
    error = error_from_response(Answer(409, body), service="network", doing="do it")
    assert error.existing_id == "5d8e3ff0-0037-40b0-bd0a-7c3b6e3fbfa5"
    assert pickle.loads(pickle.dumps(error)).existing_id == error.existing_id  # noqa: S301 - its own bytes.
    body["NeutronError"]["message"] = "Security group rule already exists. Rule id is ../../x."
    error = error_from_response(Answer(409, body), service="network", doing="do it")
    assert (error.code, error.existing_id) == ("already_exists", None)
