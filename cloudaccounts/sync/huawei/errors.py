"""The refusals of Huawei Cloud as the portal's errors, with what to do, and without secrets."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
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

# The gateway before all services has codes of its own: "APIGW" or, on dedicated gateways, "APIG".
_GATEWAY = re.compile(r"(?:APIGW|APIG)\.(\d{4})")
_WRONG_CREDENTIALS = frozenset({"0301", "0303", "0305"})
_OUTDATED = "0307"
_MISSING_API = "0101"
_FORBIDDEN = frozenset({"0302", "0304", "0306"})
_CLOSED_REGION = "0802"
_THROTTLED = "0308"
# The gateway tells most reasons by its words alone, all with the code 0301.
_EXPIRED_SIGNATURE = re.compile(r"signature expired|signature time:", re.IGNORECASE)
_EXPIRED_TOKEN = re.compile(r"decrypt token fail|token (?:has )?expire|token must be updated", re.IGNORECASE)
_UNKNOWN_KEY = re.compile(
    r"get secretkey failed|ak (?:does )?not exist|access key .*(?:disabled|inactive)", re.IGNORECASE
)
_LOCKED_KEY = re.compile(r"failed to reach the limit", re.IGNORECASE)
_CLOSED_ACCOUNT = re.compile(
    r"in arrears?\b|insufficient (?:account )?balance|account (?:is|has been) (?:frozen|suspended|restricted|closed|deleted)",
    re.IGNORECASE,
)
# What follows a wrong signature is the whole request as the gateway has read it, with its headers.
_CANONICAL_REQUEST = re.compile(r",?\s*canonicalRequest:")
_DENIED_BY_POLICY = re.compile(r"policy doesn'?t allow|not authorized to perform", re.IGNORECASE)
# The names of code and message differ by service.
_MEMBERS = (
    ("error_code", "error_msg"),
    ("errorCode", "errorMsg"),
    ("errCode", "externalMessage"),
    ("code", "message"),
    ("type", "message"),
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """What an answer of an error says: the service's code, its words, and the HTTP status."""

    status: int
    code: str
    words: str
    request_id: str | None = None

    @property
    def gateway_code(self) -> str:
        """Return the four digits of a code of the API gateway; "" for the code of a service."""
        found = _GATEWAY.fullmatch(self.code)
        return found[1] if found else ""

    @property
    def is_throttled(self) -> bool:
        """Return whether the request may be repeated later."""
        return self.status == 429 or self.gateway_code == _THROTTLED


def read_refusal(status: int, body: Any, request_id: str | None = None) -> Refusal | None:
    """Return what the body of an error says; None for a body that does not come from Huawei Cloud."""
    found = _find_members(body, 0)
    if found is None:
        return None
    code, words = found
    words = _CANONICAL_REQUEST.split(words, maxsplit=1)[0]
    return Refusal(status, clean_text(code, 100), words, clean_text(request_id, 100) if request_id else None)


def translate_refusal(
    refusal: Refusal, *, action: str, is_continuation: bool = False, secrets: Iterable[str] = ()
) -> CloudError:
    """Return the portal's error for a refusal; no secret is in its message.

    `action` is that of IAM's policies, e.g. ecs:cloudServers:list. `is_continuation` says that the request named the end of
    the page before.
    """
    kind, sentence = _classify(refusal, is_continuation)
    values = {
        "action": action,
        "code": refusal.code or str(refusal.status),
        "words": mask_secrets(refusal.words, secrets),
    }
    return kind(sentence % values, status_code=refusal.status, request_id=refusal.request_id)


def refuse_answer(action: str, status: int | None = None) -> CloudError:
    """Return the error for an answer that is none of Huawei Cloud's: a page, another JSON, a member that is missing."""
    if status is not None and status >= 500:
        sentence = _("Huawei Cloud could not answer %(action)s (HTTP %(status)s).")
        return CloudUnavailableError(sentence % {"action": action, "status": status}, status_code=status)
    sentence = _(
        "The answer to %(action)s does not come from Huawei Cloud: a proxy or another server may have sent it."
    )
    return CloudUnavailableError(sentence % {"action": action}, status_code=status)


def refuse_endless_listing(action: str) -> CloudError:
    """Return the error for a listing that repeats itself, or exceeds the bounds."""
    sentence = _(
        "Huawei Cloud's listing of %(action)s does not end: it repeats itself, or has too many pages."
    )
    return CloudUnavailableError(sentence % {"action": action})


def refuse_incomplete_listing(action: str, listed: int, total: int) -> CloudError:
    """Return the error for a listing that ends before the number of objects that it tells itself."""
    sentence = _(
        "Huawei Cloud's listing of %(action)s ends after %(listed)s of %(total)s objects. The next sync starts it again."
    )
    return CloudUnavailableError(sentence % {"action": action, "listed": listed, "total": total})


def translate_connection_error(error: Exception, *, action: str, secrets: Iterable[str] = ()) -> CloudError:
    """Return the portal's error for a request without an answer."""
    kind, words = describe_connection_error(error) or (
        CloudUnavailableError,
        mask_secrets(str(error), secrets),
    )
    return kind(_("No answer to %(action)s: %(words)s") % {"action": action, "words": words})


def _find_members(body: Any, depth: int) -> tuple[str, str] | None:
    if not isinstance(body, Mapping) or depth > 2:
        return None
    for code_member, words_member in _MEMBERS:
        code, words = body.get(code_member), body.get(words_member)
        if isinstance(code, str | int) and isinstance(words, str):
            return str(code), words
    for value in body.values():
        found = _find_members(value, depth + 1)
        if found is not None:
            return found
    return None


def _classify(refusal: Refusal, is_continuation: bool) -> tuple[type[CloudError], str]:
    found = _classify_credentials(refusal) or _classify_access(refusal)
    if found is not None:
        return found
    if is_continuation and refusal.status in {400, 404}:
        return CloudUnavailableError, _(
            "Huawei Cloud can't continue the listing of %(action)s (%(code)s). The next sync starts it again."
        )
    if refusal.gateway_code == _MISSING_API:
        return CloudServiceMissingError, _(
            "Huawei Cloud has no %(action)s in this region (%(code)s): %(words)s"
        )
    if refusal.status >= 500:
        return CloudUnavailableError, _("Huawei Cloud could not answer %(action)s (%(code)s): %(words)s")
    return InvalidCloudRequestError, _("Huawei Cloud refuses %(action)s (%(code)s): %(words)s")


def _classify_credentials(refusal: Refusal) -> tuple[type[CloudError], str] | None:
    """Return the error for a request that Huawei Cloud takes for nobody's; None for any other."""
    if _CLOSED_ACCOUNT.search(refusal.words):
        return CloudAuthenticationError, _(
            "Huawei Cloud does not serve this account (%(code)s): it is in arrears, frozen, or closed. %(words)s"
        )
    if refusal.status not in {401, 403}:
        return None
    if _EXPIRED_SIGNATURE.search(refusal.words):
        return CloudAuthenticationError, _(
            "Huawei Cloud refuses the request because of its time (%(code)s): the clock of the portal's machine differs from Huawei Cloud's, or the temporary key has expired. %(words)s"
        )
    if refusal.gateway_code == _OUTDATED or _EXPIRED_TOKEN.search(refusal.words):
        return CloudAuthenticationError, _(
            "The security token has expired (%(code)s). Enter a new one, or the access key of a user or an agency to take."
        )
    if _LOCKED_KEY.search(refusal.words):
        return CloudAuthenticationError, _(
            "Huawei Cloud has locked the access key for some minutes after several wrong signatures (%(code)s). Check the secret access key."
        )
    if _UNKNOWN_KEY.search(refusal.words):
        return CloudAuthenticationError, _(
            "Huawei Cloud knows no such access key, or it is disabled, or its security token is missing (%(code)s): %(words)s"
        )
    if refusal.gateway_code in _WRONG_CREDENTIALS or (
        refusal.status == 401 and not _DENIED_BY_POLICY.search(refusal.words)
    ):
        return CloudAuthenticationError, _("Huawei Cloud refuses the credentials (%(code)s): %(words)s")
    return None


def _classify_access(refusal: Refusal) -> tuple[type[CloudError], str] | None:
    """Return the error for a request that is not allowed, or not now; None for any other."""
    if refusal.is_throttled:
        return CloudUnavailableError, _(
            "Huawei Cloud takes no more requests of this kind at the moment (%(code)s, %(action)s). The next sync tries again."
        )
    if refusal.gateway_code == _CLOSED_REGION:
        return CloudForbiddenError, _(
            "Huawei Cloud does not allow these credentials in this region (%(code)s): open it in the console, or leave it out of the account. %(words)s"
        )
    if refusal.status == 403 or refusal.gateway_code in _FORBIDDEN or _DENIED_BY_POLICY.search(refusal.words):
        return CloudForbiddenError, _(
            'Huawei Cloud does not allow %(action)s with these credentials (%(code)s). Add "%(action)s" to a policy of the user or the agency. %(words)s'
        )
    return None
