"""The errors of Tencent Cloud in the portal's own, with what to do, and without secrets."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

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

# Codes are words joined by dots; the first word is the same for all services.
_THROTTLED = "RequestLimitExceeded"
_WRONG_CLOCK = frozenset({"AuthFailure.SignatureExpire"})
_ENDED_TOKEN = frozenset({"AuthFailure.TokenFailure"})
_UNKNOWN_KEY = frozenset({"AuthFailure.SecretIdNotFound", "AuthFailure.InvalidSecretId"})
# Parts of codes for accounts that owe money, or are not registered with a real name.
_CLOSED_ACCOUNT = (
    "AccountNotSupported",
    "AccountQualification",
    "Arrear",
    "BalanceInsufficient",
    "BalanceNotEnough",
    "InsufficientBalance",
    "RealName",
)
_FORBIDDEN = ("AuthFailure.UnauthorizedOperation", "UnauthorizedOperation", "AuthFailure.SubAccountDenied")
_FAILED = ("InternalError", "ServiceUnavailable", "InternalServerError")
_MISSING_SERVICE = ("UnsupportedRegion", "InvalidAction", "NoSuchVersion", "NoSuchProduct", "ActionOffline")
# Its words name what the policy lacks, which may have the prefix of another service: volumes have that of cvm.
_NAMED_ACTION = re.compile(r"operation \(([a-zA-Z]+:[A-Za-z]+)\)")
# The services whose operations policies name with the prefix of another one.
_PREFIXES = {("cbs", ""): "cvm", ("vpc", "DescribeAddresses"): "cvm"}


class RefusalError(Exception):
    """Tencent Cloud answered with an error."""

    def __init__(self, error: Any, *, request_id: Any, status: int = 200) -> None:
        known = error if isinstance(error, dict) else {}
        self.code = clean_text(str(known.get("Code") or ""), 100)
        self.words = str(known.get("Message") or "")
        self.request_id = str(request_id or "")[:100] or None
        self.status = status
        super().__init__(self.code)

    @property
    def is_throttled(self) -> bool:
        """Return whether the same request may succeed a little later."""
        return self.code.split(".")[0] == _THROTTLED or self.status == 429


class HttpStatusError(Exception):
    """An answer with another status than 200; Tencent Cloud itself sends its errors with 200."""

    def __init__(self, status: int, content: bytes) -> None:
        super().__init__(str(status))
        self.status = status
        self.content = content

    def to_refusal(self) -> RefusalError:
        """Return what the answer says, as far as it says anything."""
        try:
            found = json.loads(self.content)["Response"]
            return RefusalError(found["Error"], request_id=found.get("RequestId"), status=self.status)
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
            return RefusalError({"Code": f"HTTP {self.status}"}, request_id=None, status=self.status)


class UnreadableAnswerError(Exception):
    """An answer that has not the shape of Tencent Cloud's."""


def format_action(service: str, operation: str) -> str:
    """Return an operation as policies of CAM name it: cvm:DescribeInstances."""
    prefix = _PREFIXES.get((service, operation)) or _PREFIXES.get((service, "")) or service
    return f"{prefix}:{operation}"


def translate_error(
    error: Exception, *, service: str, operation: str, secrets: Iterable[str] = ()
) -> CloudError:
    """Return the portal's error for one of the SDK or an answer; no secret is in its message.

    What the vendor says is kept, in its own language.
    """
    action = format_action(service, operation)
    secrets = tuple(secrets)
    if isinstance(error, CloudError):
        return error
    if isinstance(error, HttpStatusError):
        error = error.to_refusal()
    if isinstance(error, RefusalError):
        return _translate_refusal(error, action, secrets)
    if isinstance(error, UnreadableAnswerError | ValueError | TypeError | LookupError | RecursionError):
        sentence = _(
            "The answer to %(action)s does not come from Tencent Cloud: a proxy or another server may have sent it."
        )
        return CloudUnavailableError(sentence % {"action": action})
    described = describe_connection_error(error)
    if described is not None:
        kind, words = described
        return kind(_("No answer to %(action)s: %(words)s") % {"action": action, "words": words})
    if isinstance(error, OSError):
        sentence = _("No answer to %(action)s: %(words)s")
        return CloudUnavailableError(
            sentence % {"action": action, "words": mask_secrets(str(error), secrets)}
        )
    sentence = _("The SDK of Tencent Cloud refuses %(action)s (%(code)s): %(words)s")
    words = mask_secrets(str(getattr(error, "message", None) or error), secrets)
    code = str(getattr(error, "code", None) or type(error).__name__)[:100]
    return InvalidCloudRequestError(sentence % {"action": action, "code": code, "words": words})


def _translate_refusal(refusal: RefusalError, action: str, secrets: Iterable[str]) -> CloudError:
    words = mask_secrets(refusal.words, secrets)
    if named := _NAMED_ACTION.search(words):
        action = named[1]
    kind, sentence = _classify(refusal)
    return kind(
        sentence % {"action": action, "code": refusal.code, "words": words},
        status_code=refusal.status,
        request_id=refusal.request_id,
    )


def _classify(refusal: RefusalError) -> tuple[type[CloudError], str]:
    first = refusal.code.split(".")[0]
    if found := _classify_sign_in(refusal.code, first):
        return found
    if refusal.is_throttled:
        return CloudUnavailableError, _(
            "Tencent Cloud takes no more requests of this kind at the moment (%(code)s, %(action)s). The next sync tries again."
        )
    if first == "ResourceNotFound":
        return CloudNotFoundError, _("Tencent Cloud has no such object for %(action)s (%(code)s): %(words)s")
    if first in _MISSING_SERVICE:
        return CloudServiceMissingError, _(
            "Tencent Cloud has no %(action)s in this region (%(code)s): %(words)s"
        )
    if first in _FAILED or refusal.status >= 500:
        return CloudUnavailableError, _("Tencent Cloud could not answer %(action)s (%(code)s): %(words)s")
    return InvalidCloudRequestError, _("Tencent Cloud refuses %(action)s (%(code)s): %(words)s")


def _classify_sign_in(code: str, first: str) -> tuple[type[CloudError], str] | None:
    """Return the error for a refusal of the credentials or of what they may do; None for any other."""
    if code in _WRONG_CLOCK:
        return CloudAuthenticationError, _(
            "Tencent Cloud refuses the request because of its time (%(code)s): the clock of the portal's machine differs from that of Tencent Cloud by more than five minutes. %(words)s"
        )
    if code in _ENDED_TOKEN:
        return CloudAuthenticationError, _(
            "The session token is wrong or has expired (%(code)s). Enter a new one, or the key of a user or a role to take."
        )
    if any(part in code for part in _CLOSED_ACCOUNT):
        return CloudAuthenticationError, _(
            "Tencent Cloud does not serve this account (%(code)s): it is in arrears, not verified, or not open for the service. %(words)s"
        )
    if code.startswith(_FORBIDDEN):
        return CloudForbiddenError, _(
            'Tencent Cloud does not allow %(action)s with these credentials (%(code)s). Add "%(action)s" to the policy of the user or the role. %(words)s'
        )
    if code in _UNKNOWN_KEY:
        return CloudAuthenticationError, _(
            "Tencent Cloud does not know this SecretId (%(code)s): it is misspelled, disabled or deleted. %(words)s"
        )
    if first == "AuthFailure":
        return CloudAuthenticationError, _("Tencent Cloud refuses the credentials (%(code)s): %(words)s")
    return None
