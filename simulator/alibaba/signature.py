"""The vendor's signature of requests in the style of RPC, version 1.0 with HMAC-SHA1, as its documentation publishes it.

Written from that description, and not with the vendor's SDK, which signs what is checked here.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

# The most by which the time of a request may differ from the vendor's.
MAX_CLOCK_SKEW = timedelta(minutes=15)
_TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


def build_string_to_sign(method: str, params: Mapping[str, str]) -> str:
    """Return what is signed: the method, the path, and all parameters but the signature, sorted and encoded, and encoded again."""
    pairs = sorted((name, value) for name, value in params.items() if name != "Signature")
    canonical = "&".join(f"{_encode(name)}={_encode(value)}" for name, value in pairs)
    return f"{method}&{_encode('/')}&{_encode(canonical)}"


def compute_signature(method: str, params: Mapping[str, str], secret: str) -> str:
    """Return the signature of a request in base64. The key is the secret with an ampersand."""
    text = build_string_to_sign(method, params)
    digest = hmac.new(f"{secret}&".encode(), text.encode(), hashlib.sha1).digest()
    return base64.b64encode(digest).decode()


def is_signed_by(method: str, params: Mapping[str, str], secret: str) -> bool:
    """Return whether a request has the signature that this secret gives it."""
    expected = compute_signature(method, params, secret)
    return hmac.compare_digest(expected.encode(), params.get("Signature", "").encode())


def parse_time(text: str) -> datetime | None:
    """Return the time of a request; None unless it is in UTC, in the form 2012-06-01T12:00:00Z."""
    try:
        return datetime.strptime(text, _TIME_FORMAT).replace(tzinfo=UTC)
    except ValueError:
        return None


def _encode(text: str) -> str:
    """Encode a text in UTF-8 as RFC 3986 has it: letters, digits and "-_.~" stay."""
    return quote(text, safe="-_.~")
