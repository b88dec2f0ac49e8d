"""The check of a request's signature, as "AK/SK Signing and Authentication Algorithm" of Huawei Cloud describes it.

The canonical request has the method, the path with a slash at its end, the sorted query, the signed headers, their names, and
the hash of the body, each in a line of its own.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, quote

from ..http_messages import Request

ALGORITHM = "SDK-HMAC-SHA256"
# The gateway refuses a request that was signed longer ago, or later than this from now.
TOLERANCE = timedelta(minutes=15)
_AUTHORIZATION = re.compile(
    rf"{ALGORITHM} Access=(?P<key>[^,\s]+), SignedHeaders=(?P<headers>[^,\s]+), Signature=(?P<signature>[0-9a-f]{{64}})"
)


@dataclass(frozen=True, slots=True)
class Authorization:
    """The header `Authorization` of a request."""

    access_key: str
    signed_headers: tuple[str, ...]
    signature: str


def read_authorization(request: Request) -> Authorization | None:
    """Return the authorization of a request; None if it has none, or another one."""
    found = _AUTHORIZATION.fullmatch(request.headers.get("authorization", ""))
    if found is None:
        return None
    return Authorization(found["key"], tuple(found["headers"].split(";")), found["signature"])


def read_signing_time(request: Request) -> datetime | None:
    """Return the time at which a request says that it was signed; None without a valid one."""
    try:
        return datetime.strptime(request.headers.get("x-sdk-date", ""), "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None


def build_canonical_request(request: Request, signed_headers: tuple[str, ...]) -> str:
    """Return the canonical request that both sides sign."""
    path = "/".join(quote(piece, safe="~") for piece in request.path.split("/"))
    query = sorted(
        (quote(name, safe="~"), quote(value, safe="~"))
        for name, value in parse_qsl(request.query_text, keep_blank_values=True)
    )
    headers = "".join(f"{name}:{request.headers.get(name, '').strip()}\n" for name in signed_headers)
    return "\n".join(
        (
            request.method.upper(),
            path if path.endswith("/") else f"{path}/",
            "&".join(f"{name}={value}" for name, value in query),
            headers,
            ";".join(signed_headers),
            hashlib.sha256(request.body).hexdigest(),
        )
    )


def is_signed(request: Request, authorization: Authorization, secret: str) -> bool:
    """Return whether a request was signed with a secret. The host and the time have to be signed, too."""
    names = authorization.signed_headers
    if list(names) != sorted(names) or "x-sdk-date" not in names or "host" not in names:
        return False
    canonical = build_canonical_request(request, names)
    digest = hashlib.sha256(canonical.encode("latin-1")).hexdigest()
    text = "\n".join((ALGORITHM, request.headers["x-sdk-date"], digest))
    expected = hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected, authorization.signature)
