"""The one place where answers and other libraries' exceptions become ours.

The class of an error is decided by exception class and HTTP status. There are two exceptions, both because OpenStack
gives two different things the same status: quotas (see `_is_quota`) and whose 404 it is (see `_is_services_own`).
"""

from __future__ import annotations

import re
import time
from typing import Any

from .connection_trouble import trouble_of
from .errors import (
    AuthenticationFailed,
    CloudError,
    CloudUnavailable,
    Conflict,
    Forbidden,
    InvalidRequest,
    NotFound,
    QuotaExceeded,
    ServiceMissing,
)

_MAX_WORDS = 500
# What the libraries let out as Python raised it, when an answer or an address is odder than they expect: JSON nested too
# deeply, a token without its fields, a file that is not there. Not every Exception: some of those are orders to stop.
_LEFT_BARE = (ArithmeticError, AttributeError, LookupError, OSError, RecursionError, TypeError, ValueError)
# Fernet tokens, wherever a cloud or a proxy may have echoed one.
_TOKEN = re.compile(r"gAAAA[A-Za-z0-9_\-=]{20,}")


def error_from_response(
    response: Any, *, service: str, doing: str, secrets: tuple[str, ...] = ()
) -> CloudError:
    """The error for an answer with a status of 400 or more (or an odd one below).

    `service` is OpenStack's type ("compute"), `doing` says in words what was tried ("start server 1234").
    """
    status = int(response.status_code)
    body = _json_or_none(response)
    said = _scrub(_words_of(body) or str(response.reason or ""), secrets)
    request_id = response.headers.get("x-openstack-request-id") or response.headers.get(
        "x-compute-request-id"
    )
    message = f"Could not {doing}: {service} answered {status}" + (f": {said}" if said else ".")
    if status == 401:
        message = f"{message.rstrip('.')}. The cloud does not accept the credentials: they are wrong, switched off or expired."

    kind: type[CloudError] = InvalidRequest
    if status == 401:
        kind = AuthenticationFailed
    elif status in {403, 409, 413} and _is_quota(status, body):
        kind = QuotaExceeded
    elif status == 403:
        kind = Forbidden
    elif status == 404:
        if _is_services_own(service, body):
            kind = NotFound
        else:
            message += " (the answer is not from the service itself)"
            kind = CloudUnavailable
    elif status == 409:
        kind = Conflict
    elif status >= 500 or status < 400 or status in {408, 425, 429}:
        kind = CloudUnavailable
    if kind is CloudUnavailable:
        return CloudUnavailable(
            message,
            status_code=status,
            request_id=request_id,
            retry_after=_seconds(response.headers.get("retry-after")),
        )
    return kind(message, status_code=status, request_id=request_id)


def error_from_exception(
    exception: Exception,
    *,
    service: str,
    doing: str,
    secrets: tuple[str, ...] = (),
    outside: BaseException | None = None,
) -> CloudError | None:
    """Ours for an exception that came out of openstacksdk, keystoneauth or requests; None for one that is none of theirs.

    Raise the result outside the `except` block: the original's `__context__` chain holds the request, whose body
    is the password when logging in. `outside` is what the caller was handling already when it began.
    """
    import requests  # noqa: PLC0415 - slow to import.
    from keystoneauth1 import exceptions as ksa  # noqa: PLC0415
    from openstack import exceptions as sdk  # noqa: PLC0415

    if isinstance(exception, CloudError):
        return exception
    said = _scrub(str(exception), secrets)
    start = f"Could not {doing}: "
    if isinstance(exception, ksa.HttpError | sdk.HttpException):
        return _error_from_http(exception, service=service, doing=doing, secrets=secrets)
    if isinstance(exception, ksa.EndpointNotFound | ksa.EmptyCatalog):
        return ServiceMissing(f"{start}the cloud has no {service} service in this region. {said}")
    if isinstance(exception, sdk.ConfigException | ksa.MissingRequiredOptions | ksa.NoMatchingPlugin):
        return InvalidRequest(f"{start}{said}")
    if isinstance(exception, ksa.AuthorizationFailure | ksa.AuthPluginException):
        return AuthenticationFailed(f"{start}{said}")
    theirs = isinstance(exception, ksa.ClientException | sdk.SDKException | requests.RequestException)
    if not theirs and not isinstance(exception, _LEFT_BARE):
        return None
    trouble = trouble_of(exception, outside=outside)
    if trouble is not None:
        kind, words = trouble
        return kind(start + _scrub(words, secrets))
    if isinstance(exception, ksa.InvalidResponse):
        said = "what is at that address does not answer as OpenStack does; is it the right address?"
    elif not theirs:
        said = f"{said} ({type(exception).__name__})"
    return CloudUnavailable(f"{start}{service} gave no usable answer: {said}")


def _error_from_http(exception: Any, *, service: str, doing: str, secrets: tuple[str, ...]) -> CloudError:
    """For an answer that a library read before us: while logging in, or looking for the service."""
    status = getattr(exception, "http_status", None) or getattr(exception, "status_code", None)
    request_id = getattr(exception, "request_id", None)
    if status == 404:
        # Never about an object: answers about those are read by us.
        return InvalidRequest(
            f"Could not {doing}: {service}: the authentication address or the endpoint leads nowhere (404).",
            status_code=404,
            request_id=request_id,
        )
    response = getattr(exception, "response", None)
    if response is not None:
        return error_from_response(response, service=service, doing=doing, secrets=secrets)
    message = f"Could not {doing}: {_scrub(str(exception), secrets)}"
    kind = AuthenticationFailed if status == 401 else CloudUnavailable
    return kind(message, status_code=status, request_id=request_id)


def state_conflict(refused: InvalidRequest) -> InvalidRequest | Conflict:
    """A `Conflict` for the cloud's 400 to a request that says nothing but ids that were checked: it can only mean a state.

    A refusal of ours, which never left, stays what it is.
    """
    if refused.status_code != 400:
        return refused
    return Conflict(refused.message, status_code=400, request_id=refused.request_id)


def nonsense(what: str) -> CloudUnavailable:
    """The error for an answer that arrived and makes no sense."""
    return CloudUnavailable(f"The cloud's answer makes no sense: {what}.")


def _is_quota(status: int, body: Any) -> bool:
    """Whether a refusal is about a quota.

    Nova answers 403 `forbidden` with words only ("Quota exceeded for instances: ...", "Maximum number of ports
    exceeded"), as it does for policy ("Policy doesn't allow ..."), so its words are read. Cinder answers 413
    `overLimit`, Neutron 409 with the type `OverQuota`, Glance 413.
    """
    if status == 413:
        return True
    if not isinstance(body, dict):
        return False
    if status == 409:
        neutron = body.get("NeutronError")
        return isinstance(neutron, dict) and neutron.get("type") == "OverQuota"
    words = _words_of(body).lower()
    return "quota" in words or (words.startswith("maximum number of") and "exceed" in words)


def _is_services_own(service: str, body: Any) -> bool:
    """Whether a 404 has the shape that the service gives it. Glance answers with HTML, so anything of it counts."""
    if service == "image":
        return True
    if not isinstance(body, dict):
        return False
    return any(isinstance(body.get(key), dict) for key in ("itemNotFound", "NeutronError", "error"))


def _json_or_none(response: Any) -> Any:
    try:
        return response.json()
    except (ValueError, RecursionError):
        return None


def _words_of(body: Any) -> str:
    """What the cloud said: every OpenStack service wraps `message` in an object of its own."""
    if not isinstance(body, dict):
        return ""
    if isinstance(body.get("message"), str):
        return str(body["message"])
    for value in body.values():
        if isinstance(value, dict) and isinstance(value.get("message"), str):
            return str(value["message"])
    return ""


def _scrub(text: str, secrets: tuple[str, ...]) -> str:
    for secret in secrets:
        text = text.replace(secret, "***")
    # A cloud's own words may hold anything; what shows them to people, or keeps them, takes text alone.
    text = text.replace("\x00", "").encode("utf-8", "replace").decode()
    return _TOKEN.sub("***", text)[:_MAX_WORDS]


def _seconds(retry_after: str | None) -> float | None:
    """`Retry-After` in seconds: the header is a number, or a date."""
    if not retry_after:
        return None
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        pass
    import email.utils  # noqa: PLC0415 - as slow to import as the rest of this package, and rarely needed.

    try:
        return max(0.0, email.utils.parsedate_to_datetime(retry_after).timestamp() - time.time())
    except ValueError:
        return None
