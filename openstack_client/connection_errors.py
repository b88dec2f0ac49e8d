"""Describe in plain words why no usable answer came, from the exceptions of requests, urllib3 and Python.

The libraries wrap each other's exceptions, and their texts are for programmers ("HTTPSConnectionPool(...): Max retries
exceeded with url ... (Caused by ...)"). The cause is at the bottom of the chain, so all of it is searched.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from .errors import CloudError, CloudUnavailableError, InvalidCloudRequestError

_MOST_LINKS = 30
# OpenSSL's names of those of its parts that read files of certificates.
_READERS_OF_FILES = {"ASN1", "BIO", "PEM", "X509"}


def describe_connection_error(
    exception: BaseException, *, outside: BaseException | None = None
) -> tuple[type[CloudError], str] | None:
    """Return the class of our error and its message, or None when the chain holds nothing that we know.

    `outside` is what the caller was handling already when the request began: the end of the chain, and none of its matter.
    """
    chain = list(_chain(exception, outside))
    where = _find_address(chain)
    for words in (
        _describe_certificate_error,
        _describe_name_error,
        _describe_timeout,
        _describe_broken_connection,
    ):
        found = words(chain, where)
        if found is not None:
            return found
    return None


def _describe_certificate_error(
    chain: list[BaseException], where: str
) -> tuple[type[CloudError], str] | None:
    for one in chain:
        if isinstance(one, ssl.SSLCertVerificationError):
            why = str(one.verify_message).rstrip(".")
            return CloudUnavailableError, f"the certificate of {where} is not trusted: {why}."
    for one in chain:
        if isinstance(one, ssl.SSLError):
            if one.library in _READERS_OF_FILES:
                return (
                    InvalidCloudRequestError,
                    "the file of trusted certificates (CA bundle) holds no valid PEM.",
                )
            why = (one.reason or type(one).__name__).lower().replace("_", " ")
            return (
                CloudUnavailableError,
                f"no secure connection to {where} came about ({why}): does it speak https?",
            )
    return None


def _describe_name_error(chain: list[BaseException], where: str) -> tuple[type[CloudError], str] | None:
    import requests  # noqa: PLC0415 - slow to import.
    from urllib3.exceptions import LocationValueError, NameResolutionError  # noqa: PLC0415 - comes with requests.

    for one in chain:
        if isinstance(one, socket.gaierror | NameResolutionError):
            return CloudUnavailableError, f"the name in {where} is not known (it does not resolve)."
        if isinstance(one, LocationValueError | requests.exceptions.InvalidURL):
            return InvalidCloudRequestError, "the address is not valid: it names no host that can be."
    return None


def _describe_timeout(chain: list[BaseException], where: str) -> tuple[type[CloudError], str] | None:
    import requests  # noqa: PLC0415 - slow to import.

    for one in chain:
        if isinstance(one, requests.ConnectTimeout):
            return CloudUnavailableError, f"{where} did not take the connection in time."
        if isinstance(one, requests.Timeout):
            return CloudUnavailableError, f"{where} did not answer in time."
    return None


def _describe_broken_connection(
    chain: list[BaseException], where: str
) -> tuple[type[CloudError], str] | None:
    import requests  # noqa: PLC0415 - slow to import.
    from urllib3.exceptions import DecodeError, NewConnectionError  # noqa: PLC0415 - comes with requests.

    for one in chain:
        if isinstance(one, ConnectionRefusedError):
            return CloudUnavailableError, f"nothing listens at {where} (connection refused)."
        if isinstance(one, requests.exceptions.ChunkedEncodingError):
            return CloudUnavailableError, f"the answer of {where} broke off before its end."
        if isinstance(one, DecodeError):
            return CloudUnavailableError, f"the answer of {where} came damaged."
        if isinstance(one, ConnectionResetError | BrokenPipeError | ConnectionAbortedError):
            return CloudUnavailableError, f"{where} closed the connection without an answer."
        if isinstance(one, HTTPException):
            return CloudUnavailableError, f"{where} does not speak HTTP."
        if isinstance(one, requests.TooManyRedirects):
            return CloudUnavailableError, f"{where} sends us round in a circle of redirects."
    for one in chain:
        if isinstance(one, NewConnectionError):
            return CloudUnavailableError, f"no connection to {where} came about."
    return None


def _chain(exception: BaseException, outside: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception and all that led to it, each once: causes, contexts, and what urllib3 keeps in `reason` and `args`."""
    todo: list[Any] = [exception]
    seen: set[int] = {id(outside)}
    while todo and len(seen) < _MOST_LINKS:
        one = todo.pop(0)
        if not isinstance(one, BaseException) or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        todo += [one.__cause__, one.__context__, getattr(one, "reason", None), *one.args]


def _find_address(chain: list[BaseException]) -> str:
    """Return scheme, host and port of the request; the rest, which may hold a password, is left out."""
    for one in chain:
        url = getattr(getattr(one, "request", None), "url", None)
        if not isinstance(url, str):
            continue
        try:
            parts = urlsplit(url)
            port = f":{parts.port}" if parts.port else ""
        except ValueError:
            break
        if parts.hostname:
            host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
            return f"{parts.scheme}://{host}{port}"
    return "the cloud"
