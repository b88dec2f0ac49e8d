"""Requests to providers: to checked addresses, within a time, with answers of limited size, without redirects."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from security.connections import AddressRefusedError
from security.http_requests import InvalidUrlError, parse_url, send_request
from security.policies import provider_policy

from ..providers import OidcProvider
from ..waiting import Deadline, ProviderAnswerError, ProviderAwayError

MAX_ANSWER_BYTES = 1024 * 1024


def fetch_json(
    provider: OidcProvider,
    url: str,
    deadline: Deadline,
    *,
    form: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    error_status: int = 0,
) -> dict[str, Any]:
    """Send a GET, or a POST with a form, and return the JSON object of the answer.

    Raises `ProviderAwayError` (also for a status of 500 and more), and `ProviderAnswerError` for any other answer than 200 with
    an object. An answer with `error_status` is returned as well: token endpoints explain refusals in it.
    """
    status, body = _send(provider, url, deadline, form, dict(headers or {}))
    if status >= 500:
        # An error that one request may cause must not close the provider to others.
        raise ProviderAwayError(provider, f"{url} answered {status}", is_unreachable=False)
    if status not in {200, error_status}:
        raise ProviderAnswerError(provider, f"{url} answered {status}")
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        raise ProviderAnswerError(provider, f"{url} answered no JSON") from None
    if not isinstance(answer, dict):
        raise ProviderAnswerError(provider, f"{url} answered no JSON object")
    return answer


def _send(
    provider: OidcProvider,
    url: str,
    deadline: Deadline,
    form: Mapping[str, str] | None,
    headers: dict[str, str],
) -> tuple[int, bytes]:
    _check_url(provider, url)
    remaining = deadline.remaining()
    if not remaining:
        raise ProviderAwayError(provider, "the time of the sign-in is over")
    headers |= {"Accept": "application/json", "User-Agent": "portal"}
    if form is not None:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    try:
        answer = send_request(
            url,
            policy=provider_policy(),
            seconds=remaining,
            max_bytes=MAX_ANSWER_BYTES + 1,
            body=None if form is None else urlencode(form).encode(),
            headers=headers,
            ca_file=provider.ca_file or None,
        )
    except AddressRefusedError as refused:
        raise ProviderAnswerError(provider, f"{url}: {refused}") from None
    except (OSError, http.client.HTTPException) as error:
        raise ProviderAwayError(provider, f"{url}: {error!r}") from None
    if len(answer.body) > MAX_ANSWER_BYTES:
        raise ProviderAnswerError(provider, f"{url} answered more than {MAX_ANSWER_BYTES} bytes")
    return answer.status, answer.body


def _check_url(provider: OidcProvider, url: str) -> None:
    """Check a URL that the provider's configuration named. It must be as protected as the issuer's."""
    schemes = {"https"} if provider.issuer.startswith("https:") else {"https", "http"}
    try:
        is_allowed = parse_url(url).secure or "http" in schemes
    except InvalidUrlError:
        is_allowed = False
    if not is_allowed:
        raise ProviderAnswerError(provider, f"'{url[:200]}' is no {' or '.join(sorted(schemes))} URL")
