"""The requests session under everything: bounded pool and answers, timeouts that cannot be forgotten, few safe retries.

Nothing of the environment is used (`trust_env`): neither proxies, which would resolve names past the rules, nor `.netrc`,
whose passwords belong to whoever runs the portal. Cookies are neither kept nor sent.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import SplitResult, urljoin, urlsplit

import requests

from .connection_rules import AnswerRefused, ConnectionRules, check_json_tokens, format_mebibytes
from .errors import CloudAddressRefusedError, CloudError, CloudUnavailableError, InvalidCloudRequestError
from .http_adapter import CloudAdapter

# Changing nothing, these may be sent again when the connection broke. A POST may have been carried out: never.
_SAFE_METHODS = frozenset({"GET", "HEAD"})
_SAFE_RETRIES = 1
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 3
_CHUNK_BYTES = 128 * 1024
_NOT_SHOWN = re.compile(r"[^\x21-\x7e]")
_LONGEST_SHOWN = 200
_PORTS = {"http": 80, "https": 443}


class HttpSession(requests.Session):
    """A session that runs `before` ahead of each request, and sends safe ones once more when a connection broke.

    A timeout is not sent again: its caller has waited long enough. `timeout` is (connect, read) in seconds.
    `auth_url` is the address that a person entered, for the words of errors; `ca_bundle` is PEM text.
    """

    def __init__(
        self,
        *,
        timeout: tuple[float, float],
        before: Callable[[], object],
        pool_size: int,
        retry_delay: float,
        auth_url: str,
        rules: ConnectionRules,
        ca_bundle: str | None,
    ) -> None:
        super().__init__()
        self._timeout = timeout
        self._before = before
        self._retry_delay = retry_delay
        self._auth_url = auth_url
        self._rules = rules
        self._has_ca_bundle = bool(ca_bundle)
        self.trust_env = False
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
        if rules.proxy:
            self.proxies = {"http": rules.proxy, "https": rules.proxy}
        adapter = CloudAdapter(rules=rules, pool_size=pool_size, ca_bundle=ca_bundle)
        self.mount("http://", adapter)
        self.mount("https://", adapter)

    def request(self, method: str, url: str | bytes, *args: Any, **kwargs: Any) -> requests.Response:
        """As in requests, with our timeout and without redirects to elsewhere, whatever the caller says.

        Returns an answer that is read already. Raises `CloudAddressRefusedError`, `InvalidCloudRequestError` for a redirect, and
        `CloudUnavailableError` for an answer beyond the rules, beside what requests raises.
        """
        kwargs |= {"timeout": self._timeout, "stream": True, "allow_redirects": False}
        if kwargs.get("verify", True) is True and not self._has_ca_bundle:
            # The only setting of the environment that is honored: it says which certificates to trust.
            kwargs["verify"] = os.environ.get("REQUESTS_CA_BUNDLE") or True
        address = url.decode() if isinstance(url, bytes) else url
        for _ in range(_MOST_REDIRECTS + 1):
            self._check_url(address)
            response = self._send(method, address, *args, **kwargs)
            location = response.headers.get("location")
            if response.status_code not in _REDIRECTS or not location:
                return response
            address = self._redirect_address(method, response.url, location)
            # The new address has its own query.
            kwargs.pop("params", None)
        raise InvalidCloudRequestError(f"{extract_origin(address)} sends us round in a circle of redirects.")

    def get_redirect_target(self, resp: requests.Response) -> None:
        """See requests, which would read a redirect's body without a bound to look where it leads."""

    def _send(self, method: str, url: str, *args: Any, **kwargs: Any) -> requests.Response:
        retries = _SAFE_RETRIES if method.upper() in _SAFE_METHODS else 0
        while True:
            self._before()
            try:
                response = super().request(method, url, *args, **kwargs)
                self._read(response)
            except requests.Timeout:
                raise
            except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
                if retries <= 0:
                    raise
            except CloudAddressRefusedError as refused:
                error: CloudError = CloudAddressRefusedError(
                    f"{self._describe_source(url)} {extract_origin(url)}, where clouds are not allowed: {refused.message}."
                )
                break
            except AnswerRefused as refused:
                whose = f"{method} {extract_origin(url)}{urlsplit(url).path}"
                error = CloudUnavailableError(f"The answer to {whose} was not read to its end: it {refused}.")
                break
            else:
                return response
            retries -= 1
            time.sleep(self._retry_delay)
        # Raised out here, so that nothing in between, which may hold a password, hangs on to it.
        raise error

    def _read(self, response: requests.Response) -> None:
        """Read and unpack an answer's body, as far as the rules allow. Raises `AnswerRefused`."""
        most = self._rules.answer_bytes
        chunks: list[bytes] = []
        size = 0
        try:
            for chunk in response.iter_content(_CHUNK_BYTES):
                size += len(chunk)
                if size > most:
                    raise AnswerRefused(f"sent more than {format_mebibytes(most)}")
                chunks.append(chunk)
            content = b"".join(chunks)
            check_json_tokens(content, self._rules.json_tokens)
        except BaseException:
            response.close()
            raise
        # `response.content` and `response.json()` read these; requests has no public way to set them.
        response._content = content  # noqa: SLF001
        response._content_consumed = True  # noqa: SLF001

    def _check_url(self, url: str) -> None:
        """Raise `InvalidCloudRequestError` for a URL that is not HTTP, or that names a user, whom requests would log in as."""
        try:
            parts = urlsplit(url)
            has_user = parts.username is not None or parts.password is not None
        except ValueError:
            raise InvalidCloudRequestError(
                f"{self._describe_source(url)} an address that cannot be read."
            ) from None
        if parts.scheme.lower() not in _PORTS or has_user:
            why = "names a user" if has_user else "is neither http nor https"
            raise InvalidCloudRequestError(f"{self._describe_source(url)} an address that {why}.")

    def _redirect_address(self, method: str, url: str, location: str) -> str:
        """Return where a redirect leads, if it stays where the request was sent to. Raises `InvalidCloudRequestError`.

        Services redirect to themselves ("/v2.1" to "/v2.1/"), and behind a proxy that speaks TLS they often name http
        for it; so what is taken of a redirect is its path. Anywhere else would get the token, or see the request.
        """
        old = urlsplit(url)
        where = "an address that cannot be read"
        try:
            full = urljoin(url, location)
            new = urlsplit(full)
            where = extract_origin(full)
            is_same = new.hostname == old.hostname and _port_of(new, old) == _port_of(old, old)
        except ValueError:
            is_same = False
        if method.upper() in _SAFE_METHODS and is_same:
            target = new._replace(scheme=old.scheme, netloc=old.netloc, fragment="").geturl()
            if target != url:
                return target
        raise InvalidCloudRequestError(
            f"{extract_origin(url)} redirects {method} {old.path or '/'} to {where}, and redirects are not followed:"
            " they would carry credentials along. If that is the right address, enter it."
        )

    def _describe_source(self, url: str) -> str:
        """Return where an address came from: it was entered, or the cloud's catalog leads there."""
        if extract_origin(url) == extract_origin(self._auth_url):
            return "The auth URL leads to"
        return f"The catalog of {extract_origin(self._auth_url)} leads to"


def extract_origin(url: str) -> str:
    """Return scheme, host and port of an address, fit to be shown; the rest, which may hold a password, is left out."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port is not None else ""
        host = parts.hostname or ""
    except ValueError:
        return "an address that cannot be read"
    host = f"[{host}]" if ":" in host else host
    # A cloud may have written it: no NUL, which no database takes, and no escapes for terminals.
    return _NOT_SHOWN.sub("?", f"{parts.scheme}://{host}{port}")[:_LONGEST_SHOWN]


def _port_of(parts: SplitResult, asked: SplitResult) -> int | None:
    """Return the port of an address; the default ports of http and https count as the requested one."""
    if parts.port is not None and parts.port != _PORTS.get(parts.scheme):
        return parts.port
    return _PORTS.get(asked.scheme)
