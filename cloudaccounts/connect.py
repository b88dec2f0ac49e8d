"""The door to a cloud account: opens a `Cloud` for it, one per account and region in each process.

Clients that leave connections open starve a small Neutron, so a `Cloud` is kept and reused, and is closed and made
anew when the account's credentials change.
"""

from __future__ import annotations

import hashlib
import tempfile
import threading
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from django.core.cache import cache as shared_cache
from django.db import connection

from openstack_client import Cloud, CloudCredentials
from tasks.leases import refuse_if_lost

from .models import CloudAccount


class CalledInTransaction(RuntimeError):
    """A cloud was called while a database transaction was open. A bug: locks would be held for as long as it takes."""


def refuse_inside_transaction() -> None:
    """Refuse to call a cloud while a transaction is open. Raises `CalledInTransaction`."""
    if connection.in_atomic_block:
        raise CalledInTransaction(
            "A cloud must not be called inside atomic(): claim (transaction), call, record (transaction)."
        )


def refuse() -> None:
    """The guard that every `Cloud` of ours runs before a request leaves: no open transaction, no lost claim."""
    refuse_inside_transaction()
    refuse_if_lost()


class TokenCache:
    """Tokens shared between processes, in Redis. A cache that is away costs a login, never an error."""

    def get(self, key: str) -> str | None:
        """The cached state, or None."""
        try:
            value = shared_cache.get(f"cloud-token:{key}")
        except Exception:  # noqa: BLE001 - any trouble of the cache means "not cached".
            return None
        return value if isinstance(value, str) else None

    def set(self, key: str, value: str, seconds: float) -> None:
        """Keep a state for so many seconds."""
        try:
            shared_cache.set(f"cloud-token:{key}", value, int(seconds))
        except Exception:  # noqa: BLE001 - see get().
            return


@dataclass(frozen=True, slots=True)
class _Opened:
    fingerprint: str
    cloud: Cloud


_opened: dict[tuple[int, str], _Opened] = {}
_guard = threading.Lock()


def open_cloud(account: CloudAccount, region: str) -> Cloud:
    """The account's cloud in a region; logs in on its first request. Raises `UnreadableSecret`.

    Thread-safe: two threads that open at once get the same `Cloud`.
    """
    fingerprint = _fingerprint(account)
    with _guard:
        opened = _opened.get((account.pk, region))
        if opened is not None and opened.fingerprint == fingerprint:
            return opened.cloud
        if opened is not None:
            opened.cloud.close()
        cloud = Cloud(
            credentials_of(account),
            region=region or None,
            interface=account.interface,
            guard=refuse,
            token_cache=TokenCache(),
        )
        _opened[account.pk, region] = _Opened(fingerprint, cloud)
        return cloud


def credentials_of(account: CloudAccount) -> CloudCredentials:
    """What the wrapper logs in with."""
    ca_bundle = _ca_file(account.ca_bundle) if account.ca_bundle else None
    if account.credential_kind == CloudAccount.CredentialKind.APPLICATION_CREDENTIAL:
        return CloudCredentials(
            auth_url=account.auth_url,
            application_credential_id=account.access_id,
            application_credential_secret=account.secret(),
            ca_bundle=ca_bundle,
        )
    return CloudCredentials(
        auth_url=account.auth_url,
        username=account.access_id,
        password=account.secret(),
        user_domain_name=account.user_domain or None,
        project_name=account.project or None,
        project_domain_name=account.project_domain or None,
        ca_bundle=ca_bundle,
    )


def fill_from_clouds_yaml(account: CloudAccount, name: str) -> str:
    """Give an account the address and credentials of a cloud in this machine's clouds.yaml; its region, or "".

    The caller saves. Raises `CloudError` when clouds.yaml has no such cloud.
    """
    with Cloud.from_clouds_yaml(name) as cloud:
        found = cloud.credentials
        region = cloud.region or ""
        account.interface = cloud.interface
    account.auth_url = found.auth_url
    account.credential_kind = found.kind
    account.access_id = found.application_credential_id or found.username or ""
    account.set_secret(found.application_credential_secret or found.password or "")
    account.project = found.project_name or ""
    account.user_domain = found.user_domain_name or "Default"
    account.project_domain = found.project_domain_name or "Default"
    account.ca_bundle = Path(found.ca_bundle).read_text() if found.ca_bundle else ""
    return region


def _fingerprint(account: CloudAccount) -> str:
    parts = (
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
    return hashlib.sha256("\x00".join(parts).encode()).hexdigest()


@cache
def _ca_folder() -> Path:
    """A folder that only this process's user can read and write: nobody else may put a CA of his own there."""
    return Path(tempfile.mkdtemp(prefix="portal-ca-"))


def _ca_file(pem: str) -> str:
    """The bundle as a file, because TLS libraries take paths. Named by its content, so written once a process."""
    path = _ca_folder() / f"{hashlib.sha256(pem.encode()).hexdigest()}.pem"
    if not path.is_file():
        path.write_text(pem)
    return str(path)
