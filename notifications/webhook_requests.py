"""The requests of webhooks, as Standard Webhooks has them (the scheme of svix, specification 1.0.0)."""

from __future__ import annotations

import hmac
import http.client
import json
import time
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from django.utils.translation import gettext_noop

from security.connections import AddressRefusedError
from security.http_requests import InvalidUrlError, send_request
from security.policies import receiver_policy

from .models import SECRET_PREFIX
from .single_lines import to_line

REQUEST_SECONDS = 10.0
READ_BYTES = 4096
GONE = 410
SHOWN_BODY_LENGTH = 200

REDIRECT = gettext_noop(
    "The receiver redirects, which is not followed. Enter the address that it redirects to."
)


@dataclass(frozen=True, slots=True)
class Message:
    """One message to a webhook. `key` is the same in each attempt, so that a receiver knows a repeated message."""

    key: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Attempt:
    """The result of an attempt to deliver; without an `error` it was delivered. `status` is that of the answer, if any."""

    error: str = ""
    status: int | None = None
    milliseconds: int = 0

    @property
    def is_gone(self) -> bool:
        """Return whether the receiver says that it is not to be asked again."""
        return self.status == GONE


def encode_message(code: str, timestamp: str, data: dict[str, Any]) -> bytes:
    """Return the body of a message: its type, the time of the event, and the event."""
    content = {"type": code, "timestamp": timestamp, "data": data}
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"), default=str).encode()


def sign(secret: str, key: str, timestamp: int, body: bytes) -> str:
    """Return the signature of a message with one secret: "v1," and the HMAC in base64."""
    signed = f"{key}.{timestamp}.".encode() + body
    digest = hmac.new(b64decode(secret.removeprefix(SECRET_PREFIX)), signed, sha256).digest()
    return f"v1,{b64encode(digest).decode()}"


def send(url: str, secrets: Sequence[str], message: Message) -> Attempt:
    """Post a message, signed with each of the secrets. Never raises for what the receiver does."""
    timestamp = int(time.time())
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "portal-webhooks",
        "webhook-id": message.key,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(
            sign(secret, message.key, timestamp, message.body) for secret in secrets
        ),
    }
    began = time.monotonic()
    status, error = None, ""
    try:
        answer = send_request(
            url,
            policy=receiver_policy(),
            seconds=REQUEST_SECONDS,
            max_bytes=READ_BYTES,
            body=message.body,
            headers=headers,
        )
    except (AddressRefusedError, InvalidUrlError, TimeoutError) as failure:
        error = str(failure)
    except (OSError, http.client.HTTPException) as failure:
        error = f"{type(failure).__name__}: {failure}"
    else:
        status = answer.status
        if 300 <= status < 400:
            error = REDIRECT
        elif not 200 <= status < 300:
            error = describe_answer(status, answer.body)
    return Attempt(to_line(error), status, int((time.monotonic() - began) * 1000))


def describe_answer(status: int, body: bytes) -> str:
    """Return the status of an answer with the beginning of its body, but without pages: of those, the status says it all."""
    text = to_line(body.decode("utf-8", "replace"), SHOWN_BODY_LENGTH)
    return f"HTTP {status}: {text}" if text and not text.startswith("<") else f"HTTP {status}"
