"""Translate answers, and exceptions of other libraries, to errors of this package.

The table lists the meaning of each status by service. "Again" is `CloudUnavailableError`: the result is unknown, and the
caller may retry; after a change it reads the cloud's present state first. All other errors are final.

| status | service | means | error |
|---|---|---|---|
| 300-399 | all | a proxy's page, a redirect that is not followed | again |
| 401 | identity | the credentials are wrong, disabled or expired | `CloudAuthenticationError` |
| 401 | others | keystoneauth has logged in anew, and the new token is refused: the service cannot ask Keystone | again |
| 403 | compute | "Quota exceeded ...", "Maximum number of ... exceeded" | `CloudQuotaExceededError` |
| 403 | all | policy, or a state (detaching the boot volume on old Novas) | `CloudForbiddenError` |
| 404 | all, in the service's own form | the object does not exist | `CloudNotFoundError` |
| 404 | all, in another form | a proxy's page, a wrong address | again |
| 408, 425, 429 | all | too slow, too early, too many requests | again, after `Retry-After` |
| 400, 404, 409, 412 | network, a type of `neutron_errors.py` | a quota, an address, a group in use ... | as that table says |
| 409 | network, type `RetryRequest` | two requests met in the database | again |
| 409 | all | the object's state | `CloudConflictError` |
| 412 | all | the object was changed since it was read (`If-Match`) | `CloudChangedError` |
| 413 | all, a message about a rate ("rate-limited", "Only 10 POST request(s) ...") | Nova before Liberty, Cinder: too many requests | again, after `Retry-After` |
| 413 | compute, `overLimit` with a `Retry-After` above 0 and no message about a quota | as above | again |
| 413 | block-storage, in JSON | `VolumeLimitExceeded` and its like, with `Retry-After: 0` | `CloudQuotaExceededError` |
| 413 | image | the storage quota | `CloudQuotaExceededError` |
| 413 | all, a message about a quota | a quota | `CloudQuotaExceededError` |
| 413 | others | the request is too large | `InvalidCloudRequestError` |
| 423 | all | locked | `CloudConflictError` |
| 400, 405, 406, 410, 411, 414-417, 422, 424, 426, 428, 431, 451 and the other 4xx | all | the request is wrong, or too old or new | `InvalidCloudRequestError` |
| 421 | all | misdirected request | again |
| 500 | all | a fault of the service: a real Nova answers up to 14 of 50 simultaneous stops with it, although some are done | again |
| 501 | all | the service or its driver cannot do it: a console of that type, an action of that hypervisor | `InvalidCloudRequestError` |
| 502, 503, 504 | all | the service, or one behind it, is down | again, after `Retry-After` |
| 505, 506, 510 | all | not supported | `InvalidCloudRequestError` |
| 507 | all | the storage is full; a retry fails until somebody frees space | `CloudQuotaExceededError` |
| 508, 509, 511-599 | all | errors of proxies | again |

The class is chosen by status and form. Messages are only read where OpenStack gives two errors the same status.
`Retry-After` is a number of seconds or a date, which is compared with the answer's own `Date`. Other values, and negative
ones, are ignored; values above `MAX_RETRY_AFTER_SECONDS` are reduced to it.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from .connection_errors import describe_connection_error
from .decoding import clean_text, decode_json
from .errors import (
    CloudAuthenticationError,
    CloudChangedError,
    CloudConflictError,
    CloudError,
    CloudForbiddenError,
    CloudNotFoundError,
    CloudQuotaExceededError,
    CloudServiceMissingError,
    CloudUnavailableError,
    InvalidCloudRequestError,
)
from .neutron_errors import NEUTRON_ERRORS, add_existing_id, get_neutron_type

_MAX_MESSAGE_LENGTH = 500
# A cloud may request an hour and be back in a second. People and locks wait, and a request in two minutes does no harm.
MAX_RETRY_AFTER_SECONDS = 120.0
# The messages of Nova's and Cinder's rate limits: "This request was rate-limited.", "Only 10 POST request(s) can be made to ...".
_RATE_LIMIT = re.compile(r"rate.?limit|too many requests|only \d+ \w+ request")
# Python's exceptions that the libraries do not wrap, for answers or addresses that they do not expect: JSON nested too
# deeply, a token without fields, a missing file. Not `Exception`: some exceptions stop the process or the task.
_UNWRAPPED_ERRORS = (
    ArithmeticError,
    AttributeError,
    LookupError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
)
# Fernet tokens, which a cloud or a proxy may echo in a message.
_TOKEN = re.compile(r"gAAAA[A-Za-z0-9_\-=]{20,}")


def error_from_response(
    response: Any,
    *,
    service: str,
    doing: str,
    secrets: tuple[str, ...] = (),
    request_secrets: tuple[str, ...] = (),
) -> CloudError:
    """Return the error for an answer with a status of 400 or more (or an unusual one below).

    `service` is OpenStack's type ("compute"), `doing` is the operation in words ("start server 1234"). `request_secrets` are
    the secret texts in the request's body.
    """
    status = int(response.status_code)
    body = _decode_body(response)
    reason = _extract_message(body) or str(response.reason or "")
    if request_secrets:
        reason = _cut_refused_value(reason)
    # A text of few characters is no secret worth hiding, and replacing it would leave nothing of the message.
    reason = _scrub(reason, secrets + tuple(secret for secret in request_secrets if len(secret) >= 4))
    request_id = _get_request_id(response)
    message = f"Could not {doing}: {service} answered {status}" + (f": {reason}" if reason else ".")
    retry_after = parse_retry_after(response.headers.get("retry-after"), response.headers.get("date"))
    kind = _choose_error_class(status, service, body, retry_after)
    if kind is CloudAuthenticationError:
        message = f"{message.rstrip('.')}. The cloud does not accept the credentials: they are wrong, disabled or expired."
    elif status == 401:
        message = f"{message.rstrip('.')}. It refuses a token that the cloud has just issued."
    elif status == 404 and kind is CloudUnavailableError:
        message += " (the answer is not from the service itself)"
    if kind is CloudUnavailableError:
        return CloudUnavailableError(
            message, status_code=status, request_id=request_id, retry_after=retry_after
        )
    return add_existing_id(kind(message, status_code=status, request_id=request_id))


def _choose_error_class(status: int, service: str, body: Any, retry_after: float | None) -> type[CloudError]:  # noqa: C901 - the module's table, line by line.
    """Return the class of the error for a status; see the module's table."""
    if service == "network" and status in {400, 404, 409, 412}:
        known = NEUTRON_ERRORS.get(get_neutron_type(body) or "")
        if known is not None:
            return known
    if status == 401:
        return CloudAuthenticationError if service == "identity" else CloudUnavailableError
    if status == 403:
        return CloudQuotaExceededError if _is_quota_refusal(body) else CloudForbiddenError
    if status == 404:
        return CloudNotFoundError if _is_from_service(service, body) else CloudUnavailableError
    if status == 409:
        return CloudConflictError
    if status == 412:
        return CloudChangedError
    if status == 413:
        return _choose_error_class_of_413(service, body, retry_after)
    if status in {408, 421, 425, 429}:
        return CloudUnavailableError
    if status == 423:
        return CloudConflictError
    if status in {501, 505, 506, 510}:
        return InvalidCloudRequestError
    if status == 507:
        return CloudQuotaExceededError
    return InvalidCloudRequestError if 400 <= status < 500 else CloudUnavailableError


def _choose_error_class_of_413(service: str, body: Any, retry_after: float | None) -> type[CloudError]:
    message = _extract_message(body).lower()
    if _RATE_LIMIT.search(message) or _RATE_LIMIT.search(_extract_details(body).lower()):
        return CloudUnavailableError
    # Cinder's own 413 is about a quota unless it is about a rate; a proxy's 413 is no JSON.
    if (
        service == "image"
        or _is_quota_refusal(body)
        or (service == "block-storage" and isinstance(body, dict))
    ):
        return CloudQuotaExceededError
    if isinstance(body, dict) and any(key.startswith("overLimit") for key in body):
        return CloudUnavailableError if service == "compute" and retry_after else CloudQuotaExceededError
    return InvalidCloudRequestError


def _get_request_id(response: Any) -> str | None:
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
    is the password when logging in. `outside` is the exception that the caller was handling when the request began.
    """
    import requests  # noqa: PLC0415 - slow to import.
    from keystoneauth1 import exceptions as ksa  # noqa: PLC0415
    from openstack import exceptions as sdk  # noqa: PLC0415

    if isinstance(exception, CloudError):
        return exception
    reason = _scrub(str(exception), secrets)
    start = f"Could not {doing}: "
    if isinstance(exception, ksa.HttpError | sdk.HttpException):
        return _error_from_http(exception, service=service, doing=doing, secrets=secrets)
    if isinstance(exception, ksa.EndpointNotFound | ksa.EmptyCatalog):
        return CloudServiceMissingError(f"{start}the cloud has no {service} service in this region. {reason}")
    if isinstance(exception, sdk.ConfigException | ksa.MissingRequiredOptions | ksa.NoMatchingPlugin):
        return InvalidCloudRequestError(f"{start}{reason}")
    if isinstance(exception, ksa.AuthorizationFailure | ksa.AuthPluginException):
        return CloudAuthenticationError(f"{start}{reason}")
    is_library_error = isinstance(
        exception, ksa.ClientException | sdk.SDKException | requests.RequestException
    )
    if not is_library_error and not isinstance(exception, _UNWRAPPED_ERRORS):
        return None
    connection_error = describe_connection_error(exception, outside=outside)
    if connection_error is not None:
        kind, description = connection_error
        return kind(start + _scrub(description, secrets))
    if isinstance(exception, ksa.InvalidResponse):
        reason = "the server at that address does not answer as OpenStack does; check the address."
    elif not is_library_error:
        reason = f"{reason} ({type(exception).__name__})"
    return CloudUnavailableError(f"{start}{service} gave no usable answer: {reason}")


def _error_from_http(exception: Any, *, service: str, doing: str, secrets: tuple[str, ...]) -> CloudError:
    """Return the error for an answer that a library has read: during the login, or the discovery of the service."""
    status = getattr(exception, "http_status", None) or getattr(exception, "status_code", None)
    request_id = getattr(exception, "request_id", None)
    if status == 404:
        # Never about an object: this package reads the answers to requests for objects.
        return InvalidCloudRequestError(
            f"Could not {doing}: {service}: there is no service at the authentication address or the endpoint (404).",
            status_code=404,
            request_id=request_id,
        )
    response = getattr(exception, "response", None)
    if response is not None:
        # The login is part of the first request to any service; Keystone, not the service, refuses it.
        if str(getattr(response, "url", "")).endswith("/auth/tokens"):
            service = "identity"
        return error_from_response(response, service=service, doing=doing, secrets=secrets)
    message = f"Could not {doing}: {_scrub(str(exception), secrets)}"
    kind = CloudAuthenticationError if status == 401 else CloudUnavailableError
    return kind(message, status_code=status, request_id=request_id)


def state_conflict(refused: InvalidCloudRequestError) -> InvalidCloudRequestError | CloudConflictError:
    """Return a `CloudConflictError` for the cloud's 400 to a request with only validated ids, which can only mean a state.

    Return the error of a request that was refused before it was sent unchanged.
    """
    if refused.status_code != 400:
        return refused
    return CloudConflictError(refused.message, status_code=400, request_id=refused.request_id)


def malformed_answer(what: str) -> CloudUnavailableError:
    """Return the error for a malformed answer."""
    return CloudUnavailableError(f"The cloud's answer is malformed: {what}.")


def _is_quota_refusal(body: Any) -> bool:
    """Return whether a refusal is about a quota, by its message.

    Nova answers 403 `forbidden` for a quota ("Quota exceeded for instances: ...", "Maximum number of ports exceeded") as
    for a policy ("Policy doesn't allow ..."); only the messages differ.
    """
    message = _extract_message(body).lower()
    return "quota" in message or (message.startswith("maximum number of") and "exceed" in message)


def _is_from_service(service: str, body: Any) -> bool:
    """Return whether a 404 has the service's own form. Glance answers with HTML, so any answer of it counts."""
    if service == "image":
        return True
    if not isinstance(body, dict):
        return False
    return any(isinstance(body.get(key), dict) for key in ("itemNotFound", "NeutronError", "error"))


def _decode_body(response: Any) -> Any:
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


def _cut_refused_value(message: str) -> str:
    """Return the message of a refusal without the refused value, which may hold a secret in any notation.

    Nova's schemas answer "Invalid input for field/attribute user_data. Value: <all of it>. <all of it> is too long".
    """
    kept, found, _value = message.partition(" Value: ")
    return kept if found else message


def _scrub(text: str, secrets: tuple[str, ...]) -> str:
    for secret in secrets:
        text = text.replace(secret, "***")
    # The cloud's message may hold control characters, which neither pages nor the database should get.
    return _TOKEN.sub("***", clean_text(text))[:_MAX_MESSAGE_LENGTH]


def parse_retry_after(retry_after: str | None, date: str | None = None) -> float | None:
    """Return `Retry-After` in seconds, at most `MAX_RETRY_AFTER_SECONDS`, or None for an invalid one.

    A date is compared with the answer's own `Date` if there is one, because the cloud's clock may differ from ours.
    """
    value = (retry_after or "").strip()
    if value.isascii() and value.isdigit():
        # Cut, because Python refuses to convert numbers of more than 4,300 digits.
        return float(min(int(value[:10]), MAX_RETRY_AFTER_SECONDS))
    then = parse_http_date(value)
    if then is None:
        return None
    now = parse_http_date(date) or datetime.now(UTC)
    return min(max(0.0, (then - now).total_seconds()), MAX_RETRY_AFTER_SECONDS)


def parse_http_date(value: str | None) -> datetime | None:
    """Return the time of an HTTP date, or None for an invalid one."""
    if not value or len(value) > 64:
        return None
    import email.utils  # noqa: PLC0415 - slow to import.

    try:
        found = email.utils.parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if not 1970 <= found.year <= 2200:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
