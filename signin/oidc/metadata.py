"""A provider's configuration (OpenID Connect Discovery) and its keys, kept by each process."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from typing import Any

from ..providers import OidcProvider
from ..waiting import Deadline, ProviderAnswerError, ProviderAwayError
from .requests import fetch_json

# After this time, configuration and keys are fetched again; while the provider is away, the old ones are used.
REFRESH_SECONDS = 3600.0


@dataclass(frozen=True)
class Metadata:
    """What a provider publishes. `keys` are its public keys as JWK; `fetched_at` is a monotonic time."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str
    end_session_endpoint: str
    keys: tuple[dict[str, Any], ...]
    fetched_at: float


_lock = threading.Lock()
_known: dict[tuple[str, str], Metadata] = {}


def find_metadata(provider: OidcProvider) -> Metadata | None:
    """Return what is known of a provider without asking it."""
    return _known.get((provider.key, provider.issuer))


def get_metadata(provider: OidcProvider, deadline: Deadline) -> Metadata:
    """Return what a provider publishes, fetched at most `REFRESH_SECONDS` ago unless it is away. Raises `SignInError`."""
    known = find_metadata(provider)
    if known is not None and time.monotonic() - known.fetched_at < REFRESH_SECONDS:
        return known
    try:
        return _remember(provider, _fetch(provider, deadline))
    except ProviderAwayError:
        if known is None:
            raise
        return known


def refresh_keys(provider: OidcProvider, metadata: Metadata, deadline: Deadline) -> Metadata:
    """Fetch the provider's keys again, because a token was signed with one that is not known. Raises `SignInError`."""
    return _remember(provider, replace(metadata, keys=_fetch_keys(provider, metadata.jwks_uri, deadline)))


def _remember(provider: OidcProvider, metadata: Metadata) -> Metadata:
    with _lock:
        _known[provider.key, provider.issuer] = metadata
    return metadata


def _fetch(provider: OidcProvider, deadline: Deadline) -> Metadata:
    url = f"{provider.issuer.rstrip('/')}/.well-known/openid-configuration"
    found = fetch_json(provider, url, deadline)
    if found.get("issuer") != provider.issuer:
        raise ProviderAnswerError(
            provider, f"its configuration names the issuer {found.get('issuer')!r}, not '{provider.issuer}'"
        )
    urls = {}
    for name in (
        "authorization_endpoint",
        "token_endpoint",
        "jwks_uri",
        "userinfo_endpoint",
        "end_session_endpoint",
    ):
        urls[name] = found.get(name) or ""
        if not isinstance(urls[name], str):
            raise ProviderAnswerError(provider, f"its configuration has no text in {name}")
    if missing := [
        name for name in ("authorization_endpoint", "token_endpoint", "jwks_uri") if not urls[name]
    ]:
        raise ProviderAnswerError(provider, f"its configuration lacks {', '.join(missing)}")
    keys = _fetch_keys(provider, urls["jwks_uri"], deadline)
    return Metadata(issuer=provider.issuer, **urls, keys=keys, fetched_at=time.monotonic())


def _fetch_keys(provider: OidcProvider, url: str, deadline: Deadline) -> tuple[dict[str, Any], ...]:
    keys = fetch_json(provider, url, deadline).get("keys")
    if not isinstance(keys, list):
        raise ProviderAnswerError(provider, f"{url} has no list of keys")
    return tuple(key for key in keys if isinstance(key, dict) and key.get("use", "sig") == "sig")
