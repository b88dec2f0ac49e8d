"""Describe connection errors in plain words, from the exceptions of requests, urllib3 and Python.

The libraries wrap each other's exceptions, and their texts are for programmers ("HTTPSConnectionPool(...): Max retries
exceeded with url ... (Caused by ...)"). The cause is at the end of the chain, so the whole chain is searched.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from .errors import CloudError, CloudUnavailableError, InvalidCloudRequestError

_MAX_CHAIN_LENGTH = 30
# The libraries within OpenSSL that read files of certificates.
_CERTIFICATE_FILE_LIBRARIES = {"ASN1", "BIO", "PEM", "X509"}


def describe_connection_error(
    exception: BaseException, *, outside: BaseException | None = None
) -> tuple[type[CloudError], str] | None:
    """Return the class of our error and its message, or None when the chain holds no known error.

    `outside` is the exception that the caller was handling when the request began: the chain ends there.
    """
    chain = list(_chain(exception, outside))
    address = _find_address(chain)
    for describe in (
        _describe_certificate_error,
        _describe_name_error,
        _describe_timeout,
        _describe_broken_connection,
    ):
        found = describe(chain, address)
        if found is not None:
            return found
    return None


def _describe_certificate_error(
    chain: list[BaseException], address: str
) -> tuple[type[CloudError], str] | None:
    for error in chain:
        if isinstance(error, ssl.SSLCertVerificationError):
            why = str(error.verify_message).rstrip(".")
            return CloudUnavailableError, f"the certificate of {address} is not trusted: {why}."
    for error in chain:
        if isinstance(error, ssl.SSLError):
            if error.library in _CERTIFICATE_FILE_LIBRARIES:
                return (
                    InvalidCloudRequestError,
                    "the file of trusted certificates (CA bundle) holds no valid PEM.",
                )
            why = (error.reason or type(error).__name__).lower().replace("_", " ")
            return (
                CloudUnavailableError,
                f"no secure connection to {address} could be made ({why}): does it speak HTTPS?",
            )
    return None


def _describe_name_error(chain: list[BaseException], address: str) -> tuple[type[CloudError], str] | None:
    import requests  # noqa: PLC0415 - slow to import.
    from urllib3.exceptions import LocationValueError, NameResolutionError  # noqa: PLC0415 - comes with requests.

    for error in chain:
        if isinstance(error, socket.gaierror | NameResolutionError):
            return CloudUnavailableError, f"the host name in {address} does not resolve."
        if isinstance(error, LocationValueError | requests.exceptions.InvalidURL):
            return InvalidCloudRequestError, "the address is invalid: it has no valid host name."
    return None


def _describe_timeout(chain: list[BaseException], address: str) -> tuple[type[CloudError], str] | None:
    import requests  # noqa: PLC0415 - slow to import.

    for error in chain:
        if isinstance(error, requests.ConnectTimeout):
            return CloudUnavailableError, f"{address} did not accept the connection in time."
        if isinstance(error, requests.Timeout):
            return CloudUnavailableError, f"{address} did not answer in time."
    return None


def _describe_broken_connection(
    chain: list[BaseException], address: str
) -> tuple[type[CloudError], str] | None:
    import requests  # noqa: PLC0415 - slow to import.
    from urllib3.exceptions import DecodeError, NewConnectionError  # noqa: PLC0415 - comes with requests.

    for error in chain:
        if isinstance(error, ConnectionRefusedError):
            return CloudUnavailableError, f"nothing listens at {address} (connection refused)."
        if isinstance(error, requests.exceptions.ChunkedEncodingError):
            return CloudUnavailableError, f"the answer of {address} broke off before its end."
        if isinstance(error, DecodeError):
            return CloudUnavailableError, f"the answer of {address} could not be decompressed."
        if isinstance(error, ConnectionResetError | BrokenPipeError | ConnectionAbortedError):
            return CloudUnavailableError, f"{address} closed the connection without an answer."
        if isinstance(error, HTTPException):
            return CloudUnavailableError, f"{address} does not speak HTTP."
        if isinstance(error, requests.TooManyRedirects):
            return CloudUnavailableError, f"{address} redirects in a loop."
    for error in chain:
        if isinstance(error, NewConnectionError):
            return CloudUnavailableError, f"no connection to {address} could be made."
    return None


def _chain(exception: BaseException, outside: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception and its origins, each once: causes, contexts, and what urllib3 stores in `reason` and `args`."""
    pending: list[Any] = [exception]
    seen: set[int] = {id(outside)}
    while pending and len(seen) < _MAX_CHAIN_LENGTH:
        error = pending.pop(0)
        if not isinstance(error, BaseException) or id(error) in seen:
            continue
        seen.add(id(error))
        yield error
        pending += [error.__cause__, error.__context__, getattr(error, "reason", None), *error.args]


def _find_address(chain: list[BaseException]) -> str:
    """Return scheme, host and port of the request; the rest, which may hold a password, is left out."""
    for error in chain:
        url = getattr(getattr(error, "request", None), "url", None)
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
