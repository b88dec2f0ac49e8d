"""Connections to a cloud by urllib3, with bounded answers, and only to addresses that the rules allow.

The timeouts of HTTP libraries are for each read, so a server that sends a byte now and then would hold a worker for ever;
and they bound neither headers nor bodies. Both are bounded here, at the socket.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import socket
import time
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter
from requests.utils import select_proxy
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from .connection_rules import AnswerRefusedError, ConnectionRules, format_mebibytes


class CloudAdapter(HTTPAdapter):
    """The adapter of one account: a bounded pool of connections that enforce its rules. Thread-safe, like the pools.

    `ca_bundle` holds certificates in PEM form that are trusted instead of the machine's own authorities.
    """

    def __init__(self, *, rules: ConnectionRules, pool_size: int, ca_bundle: str | None) -> None:
        self._rules = rules
        # Between certificates there may be comments in any language; Python's ssl refuses characters outside ASCII.
        self._ca_bundle = ca_bundle.encode("ascii", "replace").decode() if ca_bundle else None
        super().__init__(pool_connections=pool_size, pool_maxsize=pool_size, pool_block=True)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """See `HTTPAdapter`."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _build_pool_classes(self._rules)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """See `HTTPAdapter`. The operator chose the proxy, so its address is not checked."""
        manager = super().proxy_manager_for(proxy, **kwargs)
        manager.pool_classes_by_scheme = _build_pool_classes(replace(self._rules, connect=None))
        return manager

    def send(self, request: PreparedRequest, *args: Any, **kwargs: Any) -> Response:
        """See `HTTPAdapter`. Raises `CloudAddressRefusedError` too."""
        if self._rules.check is not None and select_proxy(request.url or "", kwargs.get("proxies")):
            parts = urlsplit(request.url or "")
            port = parts.port or (443 if parts.scheme == "https" else 80)
            # A name that does not resolve here can only be resolved, and refused, by the proxy.
            with contextlib.suppress(OSError):
                self._rules.check(parts.hostname or "", port)
        return super().send(request, *args, **kwargs)

    def build_connection_pool_key_attributes(
        self, request: PreparedRequest, verify: Any, cert: Any = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """See `HTTPAdapter`."""
        host, tls = super().build_connection_pool_key_attributes(request, verify, cert)
        if self._ca_bundle:
            tls["ca_cert_data"] = self._ca_bundle
        return host, tls

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """See `HTTPAdapter`, which would trust the machine's authorities beside the account's."""
        if self._ca_bundle:
            conn.cert_reqs = "CERT_REQUIRED"
        else:
            super().cert_verify(conn, url, verify, cert)


class _AnswerReader(io.RawIOBase):
    """A raw stream of the answer to one request. Raises `AnswerRefusedError` when it is too large or takes too long."""

    def __init__(self, connection: socket.socket, rules: ConnectionRules) -> None:
        super().__init__()
        self._socket = connection
        self._raw = connection.makefile("rb", buffering=0)
        self._seconds = rules.answer_seconds
        self._deadline = time.monotonic() + rules.answer_seconds
        self._bytes_read = 0
        self.max_bytes = rules.header_bytes
        self.part = "headers of "

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise self._build_timeout_error()
        timeout = self._socket.gettimeout()
        is_last_wait = timeout is None or timeout > left
        if is_last_wait:
            self._socket.settimeout(left)
        try:
            count = self._raw.readinto(buffer)
        except TimeoutError:
            if is_last_wait:
                raise self._build_timeout_error() from None
            raise
        self._bytes_read += count or 0
        if self._bytes_read > self.max_bytes:
            raise AnswerRefusedError(f"sent {self.part}more than {format_mebibytes(self.max_bytes)}")
        return int(count) if count is not None else None

    def close(self) -> None:
        self._raw.close()
        super().close()

    def _build_timeout_error(self) -> AnswerRefusedError:
        return AnswerRefusedError(f"took longer than {self._seconds:g} seconds")


def _build_pool_classes(rules: ConnectionRules) -> dict[str, Any]:
    return {"http": partial(_Pool, rules=rules), "https": partial(_SecurePool, rules=rules)}


class _Connection(HTTPConnection):
    """A connection that enforces the rules of its pool."""

    rules: ConnectionRules

    def _new_conn(self) -> socket.socket:
        if self.rules.connect is None:
            return super()._new_conn()
        # urllib3's own exceptions, by which requests tells which errors may be retried.
        try:
            return self.rules.connect(self._dns_host, self.port or self.default_port, self.timeout)
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        except TimeoutError as error:
            raise ConnectTimeoutError(self, f"Connection to {self.host} timed out.") from error
        except OSError as error:
            raise NewConnectionError(self, f"No connection: {error}") from error


class _SecureConnection(_Connection, HTTPSConnection):
    pass


class _Answer(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, rules: ConnectionRules, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp.close()
        self._rules = rules
        self._reader = _AnswerReader(sock, rules)
        self.fp = io.BufferedReader(self._reader)

    def begin(self) -> None:
        super().begin()
        self._reader.part = ""
        self._reader.max_bytes = self._rules.answer_bytes + self._rules.header_bytes


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection

    def __init__(self, *args: Any, rules: ConnectionRules, **kwargs: Any) -> None:
        self.rules = rules
        super().__init__(*args, **kwargs)

    def _new_conn(self) -> Any:
        connection: Any = super()._new_conn()
        connection.rules = self.rules
        connection.response_class = partial(_Answer, rules=self.rules)
        return connection


class _SecurePool(_Pool, HTTPSConnectionPool):
    ConnectionCls = _SecureConnection
