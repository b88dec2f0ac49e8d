"""Correct a token before keystoneauth reads it: its expiry by our clock, and its catalog."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from .catalog import normalize_catalog
from .clock import CloudClock
from .records.json_values import timestamp


def correct_tokens_at_login(auth: Any, clock: CloudClock) -> None:
    """Correct every token that a keystoneauth plugin receives (see `correct_token_times`), and read the cloud's clock from it."""
    log_in = auth.get_auth_ref

    def get_auth_ref(session: Any, **options: Any) -> Any:
        access = log_in(session, **options)
        correct_token_times(access, clock, datetime.now(UTC))
        return access

    auth.get_auth_ref = get_auth_ref


def correct_token_times(access: Any, clock: CloudClock, now: datetime) -> None:
    """Write into a token received `now` when it expires by our clock, and remove malformed entries from its catalog.

    Keystone says when a token begins and ends by its own clock, and keystoneauth compares the end with ours. By a cloud
    that is twenty minutes behind, every token of a quarter of an hour would be over before it came: a login for each
    request. What both clocks agree on is how long it is good for. What it is shared as (`get_auth_state`) says so too.
    """
    token = getattr(access, "_data", {}).get("token")
    if not isinstance(token, dict):
        return
    issued, expires = timestamp(token.get("issued_at")), timestamp(token.get("expires_at"))
    if issued is not None and expires is not None and timedelta(0) < expires - issued < timedelta(days=3650):
        clock.note_time("identity", issued)
        token["expires_at"] = (now + (expires - issued)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    if "catalog" in token:
        token["catalog"] = normalize_catalog(token["catalog"])
