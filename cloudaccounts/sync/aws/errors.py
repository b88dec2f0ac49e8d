"""The errors of AWS in the portal's own, with what to do, and without secrets."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from api.messages import message as _
from openstack_client import (
    CloudAuthenticationError,
    CloudError,
    CloudForbiddenError,
    CloudServiceMissingError,
    CloudUnavailableError,
    InvalidCloudRequestError,
)
from openstack_client.connection_errors import describe_connection_error
from openstack_client.decoding import clean_text

from ..vendors import mask_secrets

# AWS has several codes for the same thing, one by protocol.
_WRONG_CREDENTIALS = frozenset(
    {
        "AuthFailure",
        "IncompleteSignature",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidToken",
        "MissingAuthenticationToken",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
        "UnrecognizedClientException",
    }
)
_ENDED_CREDENTIALS = frozenset({"ExpiredToken", "ExpiredTokenException"})
_WRONG_CLOCK = frozenset({"RequestExpired", "RequestInTheFuture", "RequestTimeTooSkewed"})
_CLOSED_ACCOUNT = frozenset(
    {
        "AccountProblem",
        "InvalidPayerRequest",
        "OptInRequired",
        "SubscriptionRequiredException",
        "PendingVerification",
    }
)
_FORBIDDEN = frozenset(
    {"AccessDenied", "AccessDeniedException", "AllAccessDisabled", "UnauthorizedOperation"}
)
_THROTTLED = frozenset(
    {
        "BandwidthLimitExceeded",
        "EC2ThrottledException",
        "LimitExceededException",
        "PriorRequestNotComplete",
        "RequestLimitExceeded",
        "RequestThrottled",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
# What the SDK's parsers raise for an answer with another shape.
_UNREADABLE = (ValueError, TypeError, LookupError)
_LOST_PAGE = frozenset({"InvalidNextToken", "InvalidPaginationToken", "ExpiredNextToken", "InvalidMarker"})


def translate_error(
    error: Exception, *, service: str, operation: str, secrets: Iterable[str] = ()
) -> CloudError:
    """Return the portal's error for one of the SDK; no secret is in its message.

    `operation` is named as in the SDK: describe_instances. What the vendor says is kept, in its own language.
    """
    action = format_action(service, operation)
    answer: dict[str, Any] = getattr(error, "response", None) or {}
    if not answer:
        return _translate_sdk_error(error, action, secrets)
    code = str(answer.get("Error", {}).get("Code") or "")
    status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
    words = mask_secrets(str(answer.get("Error", {}).get("Message") or ""), secrets)
    values = {"action": action, "code": clean_text(code, 100), "words": words}
    kind, sentence = _classify(code, words, status)
    request_id = str(answer.get("ResponseMetadata", {}).get("RequestId") or "")[:100] or None
    return kind(
        sentence % values, status_code=status if isinstance(status, int) else None, request_id=request_id
    )


def format_action(service: str, operation: str) -> str:
    """Return an operation as policies of AWS name it: ec2:DescribeInstances."""
    prefix = {"elbv2": "elasticloadbalancing"}.get(service, service)
    name = "".join(part.capitalize() for part in operation.split("_"))
    # The two names in which the acronym of the service's API is written out.
    name = name.replace("DescribeDbInstances", "DescribeDBInstances")
    return f"{prefix}:{'ListAllMyBuckets' if name == 'ListBuckets' else name}"


def _classify(code: str, words: str, status: Any) -> tuple[type[CloudError], str]:
    if code in _WRONG_CLOCK or "Signature expired" in words or "Signature not yet current" in words:
        return CloudAuthenticationError, _(
            "AWS refuses the request because of its time (%(code)s): the clock of the portal's machine differs from AWS's. %(words)s"
        )
    if code in _ENDED_CREDENTIALS:
        return CloudAuthenticationError, _(
            "The session token has expired (%(code)s). Enter a new one, or the access key of a user or a role to take."
        )
    if code in _CLOSED_ACCOUNT:
        return CloudAuthenticationError, _(
            "AWS does not serve this account (%(code)s): it is closed, suspended, or not signed up for the service. %(words)s"
        )
    if code in _WRONG_CREDENTIALS:
        return CloudAuthenticationError, _("AWS refuses the credentials (%(code)s): %(words)s")
    if code in _FORBIDDEN:
        return CloudForbiddenError, _(
            'AWS does not allow %(action)s with these credentials (%(code)s). Add "%(action)s" to the policy of the user or the role. %(words)s'
        )
    if code in _THROTTLED or status == 429:
        return CloudUnavailableError, _(
            "AWS takes no more requests of this kind at the moment (%(code)s, %(action)s). The next sync tries again."
        )
    if code in _LOST_PAGE:
        return CloudUnavailableError, _(
            "AWS can't continue the listing of %(action)s (%(code)s). The next sync starts it again."
        )
    if isinstance(status, int) and status >= 500:
        return CloudUnavailableError, _("AWS could not answer %(action)s (%(code)s): %(words)s")
    return InvalidCloudRequestError, _("AWS refuses %(action)s (%(code)s): %(words)s")


def _translate_sdk_error(error: Exception, action: str, secrets: Iterable[str]) -> CloudError:
    """Translate an error without an answer of AWS: no connection, an answer that is none, a region that is none."""
    name = type(error).__name__
    if isinstance(error, CloudError):
        return error
    if name == "PaginationError":
        sentence = _("The listing of %(action)s does not end: the same page came again.")
        return CloudUnavailableError(sentence % {"action": action})
    if name in {"ResponseParserError", "IncompleteReadError"} or isinstance(error, _UNREADABLE):
        sentence = _(
            "The answer to %(action)s does not come from AWS: a proxy or another server may have sent it."
        )
        return CloudUnavailableError(sentence % {"action": action})
    if name in {
        "EndpointConnectionError",
        "ConnectTimeoutError",
        "ReadTimeoutError",
        "ConnectionClosedError",
    }:
        described = describe_connection_error(error)
        kind, words = described or (CloudUnavailableError, mask_secrets(str(error), secrets))
        return kind(_("No answer to %(action)s: %(words)s") % {"action": action, "words": words})
    if name in {"UnknownServiceError", "InvalidRegionError", "NoRegionError", "UnknownEndpointError"}:
        sentence = _("AWS has no %(action)s in this region: %(words)s")
        return CloudServiceMissingError(
            sentence % {"action": action, "words": mask_secrets(str(error), secrets)}
        )
    sentence = _("AWS's SDK refuses %(action)s (%(name)s): %(words)s")
    return InvalidCloudRequestError(
        sentence % {"action": action, "name": name, "words": mask_secrets(str(error), secrets)}
    )
