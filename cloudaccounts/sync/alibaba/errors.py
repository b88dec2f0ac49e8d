"""The errors of Alibaba Cloud in the portal's own, with what to do, and without secrets."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

import requests

from api.messages import message as _
from openstack_client import (
    CloudAuthenticationError,
    CloudError,
    CloudForbiddenError,
    CloudNotFoundError,
    CloudServiceMissingError,
    CloudUnavailableError,
    InvalidCloudRequestError,
)
from openstack_client.connection_errors import describe_connection_error
from openstack_client.decoding import clean_text

from ..vendors import mask_secrets

# The names of services in policies of RAM, where they are not those of the API.
_POLICY_NAMES = {"R-kvstore": "kvstore"}
_ACTION = re.compile(r"[a-z0-9-]{1,40}:[A-Za-z0-9*]{1,80}")
_DISABLED_KEY = frozenset(
    {
        "Forbidden.AccessKey",
        "Forbidden.AccessKeyDisabled",
        "InvalidAccessKeyId.Inactive",
        "NoEnabledAccessKey",
    }
)
_ENDED_CREDENTIALS = frozenset({"InvalidSecurityToken.Expired", "SecurityTokenExpired"})
_WRONG_CLOCK = frozenset({"IllegalTimestamp", "InvalidTimeStamp.Expired", "InvalidTimeStamp.Format"})
_WRONG_CREDENTIALS = frozenset(
    {
        "IncompleteSignature",
        "InvalidAccessKeyId",
        "InvalidAccessKeyId.NotFound",
        "InvalidAccessKeySecret",
        "InvalidSecurityToken",
        "InvalidSecurityToken.Malformed",
        "InvalidSecurityToken.MismatchWithAccessKey",
        "MissingAccessKeyId",
        "MissingSecurityToken",
        "SignatureDoesNotMatch",
    }
)
_CLOSED_ACCOUNT = frozenset(
    {
        "Account.Arrearage",
        "Forbidden.AccountClosed",
        "Forbidden.RiskControl",
        "InvalidAccountStatus",
        "InvalidAccountStatus.NotEnoughBalance",
        "InvalidStatus.AccountStatus",
        "UserNotFound",
    }
)
_FORBIDDEN = frozenset(
    {
        "AccessDenied",
        "Forbidden",
        "Forbidden.NoPermission",
        "Forbidden.NotSupportRAM",
        "Forbidden.RAM",
        "Forbidden.Unauthorized",
        "ImplicitDeny",
        "NoPermission",
        "Unauthorized",
    }
)
_MISSING_SERVICE = frozenset(
    {
        "InvalidAction.NotFound",
        "InvalidOperation.NotSupportedEndpoint",
        "InvalidRegionId",
        "InvalidRegionId.NotFound",
        "InvalidVersion",
        "UnsupportedRegion",
    }
)
# The vendor repeats what it has signed, with the token in it, after these words.
_SIGNED_TEXT = re.compile(r"\s*(server )?string to sign is.*", re.IGNORECASE | re.DOTALL)


def format_action(product: str, action: str) -> str:
    """Return an operation as policies of RAM name it: ecs:DescribeInstances."""
    return f"{_POLICY_NAMES.get(product, product.lower())}:{action}"


def is_throttled(status: int, answer: Mapping[str, Any]) -> bool:
    """Return whether an answer says that there are too many requests: by Throttling, Throttling.User, Throttling.Api and others."""
    code = str(answer.get("Code") or "")
    return status == 429 or code.partition(".")[0] in {"Throttling", "RequestLimitExceeded", "FlowControl"}


def describe_refusal(
    status: int, answer: Mapping[str, Any], action: str, secrets: Iterable[str]
) -> CloudError:
    """Return the portal's error for an answer that refuses a request; no secret is in its message.

    The vendor's own words are kept, in their language.
    """
    code = str(answer.get("Code") or "")
    kind, sentence = _classify(code, status, is_throttled(status, answer))
    values = {
        "action": _find_denied_action(answer) or action if kind is CloudForbiddenError else action,
        "code": clean_text(code, 100) or status,
        "words": _clean_words(str(answer.get("Message") or ""), secrets),
    }
    request_id = clean_text(str(answer.get("RequestId") or ""), 100) or None
    return kind(sentence % values, status_code=status, request_id=request_id)


def describe_broken_answer(action: str, status: int) -> CloudUnavailableError:
    """Return the error for an answer that is no JSON object: the page of a proxy, or of another server."""
    if status >= 500:
        sentence = _("Alibaba Cloud could not answer %(action)s (%(code)s): %(words)s")
        values = {"action": action, "code": status, "words": _("the answer is not JSON.")}
        return CloudUnavailableError(sentence % values, status_code=status)
    sentence = _(
        "The answer to %(action)s does not come from Alibaba Cloud: a proxy or another server may have sent it."
    )
    return CloudUnavailableError(sentence % {"action": action}, status_code=status)


def describe_no_answer(error: requests.RequestException, action: str) -> CloudError:
    """Return the error for a request without an answer. Exceptions that are not known are only named: their texts may have secrets."""
    described = describe_connection_error(error)
    kind, words = described or (CloudUnavailableError, type(error).__name__)
    return kind(_("No answer to %(action)s: %(words)s") % {"action": action, "words": words})


def _classify(code: str, status: int, is_throttled: bool) -> tuple[type[CloudError], str]:
    if sentence := _describe_refused_credentials(code):
        return CloudAuthenticationError, sentence
    if is_throttled:
        return CloudUnavailableError, _(
            "Alibaba Cloud takes no more requests of this kind at the moment (%(code)s, %(action)s). The next sync tries again."
        )
    # InvalidNextToken, InvalidParameter.NextToken and others: each service has its own code.
    if "NextToken" in code:
        return CloudUnavailableError, _(
            "Alibaba Cloud can't continue the listing of %(action)s (%(code)s). The next sync starts it again."
        )
    if code in _MISSING_SERVICE:
        return CloudServiceMissingError, _(
            "Alibaba Cloud has no %(action)s in this region (%(code)s): %(words)s"
        )
    if status == 404 and code.endswith(".NotFound"):
        return CloudNotFoundError, _("Alibaba Cloud refuses %(action)s (%(code)s): %(words)s")
    if status >= 500:
        return CloudUnavailableError, _("Alibaba Cloud could not answer %(action)s (%(code)s): %(words)s")
    if code in _FORBIDDEN or status == 403:
        return CloudForbiddenError, _(
            'Alibaba Cloud does not allow %(action)s with these credentials (%(code)s). Add "%(action)s" to the policy of the user or the role. %(words)s'
        )
    return InvalidCloudRequestError, _("Alibaba Cloud refuses %(action)s (%(code)s): %(words)s")


def _describe_refused_credentials(code: str) -> str:
    """Return the sentence for a code that means that nothing is answered with these credentials; "" for any other code."""
    if code in _WRONG_CLOCK:
        return _(
            "Alibaba Cloud refuses the request because of its time (%(code)s): the clock of the portal's machine differs from the vendor's. %(words)s"
        )
    if code in _ENDED_CREDENTIALS:
        return _(
            "The security token has expired (%(code)s). Enter a new one, or the access key of a user or a role to take."
        )
    if code in _DISABLED_KEY:
        return _(
            "The access key is disabled (%(code)s). Enable it in the console of RAM, or enter another one."
        )
    if code in _CLOSED_ACCOUNT:
        return _(
            "Alibaba Cloud does not serve this account (%(code)s): it is closed or locked, or a payment is overdue. %(words)s"
        )
    if code in _WRONG_CREDENTIALS:
        return _("Alibaba Cloud refuses the credentials (%(code)s): %(words)s")
    return ""


def _find_denied_action(answer: Mapping[str, Any]) -> str:
    """Return the action that the vendor names as the missing one; "" without one."""
    detail = answer.get("AccessDeniedDetail")
    named = detail.get("AuthAction") if isinstance(detail, dict) else None
    return named if isinstance(named, str) and _ACTION.fullmatch(named) else ""


def _clean_words(words: str, secrets: Iterable[str]) -> str:
    """Return the vendor's words without secrets, be they plain or in the form that they have in a URL."""
    forms = {form for secret in secrets for form in (secret, quote(secret, ""), quote(quote(secret, ""), ""))}
    return mask_secrets(_SIGNED_TEXT.sub("", words), sorted(forms, key=len, reverse=True))
