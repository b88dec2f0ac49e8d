"""Connections to a cloud, as urllib3 makes them: to where the rules allow, and with answers that end.

The time limits of HTTP libraries are for each read, so that a server which sends a byte now and then holds a worker for
ever; and they bound neither headers nor bodies. Both are bounded here, below everything that reads.
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

from .connection_rules import AnswerRefused, ConnectionRules, format_mebibytes


class CloudAdapter(HTTPAdapter):
    """The adapter of one account: a bounded pool of connections that keep to its rules. Thread-safe, as the pools are.

    `ca_bundle` are certificates in PEM form that are trusted instead of the machine's own authorities.
    """

    def __init__(self, *, rules: ConnectionRules, pool_size: int, ca_bundle: str | None) -> None:
        self._rules = rules
        # Between certificates there may be words in any language, of which Python's ssl takes none.
        self._ca_bundle = ca_bundle.encode("ascii", "replace").decode() if ca_bundle else None
        super().__init__(pool_connections=pool_size, pool_maxsize=pool_size, pool_block=True)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """See `HTTPAdapter`."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _pools(self._rules)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """See `HTTPAdapter`. The proxy is the operator's, so it is connected to wherever it is."""
        manager = super().proxy_manager_for(proxy, **kwargs)
        manager.pool_classes_by_scheme = _pools(replace(self._rules, connect=None))
        return manager

    def send(self, request: PreparedRequest, *args: Any, **kwargs: Any) -> Response:
        """See `HTTPAdapter`. Raises `CloudAddressRefusedError` too."""
        if self._rules.check is not None and select_proxy(request.url or "", kwargs.get("proxies")):
            parts = urlsplit(request.url or "")
            port = parts.port or (443 if parts.scheme == "https" else 80)
            # A name that is not known here: only the proxy can resolve it, and only the proxy can refuse it.
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
    """The answer to one request, read from a socket until it is too large or takes too long.

    Raises `AnswerRefused` then.
    """

    def __init__(self, connection: socket.socket, rules: ConnectionRules) -> None:
        super().__init__()
        self._socket = connection
        self._raw = connection.makefile("rb", buffering=0)
        self._seconds = rules.answer_seconds
        self._deadline = time.monotonic() + rules.answer_seconds
        self._taken = 0
        self.most_bytes = rules.header_bytes
        self.part = "headers of "

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise self._too_slow()
        timeout = self._socket.gettimeout()
        is_last_wait = timeout is None or timeout > left
        if is_last_wait:
            self._socket.settimeout(left)
        try:
            count = self._raw.readinto(buffer)
        except TimeoutError:
            if is_last_wait:
                raise self._too_slow() from None
            raise
        self._taken += count or 0
        if self._taken > self.most_bytes:
            raise AnswerRefused(f"sent {self.part}more than {format_mebibytes(self.most_bytes)}")
        return int(count) if count is not None else None

    def close(self) -> None:
        self._raw.close()
        super().close()

    def _too_slow(self) -> AnswerRefused:
        return AnswerRefused(f"took longer than {self._seconds:g} seconds")


def _pools(rules: ConnectionRules) -> dict[str, Any]:
    return {"http": partial(_Pool, rules=rules), "https": partial(_SecurePool, rules=rules)}


class _Connection(HTTPConnection):
    """A connection that keeps to the rules of its pool."""

    rules: ConnectionRules

    def _new_conn(self) -> socket.socket:
        if self.rules.connect is None:
            return super()._new_conn()
        # The exceptions of urllib3's own, which tell apart what may be sent again.
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
        self._reader.most_bytes = self._rules.answer_bytes + self._rules.header_bytes


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
