"""Send requests: one session, one guard, a timeout on everything, and one translation of errors."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Mapping
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

# A small Neutron starves when clients leave many connections open (at 100 it answered nobody), so few are kept.
_POOL_SIZE = 10
_RETRY_DELAY_SECONDS = 0.15
# A token is not shared in its last minute: by the time another process has read it, it may be gone.
_TOKEN_MARGIN_SECONDS = 60.0

# The names that openstacksdk gives the services' proxies.
_PROXIES = {"compute": "compute", "block-storage": "block_storage", "network": "network", "image": "image"}

Guard = Callable[[], object]
_last_request_id: ContextVar[str] = ContextVar("last_request_id", default="")


class TokenCache(Protocol):
    """A cache that shares tokens between processes. Neither call may raise; a cache that is down only costs a login."""

    def get(self, key: str) -> str | None:
        """Return the value under the key, or None."""

    def set(self, key: str, value: str, seconds: float) -> None:
        """Keep a value for that many seconds."""


class Transport:
    """The JSON requests of one account in one region. It logs in when first needed. Thread-safe."""

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
    ) -> None:
        self._rules = rules
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
        # The token in whose catalog a service was found. The next one may have another catalog.
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
        microversion: str | None = None,
    ) -> Any:
        """Send one request and return the JSON of its answer, or None when the answer has no body.

        Raises a `CloudError`, or whatever the guard raises. `doing` completes "Could not ...".
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
                microversion=microversion,
                raise_exc=False,
                # keystoneauth writes bodies to its debug log, and the answer to a create holds a password.
                log=method == "GET",
            ),
        )
        self.clock.note(service, response.headers)
        if method != "GET":
            _last_request_id.set(response.headers.get("x-openstack-request-id") or "")
        if not 200 <= response.status_code < 300:
            raise error_from_response(
                response, service=service, doing=doing, secrets=self._credentials.secrets()
            )
        if not response.content:
            return None
        try:
            return decode_json(response.content)
        except RecursionError:
            what = "with JSON that is nested too deeply"
        except ValueError:
            what = "with something else than JSON"
        raise malformed_answer(f"{service} answered {response.status_code} to {method} {path} {what}")

    def access(self) -> Any:
        """Log in, if that was not done yet, and return keystoneauth's view of the token: project and catalog."""

        def log_in() -> Any:
            session = self._get_connection().session
            return session.auth.get_access(session)

        return self._run("identity", "log in", log_in)

    @property
    def project_id(self) -> str:
        """The id of the project that the credentials are for. Logs in if necessary."""
        return str(self.access().project_id)

    def close(self) -> None:
        """Close every connection. Requests after that raise `CloudUnavailableError`."""
        with self._lock:
            self._closed = True
            self._drop()

    def _run(self, service: str, doing: str, work: Callable[[], Any]) -> Any:
        self.check_guard()
        if self._closed:
            raise CloudUnavailableError(
                f"Could not {doing}: this connection was closed, most likely for new credentials."
            )
        problem: Exception
        outside = sys.exception()
        try:
            result = work()
        except Exception as exception:  # noqa: BLE001 - every library in between raises its own; sorted just below.
            if isinstance(exception, _GuardRefused):
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
        # Raised out here, so that the original, which holds the request and with it perhaps the password, is not
        # kept as the new one's context.
        raise problem

    def _send(self, service: str, path: str, method: str, **kwargs: Any) -> Any:
        from keystoneauth1.adapter import Adapter  # noqa: PLC0415 - slow to import.

        # The proxy's own `request` adds statistics and cache keys, which we do not use and which cost more than the
        # rest of the call; this is the method of keystoneauth's that it ends in.
        return Adapter.request(self._proxy(service), path, method, **kwargs)

    def _proxy(self, service: str) -> Any:
        """Return openstacksdk's proxy for a service. Its first use asks the service for its versions."""
        connection = self._get_connection()
        self._need_in_catalog(connection.session, service)
        proxy = self._proxies.get(service)
        if proxy is None:
            with self._lock:
                proxy = getattr(connection, _PROXIES[service])
                self._proxies[service] = proxy
        return proxy

    def _need_in_catalog(self, session: Any, service: str) -> None:
        """Raise `CloudServiceMissingError` for a service that the catalog does not have. openstacksdk raises several errors for it, one of them a plain `ValueError`."""
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
        auth = self._credentials.auth_plugin()
        correct_tokens_at_login(auth, self.clock)
        self._http = HttpSession(
            timeout=self._timeout,
            before=self._check_guard,
            pool_size=_POOL_SIZE,
            retry_delay=_RETRY_DELAY_SECONDS,
            auth_url=self._credentials.auth_url,
            rules=self._rules,
            ca_bundle=self._credentials.ca_bundle,
        )
        # Redirects are judged by the HTTP session: followed here, they would carry the token anywhere.
        session = Session(auth=auth, session=self._http, redirect=False)
        self._proxies = {}
        self._shared_access = None
        self._load_token(auth)
        self._connection = Connection(session=session, region_name=self.region, interface=self.interface)
        self._owner_pid = os.getpid()

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
            raise _GuardRefused(refusal) from None

    def _drop(self) -> None:
        if self._connection is not None and self._owner_pid == os.getpid():
            self._connection.close()
            self._http.close()
        self._connection = None
        self._http = None
        self._proxies = {}

    def _key(self) -> str:
        if self._cache_key is None:
            self._cache_key = self._credentials.fingerprint()
        return self._cache_key

    def _load_token(self, auth: Any) -> None:
        if self._token_cache is None:
            return
        state = self._token_cache.get(self._key())
        if not state:
            return
        try:
            auth.set_auth_state(state)
        except (ValueError, KeyError, TypeError):
            # The cached token is not ours, or of another version: log in as if the cache were empty.
            auth.invalidate()
        else:
            self._shared_access = auth.auth_ref

    def _share_token(self) -> None:
        """Give a token that we have just got to the other processes. Does nothing for one that is shared already."""
        if self._token_cache is None or self._connection is None:
            return
        auth = self._connection.session.auth
        access = auth.auth_ref
        if access is None or access is self._shared_access:
            return
        self._shared_access = access
        left = (access.expires - datetime.now(UTC)).total_seconds() - _TOKEN_MARGIN_SECONDS
        if left > 0:
            self._token_cache.set(self._key(), auth.get_auth_state(), left)


def last_request_id() -> str:
    """Return the cloud's id of the last change that this thread has requested, or ""; the cloud's operators find it in their logs."""
    return _last_request_id.get()


class _GuardRefused(Exception):
    def __init__(self, refusal: Exception) -> None:
        super().__init__("refused by the guard")
        self.refusal = refusal
