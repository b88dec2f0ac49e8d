"""Open cloud accounts: one `Cloud` per account and region in each process.

A `Cloud` is kept and reused, because clients that leave connections open starve a small Neutron. It is closed and opened
again when the account's credentials change.
"""

from __future__ import annotations

import hashlib
import socket
import threading
from dataclasses import dataclass

from django.conf import settings
from django.db import connection

from api.shared_metrics import Counter, Histogram
from openstack_client import Cloud, CloudAddressRefusedError, CloudCredentials, ConnectionRules
from security import connections
from security.cache import SecretCache
from security.policies import cloud_policy
from tasks.leases import check_lease

from .models import CloudAccount

CLOUD_REQUESTS = Counter(
    "portal_cloud_requests",
    "HTTP requests to clouds: succeeded, refused (4xx), failed (5xx), or no_answer.",
    ("service", "method", "outcome"),
)
CLOUD_DURATIONS = Histogram(
    "portal_cloud_request_duration_seconds",
    "Seconds of HTTP requests to clouds.",
    ("service",),
    (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
)


class CalledInTransactionError(RuntimeError):
    """A cloud was called while a database transaction was open. A bug: locks would be held until the cloud answers."""


def refuse_inside_transaction() -> None:
    """Refuse to call a cloud while a transaction is open. Raises `CalledInTransactionError`."""
    if connection.in_atomic_block:
        raise CalledInTransactionError(
            "A cloud must not be called inside atomic(): claim (transaction), call, record (transaction)."
        )


def guard_request() -> None:
    """Refuse to send a request inside a transaction, or after the claim of the job was lost. Runs before each request."""
    refuse_inside_transaction()
    check_lease()


def count_request(service: str, method: str, status: int | None, seconds: float) -> None:
    """Count a request to a cloud, for `/metrics`. The outcome is `failed` when the cloud, not the request, was at fault."""
    if status is None:
        outcome = "no_answer"
    elif status < 400:
        outcome = "succeeded"
    else:
        outcome = "refused" if status < 500 else "failed"
    CLOUD_REQUESTS.increment(service, method.upper(), outcome)
    CLOUD_DURATIONS.observe(seconds, service)


def build_connection_rules() -> ConnectionRules:
    """Build the connection rules of clouds, which refuse the addresses that the installation's policy refuses."""
    return ConnectionRules(connect=connect_checked, check=check_address, proxy=settings.CLOUD_PROXY or None)


def connect_checked(host: str, port: int, timeout: float | None) -> socket.socket:
    """Connect to a host if the policy allows clouds there. Raises `CloudAddressRefusedError`, OSError."""
    try:
        return connections.open_checked(host, port, policy=cloud_policy(), timeout=timeout)
    except connections.AddressRefusedError as refused:
        raise CloudAddressRefusedError(refused.reason) from None


def check_address(host: str, port: int) -> None:
    """Refuse an address where the policy allows no clouds, before a proxy connects to it. Raises as `connect_checked`."""
    try:
        connections.resolve_checked(host, port, policy=cloud_policy())
    except connections.AddressRefusedError as refused:
        raise CloudAddressRefusedError(refused.reason) from None


@dataclass(frozen=True, slots=True)
class _OpenCloud:
    fingerprint: str
    cloud: Cloud


_open_clouds: dict[tuple[int, str], _OpenCloud] = {}
_guard = threading.Lock()
# Tokens are shared between processes. Without the cache each process logs in itself; that is no error.
_tokens = SecretCache("cloud-token")


def open_cloud(account: CloudAccount, region: str) -> Cloud:
    """Return the account's cloud in a region, which logs in on its first request. Raises `UnreadableSecretError`.

    Thread-safe: two threads that open at once get the same `Cloud`.
    """
    fingerprint = _fingerprint(account)
    with _guard:
        opened = _open_clouds.get((account.pk, region))
        if opened is not None and opened.fingerprint == fingerprint:
            return opened.cloud
        if opened is not None:
            opened.cloud.close()
        cloud = Cloud(
            build_credentials(account),
            region=region or None,
            interface=account.interface,
            guard=guard_request,
            token_cache=_tokens,
            rules=build_connection_rules(),
            observer=count_request,
        )
        _open_clouds[account.pk, region] = _OpenCloud(fingerprint, cloud)
        return cloud


def build_credentials(account: CloudAccount) -> CloudCredentials:
    """Build the credentials that `openstack_client` logs in with. Raises `UnreadableSecretError`."""
    ca_bundle = account.ca_bundle or None
    if account.credential_kind == CloudAccount.CredentialKind.APPLICATION_CREDENTIAL:
        return CloudCredentials(
            auth_url=account.auth_url,
            application_credential_id=account.access_id,
            application_credential_secret=account.decrypt_secret(),
            ca_bundle=ca_bundle,
        )
    return CloudCredentials(
        auth_url=account.auth_url,
        username=account.access_id,
        password=account.decrypt_secret(),
        user_domain_name=account.user_domain or None,
        project_name=account.project or None,
        project_domain_name=account.project_domain or None,
        ca_bundle=ca_bundle,
    )


def fill_from_clouds_yaml(account: CloudAccount, name: str) -> str:
    """Fill an account from a cloud in this machine's clouds.yaml; return the region, or "".

    The caller saves. Raises `CloudError` when clouds.yaml has no such cloud.
    """
    with Cloud.from_clouds_yaml(name) as cloud:
        credentials = cloud.credentials
        region = cloud.region or ""
        account.interface = cloud.interface
    account.auth_url = credentials.auth_url
    account.credential_kind = credentials.kind
    account.access_id = credentials.application_credential_id or credentials.username or ""
    account.set_secret(credentials.application_credential_secret or credentials.password or "")
    account.project = credentials.project_name or ""
    account.user_domain = credentials.user_domain_name or "Default"
    account.project_domain = credentials.project_domain_name or "Default"
    account.ca_bundle = credentials.ca_bundle or ""
    return region


def _fingerprint(account: CloudAccount) -> str:
    fields = (
        account.auth_url,
        account.credential_kind,
        account.access_id,
        account.encrypted_secret,
        account.project,
        account.user_domain,
        account.project_domain,
        account.ca_bundle,
        account.interface,
    )
    return hashlib.sha256("\x00".join(fields).encode()).hexdigest()
