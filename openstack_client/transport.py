"""Requests to a cloud: one session, one guard, timeouts, and the translation of errors."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Protocol

from .catalog import check_service
from .clock import CloudClock
from .connection_rules import ConnectionRules
from .credentials import CloudCredentials
from .decoding import decode_json
from .errors import CloudUnavailableError
from .tokens import correct_tokens_at_login
from .translation import error_from_exception, error_from_response, malformed_answer

# A small Neutron starves when clients keep many connections open (with 100 it answered no requests), so few are kept.
_POOL_SIZE = 10
_RETRY_DELAY_SECONDS = 0.15
# A token is not shared in its last minute: it may expire before another process uses it.
_TOKEN_MARGIN_SECONDS = 60.0

# The names that openstacksdk gives the services' proxies.
_PROXIES = {"compute": "compute", "block-storage": "block_storage", "network": "network", "image": "image"}

Guard = Callable[[], object]
# Called after each HTTP request: the service, the method, the status (None without an answer) and the seconds.
Observer = Callable[[str, str, int | None, float], object]
# The service that this thread calls, for the observer.
_service: ContextVar[str] = ContextVar("service", default="identity")
_last_request_id: ContextVar[str] = ContextVar("last_request_id", default="")


class TokenCache(Protocol):
    """A cache that shares tokens between processes. Neither method may raise; an unavailable cache only costs a login."""

    def get(self, key: str) -> str | None:
        """Return the value under the key, or None."""

    def set(self, key: str, value: str, seconds: float) -> None:
        """Store a value for a number of seconds."""


class Transport:
    """The JSON requests of one account in one region. The first request logs in. Thread-safe."""

    def __init__(
        self,
        credentials: CloudCredentials,
        *,
        region: str | None,
        interface: str,
        guard: Guard | None,
        connect_timeout: float,
        read_timeout: float,
        token_cache: TokenCache | None,
        rules: ConnectionRules,
        observer: Observer | None = None,
    ) -> None:
        self._rules = rules
        self._observer = observer
        self._credentials = credentials
        self.region = region
        self.interface = interface
        self.clock = CloudClock()
        self._guard = guard
        self._timeout = (connect_timeout, read_timeout)
        self._token_cache = token_cache
        self._lock = threading.RLock()
        self._closed = False
        self._connection: Any = None
        self._http: Any = None
        self._proxies: dict[str, Any] = {}
        # For each service the token whose catalog has it; the next token may have another catalog.
        self._found_in: dict[str, Any] = {}
        self._owner_pid = 0
        self._shared_access: Any = None
        self._cache_key: str | None = None

    def request(
        self,
        service: str,
        method: str,
        path: str,
        *,
        doing: str,
        json: Any = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        microversion: str | None = None,
        secrets: tuple[str, ...] = (),
    ) -> Any:
        """Send one request and return the JSON of its answer, or None when the answer has no body.

        Raises a `CloudError`, or whatever the guard raises. `doing` completes "Could not ...". `secrets` are the texts of the
        body that no error may show: services repeat what they refuse.
        """
        response = self._run(
            service,
            doing,
            lambda: self._send(
                service,
                path,
                method,
                json=json,
                params=params,
                headers=dict(headers or {}),
                microversion=microversion,
                raise_exc=False,
                # keystoneauth writes bodies to its debug log, and the answer to a create holds a password.
                log=method == "GET",
            ),
        )
        self.clock.record_date(service, response.headers)
        if method != "GET":
            _last_request_id.set(response.headers.get("x-openstack-request-id") or "")
        if not 200 <= response.status_code < 300:
            raise error_from_response(
                response,
                service=service,
                doing=doing,
                secrets=self._credentials.secrets(),
                request_secrets=secrets,
            )
        if not response.content:
            return None
        try:
            return decode_json(response.content)
        except RecursionError:
            content = "JSON that is nested too deeply"
        except ValueError:
            content = "something else than JSON"
        raise malformed_answer(f"{service} answered {response.status_code} to {method} {path} with {content}")

    def get_access(self) -> Any:
        """Return keystoneauth's representation of the token, with project and catalog. Logs in if necessary."""

        def log_in() -> Any:
            session = self._get_connection().session
            return session.auth.get_access(session)

        return self._run("identity", "log in", log_in)

    @property
    def project_id(self) -> str:
        """The id of the project that the credentials are for. Logs in if necessary."""
        return str(self.get_access().project_id)

    def close(self) -> None:
        """Close every connection. Requests after that raise `CloudUnavailableError`."""
        with self._lock:
            self._closed = True
            self._close_connection()

    def _run(self, service: str, doing: str, work: Callable[[], Any]) -> Any:
        self.check_guard()
        if self._closed:
            raise CloudUnavailableError(
                f"Could not {doing}: this connection was closed, most likely because the credentials have changed."
            )
        problem: Exception
        outside = sys.exception()
        token = _service.set(service)
        try:
            result = work()
        except Exception as exception:  # noqa: BLE001 - each library raises its own exceptions; translated below.
            if isinstance(exception, _GuardRefusedError):
                problem = exception.refusal
            else:
                ours = error_from_exception(
                    exception,
                    service=service,
                    doing=doing,
                    secrets=self._credentials.secrets(),
                    outside=outside,
                )
                problem = exception if ours is None else ours
        else:
            self._share_token()
            return result
        finally:
            _service.reset(token)
        # Raised outside the `except` block: the original exception holds the request, perhaps with the password, and must
        # not become the context.
        raise problem

    def _send(self, service: str, path: str, method: str, **kwargs: Any) -> Any:
        from keystoneauth1.adapter import Adapter  # noqa: PLC0415 - slow to import.

        # The proxy's own `request` adds statistics and cache keys, which are not used and cost more than the rest of the
        # call; this is keystoneauth's method that it calls in the end.
        # The proxy has a semaphore for a rate that is not limited here. It makes each request wait until the time of day at
        # which the proxy was made: after the clock was set back by an hour, every request would wait an hour.
        return Adapter.request(self._get_proxy(service), path, method, rate_semaphore=nullcontext(), **kwargs)

    def _get_proxy(self, service: str) -> Any:
        """Return openstacksdk's proxy for a service. Its first use requests the service's versions."""
        connection = self._get_connection()
        self._require_service(connection.session, service)
        proxy = self._proxies.get(service)
        if proxy is None:
            with self._lock:
                proxy = getattr(connection, _PROXIES[service])
                self._proxies[service] = proxy
        return proxy

    def _require_service(self, session: Any, service: str) -> None:
        """Require a service in the catalog. Raises `CloudServiceMissingError`, where openstacksdk raises various errors, even a plain `ValueError`."""
        known = session.auth.auth_ref
        if known is not None and self._found_in.get(service) is known:
            return
        access = session.auth.get_access(session)
        check_service(access, service, self.region, self.interface)
        self._found_in[service] = access

    def _get_connection(self) -> Any:
        # A forked worker must not share its parent's sockets: two processes would read each other's answers.
        if self._connection is not None and self._owner_pid == os.getpid():
            return self._connection
        with self._lock:
            if self._connection is None or self._owner_pid != os.getpid():
                self._connect()
            return self._connection

    def _connect(self) -> None:
        from keystoneauth1.session import Session  # noqa: PLC0415 - slow to import; see the package's docstring.
        from openstack.connection import Connection  # noqa: PLC0415

        from .http_session import HttpSession  # noqa: PLC0415

        self._credentials.check()
        auth = self._credentials.build_auth_plugin()
        correct_tokens_at_login(auth, self.clock)
        self._http = HttpSession(
            timeout=self._timeout,
            before=self._check_guard,
            pool_size=_POOL_SIZE,
            retry_delay=_RETRY_DELAY_SECONDS,
            auth_url=self._credentials.auth_url,
            rules=self._rules,
            ca_bundle=self._credentials.ca_bundle,
            observe=self._observe,
        )
        # The HTTP session handles redirects; keystoneauth would send the token to any address.
        session = Session(auth=auth, session=self._http, redirect=False)
        self._proxies = {}
        self._shared_access = None
        self._load_token(auth)
        self._connection = Connection(session=session, region_name=self.region, interface=self.interface)
        self._owner_pid = os.getpid()

    def _observe(self, url: str, method: str, status: int | None, seconds: float) -> None:
        """Report a request to the observer. Requests below the auth URL are those of identity, whoever caused them."""
        if self._observer is not None:
            is_login = url.startswith(self._credentials.auth_url.rstrip("/"))
            self._observer("identity" if is_login else _service.get(), method, status, seconds)

    def check_guard(self) -> None:
        """Raise what the guard raises, if it refuses the calling thread."""
        if self._guard is not None:
            self._guard()

    def _check_guard(self) -> None:
        if self._guard is None:
            return
        try:
            self._guard()
        except Exception as refusal:  # noqa: BLE001 - a guard may raise anything.
            # Wrapped so that no library in between takes the guard's exception for one of its own and retries.
            raise _GuardRefusedError(refusal) from None

    def _close_connection(self) -> None:
        if self._connection is not None and self._owner_pid == os.getpid():
            self._connection.close()
            self._http.close()
        self._connection = None
        self._http = None
        self._proxies = {}

    def _get_cache_key(self) -> str:
        if self._cache_key is None:
            self._cache_key = self._credentials.fingerprint()
        return self._cache_key

    def _load_token(self, auth: Any) -> None:
        if self._token_cache is None:
            return
        state = self._token_cache.get(self._get_cache_key())
        if not state:
            return
        try:
            auth.set_auth_state(state)
        except (ValueError, KeyError, TypeError):
            # The cached value is invalid, or of another version: log in as if the cache were empty.
            auth.invalidate()
        else:
            self._shared_access = auth.auth_ref

    def _share_token(self) -> None:
        """Share a new token with the other processes. Does nothing for one that is shared already."""
        if self._token_cache is None or self._connection is None:
            return
        auth = self._connection.session.auth
        access = auth.auth_ref
        if access is None or access is self._shared_access:
            return
        self._shared_access = access
        left = (access.expires - datetime.now(UTC)).total_seconds() - _TOKEN_MARGIN_SECONDS
        if left > 0:
            self._token_cache.set(self._get_cache_key(), auth.get_auth_state(), left)


def last_request_id() -> str:
    """Return the cloud's id of the last change that this thread has requested, or "". The cloud logs it."""
    return _last_request_id.get()


class _GuardRefusedError(Exception):
    def __init__(self, refusal: Exception) -> None:
        super().__init__("refused by the guard")
        self.refusal = refusal
