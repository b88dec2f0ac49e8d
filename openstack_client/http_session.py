"""The session of requests that sends every request: bounded pool and answers, fixed timeouts, few safe retries.

The environment is ignored (`trust_env`): proxies would resolve names around the rules, and the passwords of `.netrc`
belong to the user who runs the portal. Cookies are neither stored nor sent.
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

from .connection_rules import AnswerRefusedError, ConnectionRules, check_json_tokens, format_mebibytes
from .errors import CloudAddressRefusedError, CloudError, CloudUnavailableError, InvalidCloudRequestError
from .http_adapter import CloudAdapter

# Methods that change nothing may be sent again when the connection broke. A POST may have been carried out.
_SAFE_METHODS = frozenset({"GET", "HEAD"})
_SAFE_RETRIES = 1
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS = 3
_CHUNK_BYTES = 128 * 1024
_UNPRINTABLE = re.compile(r"[^\x21-\x7e]")
_MAX_SHOWN_LENGTH = 200
_PORTS = {"http": 80, "https": 443}


class HttpSession(requests.Session):
    """A session that calls `before` before each request, and sends safe requests once more when a connection broke.

    A request that timed out is not sent again: its caller has waited long enough. `timeout` is (connect, read) in seconds.
    `auth_url` is the address that a person entered, for error messages; `ca_bundle` is PEM text.
    `observe` is called after each request with its URL, its method, the status (None without an answer) and the seconds.
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
        observe: Callable[[str, str, int | None, float], object] = lambda *_request: None,
    ) -> None:
        super().__init__()
        self._observe = observe
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
        """Send a request as requests does, but always with the session's timeout and without redirects to other hosts.

        Returns an answer whose body is read. Raises `CloudAddressRefusedError`, `InvalidCloudRequestError` for a redirect, and
        `CloudUnavailableError` for an answer that exceeds the rules, besides the exceptions of requests.
        """
        kwargs |= {"timeout": self._timeout, "stream": True, "allow_redirects": False}
        if kwargs.get("verify", True) is True and not self._has_ca_bundle:
            # The only setting of the environment that is used: the trusted certificates.
            kwargs["verify"] = os.environ.get("REQUESTS_CA_BUNDLE") or True
        address = url.decode() if isinstance(url, bytes) else url
        for _ in range(_MAX_REDIRECTS + 1):
            self._check_url(address)
            response = self._send(method, address, *args, **kwargs)
            location = response.headers.get("location")
            if response.status_code not in _REDIRECTS or not location:
                return response
            address = self._resolve_redirect(method, response.url, location)
            # The new address has its own query.
            kwargs.pop("params", None)
        raise InvalidCloudRequestError(f"{extract_origin(address)} redirects in a loop.")

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Return None, so that requests does not read the body of a redirect without a bound."""

    def _send(self, method: str, url: str, *args: Any, **kwargs: Any) -> requests.Response:
        retries = _SAFE_RETRIES if method.upper() in _SAFE_METHODS else 0
        while True:
            self._before()
            began = time.monotonic()
            status: int | None = None
            try:
                response = super().request(method, url, *args, **kwargs)
                self._read(response)
                status = response.status_code
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
            except AnswerRefusedError as refused:
                answered = f"{method} {extract_origin(url)}{urlsplit(url).path}"
                error = CloudUnavailableError(
                    f"The answer to {answered} was not read to its end: it {refused}."
                )
                break
            else:
                return response
            finally:
                self._observe(url, method, status, time.monotonic() - began)
            retries -= 1
            time.sleep(self._retry_delay)
        # Raised outside the `except` block: the original exceptions may hold a password and must not become the context.
        raise error

    def _read(self, response: requests.Response) -> None:
        """Read and decompress an answer's body within the rules. Raises `AnswerRefusedError`."""
        max_bytes = self._rules.answer_bytes
        chunks: list[bytes] = []
        size = 0
        try:
            for chunk in response.iter_content(_CHUNK_BYTES):
                size += len(chunk)
                if size > max_bytes:
                    raise AnswerRefusedError(f"sent more than {format_mebibytes(max_bytes)}")
                chunks.append(chunk)
            content = b"".join(chunks)
            check_json_tokens(content, self._rules.json_tokens)
        except BaseException:
            response.close()
            raise
        # `response.content` and `response.json()` use these attributes, which requests cannot set publicly.
        response._content = content  # noqa: SLF001
        response._content_consumed = True  # noqa: SLF001

    def _check_url(self, url: str) -> None:
        """Refuse a URL that is not HTTP, or has a user, as whom requests would log in. Raises `InvalidCloudRequestError`."""
        try:
            parts = urlsplit(url)
            has_user = parts.username is not None or parts.password is not None
        except ValueError:
            raise InvalidCloudRequestError(f"{self._describe_source(url)} an invalid address.") from None
        if parts.scheme.lower() not in _PORTS or has_user:
            why = "names a user" if has_user else "is neither http nor https"
            raise InvalidCloudRequestError(f"{self._describe_source(url)} an address that {why}.")

    def _resolve_redirect(self, method: str, url: str, location: str) -> str:
        """Return the target of a redirect within the same host. Raises `InvalidCloudRequestError` for any other.

        Services redirect to themselves ("/v2.1" to "/v2.1/"), and behind a TLS proxy often with http in the address; so
        only the path of a redirect is used. Another host would receive the token, or see the request.
        """
        old = urlsplit(url)
        where = "an invalid address"
        try:
            full = urljoin(url, location)
            new = urlsplit(full)
            where = extract_origin(full)
            is_same = new.hostname == old.hostname and _get_port(new, old) == _get_port(old, old)
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
        """Return the origin of an address for a message: the auth URL, or the cloud's catalog."""
        if extract_origin(url) == extract_origin(self._auth_url):
            return "The auth URL leads to"
        return f"The catalog of {extract_origin(self._auth_url)} leads to"


def extract_origin(url: str) -> str:
    """Return scheme, host and port of an address for messages; the rest, which may hold a password, is left out."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port is not None else ""
        host = parts.hostname or ""
    except ValueError:
        return "an invalid address"
    host = f"[{host}]" if ":" in host else host
    # The address may come from a cloud: NUL, which the database refuses, and terminal escapes are replaced.
    return _UNPRINTABLE.sub("?", f"{parts.scheme}://{host}{port}")[:_MAX_SHOWN_LENGTH]


def _get_port(parts: SplitResult, asked: SplitResult) -> int | None:
    """Return the port of an address; the default ports of http and https count as the requested one."""
    if parts.port is not None and parts.port != _PORTS.get(parts.scheme):
        return parts.port
    return _PORTS.get(asked.scheme)
