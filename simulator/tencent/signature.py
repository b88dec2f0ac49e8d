"""The signature TC3-HMAC-SHA256, as the vendor's documentation describes how it is made (API 3.0, signature v3)."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from ..http_messages import Request
from .answers import ApiError

ALGORITHM = "TC3-HMAC-SHA256"
# The timestamp may differ from the server's clock by this much.
MAX_SKEW_SECONDS = 300
_AUTHORIZATION = re.compile(
    rf"{ALGORITHM} Credential=(?P<secret_id>[^/]+)/(?P<date>\d{{4}}-\d\d-\d\d)/(?P<service>[a-z0-9]+)/tc3_request,"
    r" ?SignedHeaders=(?P<headers>[a-z0-9;-]+), ?Signature=(?P<signature>[0-9a-f]{64})"
)


@dataclass(frozen=True, slots=True)
class Key:
    """A pair of SecretId and SecretKey; the token goes with temporary ones."""

    secret_id: str
    secret_key: str
    token: str = ""
    is_enabled: bool = True


def check_signature(request: Request, find_key: Callable[[str], Key | None], now: float) -> tuple[Key, str]:
    """Return the key that a request is signed with, and the service that it is signed for. Raises `ApiError`."""
    found = _AUTHORIZATION.fullmatch(request.headers.get("authorization", ""))
    if found is None:
        raise ApiError("AuthFailure.InvalidAuthorization", "The Authorization header is not valid.")
    key = find_key(found["secret_id"])
    if key is None or not key.is_enabled:
        raise ApiError("AuthFailure.SecretIdNotFound", "The SecretId is not found.")
    timestamp = request.headers.get("x-tc-timestamp", "")
    if not timestamp.isdecimal() or abs(int(timestamp) - now) > MAX_SKEW_SECONDS:
        raise ApiError("AuthFailure.SignatureExpire", "The signature is expired.")
    if request.headers.get("x-tc-token", "") != key.token:
        raise ApiError("AuthFailure.TokenFailure", "The token is not valid.")
    names = found["headers"].split(";")
    is_right = (
        {"content-type", "host"} <= set(names)
        and names == sorted(names)
        and found["date"] == datetime.fromtimestamp(int(timestamp), UTC).strftime("%Y-%m-%d")
        and hmac.compare_digest(found["signature"], _sign(request, key, found))
    )
    if not is_right:
        raise ApiError(
            "AuthFailure.SignatureFailure",
            "The provided credentials could not be validated. Please ensure your signature is correct.",
        )
    return key, found["service"]


def _sign(request: Request, key: Key, found: re.Match[str]) -> str:
    """Return the signature that a request with this header should have."""
    date, service = found["date"], found["service"]
    names = found["headers"].split(";")
    headers = "".join(f"{name}:{request.headers.get(name, '').strip()}\n" for name in names)
    canonical = "\n".join(
        (
            request.method,
            request.path,
            request.query_text,
            headers,
            found["headers"],
            hashlib.sha256(request.body).hexdigest(),
        )
    )
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    derived = f"TC3{key.secret_key}".encode()
    for part in (date, service, "tc3_request"):
        derived = hmac.digest(derived, part.encode(), "sha256")
    text = f"{ALGORITHM}\n{request.headers['x-tc-timestamp']}\n{date}/{service}/tc3_request\n{digest}"
    return hmac.digest(derived, text.encode(), "sha256").hex()
