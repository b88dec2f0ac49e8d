"""Correct a token before keystoneauth reads it: its expiry by our clock, and its catalog."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from .catalog import normalize_catalog
from .clock import CloudClock
from .records.json_values import timestamp


def correct_tokens_at_login(auth: Any, clock: CloudClock) -> None:
    """Make a keystoneauth plugin correct every token that it receives by `correct_token`."""
    log_in = auth.get_auth_ref

    def get_auth_ref(session: Any, **options: Any) -> Any:
        access = log_in(session, **options)
        correct_token(access, clock, datetime.now(UTC))
        return access

    auth.get_auth_ref = get_auth_ref


def correct_token(access: Any, clock: CloudClock, now: datetime) -> None:
    """Set the expiry of a token received `now` by our clock, record the cloud's clock, and normalize the catalog.

    Keystone dates a token by its own clock, and keystoneauth compares the expiry with ours. For a cloud whose clock is twenty
    minutes behind, every token of fifteen minutes would have expired on arrival, with a login for each request. Only the
    lifetime does not depend on a clock. The shared form of the token (`get_auth_state`) has the corrected expiry, too.
    """
    token = getattr(access, "_data", {}).get("token")
    if not isinstance(token, dict):
        return
    issued, expires = timestamp(token.get("issued_at")), timestamp(token.get("expires_at"))
    if issued is not None and expires is not None and timedelta(0) < expires - issued < timedelta(days=3650):
        clock.record_time("identity", issued)
        token["expires_at"] = (now + (expires - issued)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    if "catalog" in token:
        token["catalog"] = normalize_catalog(token["catalog"])
