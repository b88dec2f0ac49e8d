"""Turn answers and other libraries' exceptions into our errors, in this one place.

What each status means, by service. "Again" is `CloudUnavailableError`: nothing is known, and the caller may try again; after
a change it looks at the cloud's fresh state first. Everything else is the cloud's word, and final.

| status | service | means | error |
|---|---|---|---|
| 300-399 | all | a proxy's page, a redirect that is not followed | again |
| 401 | identity | the credentials are wrong, switched off or expired | `CloudAuthenticationError` |
| 401 | others | keystoneauth has logged in anew, and the new token is refused: the service cannot ask Keystone | again |
| 403 | compute | "Quota exceeded ...", "Maximum number of ... exceeded" | `CloudQuotaExceededError` |
| 403 | all | policy, or a state (detaching the boot volume on old Novas) | `CloudForbiddenError` |
| 404 | all, in the service's own form | the object is not there | `CloudNotFoundError` |
| 404 | all, in another form | a proxy's page, a wrong address | again |
| 408, 425, 429 | all | too slow, too early, too many requests | again, after `Retry-After` |
| 409 | network, type `OverQuota` | a quota | `CloudQuotaExceededError` |
| 409 | network, type `RetryRequest`; all, "try again" | two requests met in the database | again |
| 409 | all | the object's state | `CloudConflictError` |
| 413 | all, words of a rate ("rate-limited", "Only 10 POST request(s) ...") | Nova before Liberty, Cinder: too many requests | again, after `Retry-After` |
| 413 | compute, `overLimit` with a `Retry-After` above 0 and no word of a quota | as above | again |
| 413 | block-storage, in JSON | `VolumeLimitExceeded` and its like, with `Retry-After: 0` | `CloudQuotaExceededError` |
| 413 | image | the storage quota | `CloudQuotaExceededError` |
| 413 | words of a quota | a quota | `CloudQuotaExceededError` |
| 413 | others | the request is too large | `InvalidCloudRequestError` |
| 423 | all | locked | `CloudConflictError` |
| 400, 405, 406, 410-412, 414-417, 422, 424, 426, 428, 431, 451 and the other 4xx | all | the request is wrong, or too old or new | `InvalidCloudRequestError` |
| 421 | all | the answer is another server's | again |
| 500 | all | a fault of the service. Of 50 stops at once a real Nova answers up to 14 so, some of them done | again |
| 501 | all | the service or its driver cannot do it: a console of that type, an action of that hypervisor | `InvalidCloudRequestError` |
| 502, 503, 504 | all | the service, or what is behind it, is away | again, after `Retry-After` |
| 505, 506, 510 | all | not spoken here | `InvalidCloudRequestError` |
| 507 | all | no room in the storage; not to be repeated before somebody makes some | `CloudQuotaExceededError` |
| 508, 509, 511-599 | all | trouble of proxies | again |

The class is decided by status and form. Words are read only where OpenStack gives two things the same status.
`Retry-After` is a number of seconds or a date, which is read by the answer's own `Date`; what is neither, or is negative,
is as if it were not there, and nobody waits longer than `MAX_RETRY_AFTER_SECONDS` for it before asking again.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from .connection_errors import describe_connection_error
from .decoding import clean_text, decode_json
from .errors import (
    CloudAuthenticationError,
    CloudConflictError,
    CloudError,
    CloudForbiddenError,
    CloudNotFoundError,
    CloudQuotaExceededError,
    CloudServiceMissingError,
    CloudUnavailableError,
    InvalidCloudRequestError,
)

_MAX_WORDS = 500
# A cloud may ask for an hour, and be back in a second: people and locks wait, and one request in two minutes hurts nobody.
MAX_RETRY_AFTER_SECONDS = 120.0
# What Nova's and Cinder's rate limits say: "This request was rate-limited.", "Only 10 POST request(s) can be made to ...".
_RATE = re.compile(r"rate.?limit|too many requests|only \d+ \w+ request")
# What the libraries let out as Python raised it, when an answer or an address is odder than they expect: JSON nested too
# deeply, a token without its fields, a file that is not there. Not every Exception: some of those are orders to stop.
_LEFT_BARE = (ArithmeticError, AttributeError, LookupError, OSError, RecursionError, TypeError, ValueError)
# Fernet tokens, wherever a cloud or a proxy may have echoed one.
_TOKEN = re.compile(r"gAAAA[A-Za-z0-9_\-=]{20,}")


def error_from_response(
    response: Any, *, service: str, doing: str, secrets: tuple[str, ...] = ()
) -> CloudError:
    """Return the error for an answer with a status of 400 or more (or an unusual one below).

    `service` is OpenStack's type ("compute"), `doing` says in words what was tried ("start server 1234").
    """
    status = int(response.status_code)
    body = _json_or_none(response)
    said = _scrub(_extract_message(body) or str(response.reason or ""), secrets)
    request_id = _request_id(response)
    message = f"Could not {doing}: {service} answered {status}" + (f": {said}" if said else ".")
    retry_after = seconds_to_wait(response.headers.get("retry-after"), response.headers.get("date"))
    kind = _error_class(status, service, body, retry_after)
    if kind is CloudAuthenticationError:
        message = f"{message.rstrip('.')}. The cloud does not accept the credentials: they are wrong, switched off or expired."
    elif status == 401:
        message = f"{message.rstrip('.')}. It refuses a token that the cloud has just given out."
    elif status == 404 and kind is CloudUnavailableError:
        message += " (the answer is not from the service itself)"
    if kind is CloudUnavailableError:
        return CloudUnavailableError(
            message, status_code=status, request_id=request_id, retry_after=retry_after
        )
    return kind(message, status_code=status, request_id=request_id)


def _error_class(status: int, service: str, body: Any, retry_after: float | None) -> type[CloudError]:  # noqa: C901 - the table above, line by line.
    """Return the class of the error for a status; see the module's table."""
    if status == 401:
        return CloudAuthenticationError if service == "identity" else CloudUnavailableError
    if status == 403:
        return CloudQuotaExceededError if _is_quota_refusal(body) else CloudForbiddenError
    if status == 404:
        return CloudNotFoundError if _is_from_service(service, body) else CloudUnavailableError
    if status == 409:
        kind = _neutron_type(body)
        if kind == "OverQuota":
            return CloudQuotaExceededError
        return CloudUnavailableError if kind == "RetryRequest" else CloudConflictError
    if status == 413:
        return _error_class_of_413(service, body, retry_after)
    if status in {408, 421, 425, 429}:
        return CloudUnavailableError
    if status == 423:
        return CloudConflictError
    if status in {501, 505, 506, 510}:
        return InvalidCloudRequestError
    if status == 507:
        return CloudQuotaExceededError
    return InvalidCloudRequestError if 400 <= status < 500 else CloudUnavailableError


def _error_class_of_413(service: str, body: Any, retry_after: float | None) -> type[CloudError]:
    words = _extract_message(body).lower()
    if _RATE.search(words) or _RATE.search(_extract_details(body).lower()):
        return CloudUnavailableError
    # Of Cinder itself, whatever it says, a 413 that is about no rate is about a quota; a proxy's is no JSON.
    if (
        service == "image"
        or _is_quota_refusal(body)
        or (service == "block-storage" and isinstance(body, dict))
    ):
        return CloudQuotaExceededError
    if isinstance(body, dict) and any(key.startswith("overLimit") for key in body):
        return CloudUnavailableError if service == "compute" and retry_after else CloudQuotaExceededError
    return InvalidCloudRequestError


def _request_id(response: Any) -> str | None:
    found = response.headers.get("x-openstack-request-id") or response.headers.get("x-compute-request-id")
    return clean_text(str(found), 100) if found else None


def error_from_exception(
    exception: Exception,
    *,
    service: str,
    doing: str,
    secrets: tuple[str, ...] = (),
    outside: BaseException | None = None,
) -> CloudError | None:
    """Return our error for an exception of openstacksdk, keystoneauth or requests; None for any other.

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
        return CloudServiceMissingError(f"{start}the cloud has no {service} service in this region. {said}")
    if isinstance(exception, sdk.ConfigException | ksa.MissingRequiredOptions | ksa.NoMatchingPlugin):
        return InvalidCloudRequestError(f"{start}{said}")
    if isinstance(exception, ksa.AuthorizationFailure | ksa.AuthPluginException):
        return CloudAuthenticationError(f"{start}{said}")
    theirs = isinstance(exception, ksa.ClientException | sdk.SDKException | requests.RequestException)
    if not theirs and not isinstance(exception, _LEFT_BARE):
        return None
    trouble = describe_connection_error(exception, outside=outside)
    if trouble is not None:
        kind, words = trouble
        return kind(start + _scrub(words, secrets))
    if isinstance(exception, ksa.InvalidResponse):
        said = "what is at that address does not answer as OpenStack does; is it the right address?"
    elif not theirs:
        said = f"{said} ({type(exception).__name__})"
    return CloudUnavailableError(f"{start}{service} gave no usable answer: {said}")


def _error_from_http(exception: Any, *, service: str, doing: str, secrets: tuple[str, ...]) -> CloudError:
    """Return the error for an answer that a library read before us: while logging in, or looking for the service."""
    status = getattr(exception, "http_status", None) or getattr(exception, "status_code", None)
    request_id = getattr(exception, "request_id", None)
    if status == 404:
        # Never about an object: answers about those are read by us.
        return InvalidCloudRequestError(
            f"Could not {doing}: {service}: the authentication address or the endpoint leads nowhere (404).",
            status_code=404,
            request_id=request_id,
        )
    response = getattr(exception, "response", None)
    if response is not None:
        # Logging in is part of the first request to any service; a refusal of it is Keystone's word, not the service's.
        if str(getattr(response, "url", "")).endswith("/auth/tokens"):
            service = "identity"
        return error_from_response(response, service=service, doing=doing, secrets=secrets)
    message = f"Could not {doing}: {_scrub(str(exception), secrets)}"
    kind = CloudAuthenticationError if status == 401 else CloudUnavailableError
    return kind(message, status_code=status, request_id=request_id)


def state_conflict(refused: InvalidCloudRequestError) -> InvalidCloudRequestError | CloudConflictError:
    """Return a `CloudConflictError` for the cloud's 400 to a request of validated ids alone: it can only mean a state.

    A refusal of ours, which never left, stays what it is.
    """
    if refused.status_code != 400:
        return refused
    return CloudConflictError(refused.message, status_code=400, request_id=refused.request_id)


def malformed_answer(what: str) -> CloudUnavailableError:
    """Return the error for an answer that arrived and is malformed."""
    return CloudUnavailableError(f"The cloud's answer makes no sense: {what}.")


def _is_quota_refusal(body: Any) -> bool:
    """Return whether a refusal is about a quota, by its message.

    Nova answers 403 `forbidden` with words only ("Quota exceeded for instances: ...", "Maximum number of ports
    exceeded"), as it does for policy ("Policy doesn't allow ...").
    """
    words = _extract_message(body).lower()
    return "quota" in words or (words.startswith("maximum number of") and "exceed" in words)


def _neutron_type(body: Any) -> Any:
    neutron = body.get("NeutronError") if isinstance(body, dict) else None
    return neutron.get("type") if isinstance(neutron, dict) else None


def _is_from_service(service: str, body: Any) -> bool:
    """Return whether a 404 has the shape that the service gives it. Glance answers with HTML, so any answer of it counts."""
    if service == "image":
        return True
    if not isinstance(body, dict):
        return False
    return any(isinstance(body.get(key), dict) for key in ("itemNotFound", "NeutronError", "error"))


def _json_or_none(response: Any) -> Any:
    try:
        return decode_json(response.content)
    except (ValueError, RecursionError):
        return None


def _extract_message(body: Any) -> str:
    """Return the cloud's message: every OpenStack service wraps `message` in an object of its own."""
    if not isinstance(body, dict):
        return ""
    if isinstance(body.get("message"), str):
        return str(body["message"])
    for value in body.values():
        if isinstance(value, dict) and isinstance(value.get("message"), str):
            return str(value["message"])
    return ""


def _extract_details(body: Any) -> str:
    for value in body.values() if isinstance(body, dict) else ():
        if isinstance(value, dict) and isinstance(value.get("details"), str):
            return str(value["details"])
    return ""


def _scrub(text: str, secrets: tuple[str, ...]) -> str:
    for secret in secrets:
        text = text.replace(secret, "***")
    # A cloud's own words may hold anything; what shows them to people, or keeps them, takes text alone.
    return _TOKEN.sub("***", clean_text(text))[:_MAX_WORDS]


def seconds_to_wait(retry_after: str | None, date: str | None = None) -> float | None:
    """Return `Retry-After` in seconds, at most `MAX_RETRY_AFTER_SECONDS`, or None for none that makes sense.

    A date is read by the answer's own `Date` if there is one: the cloud's clock need not be ours.
    """
    said = (retry_after or "").strip()
    if said.isascii() and said.isdigit():
        # Longer numbers than that are no time that anybody waits.
        return float(min(int(said[:10]), MAX_RETRY_AFTER_SECONDS))
    then = http_date(said)
    if then is None:
        return None
    now = http_date(date) or datetime.now(UTC)
    return min(max(0.0, (then - now).total_seconds()), MAX_RETRY_AFTER_SECONDS)


def http_date(said: str | None) -> datetime | None:
    """Return the time of an HTTP date, or None for an invalid one."""
    if not said or len(said) > 64:
        return None
    import email.utils  # noqa: PLC0415 - as slow to import as the rest of this package.

    try:
        found = email.utils.parsedate_to_datetime(said)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if not 1970 <= found.year <= 2200:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
