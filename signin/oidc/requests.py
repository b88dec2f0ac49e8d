"""Requests to providers: to checked addresses, within a time, with answers of limited size, without redirects."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import threading
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from security.connections import AddressRefusedError, open_checked
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
    connection = _connect(provider, url, deadline)
    try:
        parts = urlsplit(url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        headers |= {"Accept": "application/json", "Connection": "close", "User-Agent": "portal"}
        body = None
        if form is not None:
            body = urlencode(form).encode()
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        connection.request("GET" if body is None else "POST", target, body, headers)
        response = connection.getresponse()
        data = response.read(MAX_ANSWER_BYTES + 1)
    except (OSError, http.client.HTTPException) as error:
        raise ProviderAwayError(provider, f"{url}: {error!r}") from None
    finally:
        connection.close()
    if len(data) > MAX_ANSWER_BYTES:
        raise ProviderAnswerError(provider, f"{url} answered more than {MAX_ANSWER_BYTES} bytes")
    return response.status, data


class _BoundedConnection(http.client.HTTPConnection):
    """An HTTP connection over a socket that is shut down at a deadline.

    The timeout of a socket limits each read alone: a server that sends a byte now and then would hold the thread for ever.
    """

    def __init__(self, host: str, port: int, raw: socket.socket, deadline: Deadline) -> None:
        super().__init__(host, port)
        self._other_end = raw.dup()
        self._timer = threading.Timer(deadline.remaining(), self._abort)
        self._timer.daemon = True
        self._timer.start()
        self.sock = raw

    def _abort(self) -> None:
        try:
            self._other_end.shutdown(socket.SHUT_RDWR)
        except OSError:  # It has ended meanwhile.
            return

    def close(self) -> None:
        """Close the connection, and end its timer."""
        self._timer.cancel()
        self._other_end.close()
        super().close()


def _connect(provider: OidcProvider, url: str, deadline: Deadline) -> http.client.HTTPConnection:
    parts = _check_url(provider, url)
    host = str(parts.hostname)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    remaining = deadline.remaining()
    if not remaining:
        raise ProviderAwayError(provider, "the time of the sign-in is over")
    try:
        raw = open_checked(host, port, policy=provider_policy(), timeout=remaining)
    except AddressRefusedError as refused:
        raise ProviderAnswerError(provider, f"{url}: {refused}") from None
    except OSError as error:
        raise ProviderAwayError(provider, f"{url}: {error!r}") from None
    connection = _BoundedConnection(host, port, raw, deadline)
    if parts.scheme == "http":
        return connection
    try:
        context = ssl.create_default_context(cafile=provider.ca_file or None)
        connection.sock = context.wrap_socket(raw, server_hostname=host)
    except (OSError, ValueError) as error:
        connection.close()
        raise ProviderAwayError(provider, f"{url}: {error!r}") from None
    return connection


def _check_url(provider: OidcProvider, url: str) -> Any:
    """Return the parts of a URL that the provider's configuration named. It must be as protected as the issuer's."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    schemes = {"https"} if provider.issuer.startswith("https:") else {"https", "http"}
    is_ascii = url.isascii() and url.isprintable() and " " not in url
    if parts.scheme not in schemes or not parts.hostname or port == 0 or not is_ascii or parts.username:
        raise ProviderAnswerError(provider, f"'{url[:200]}' is no {' or '.join(sorted(schemes))} URL")
    return parts
