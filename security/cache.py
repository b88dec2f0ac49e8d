"""Serialization of values in the shared cache: JSON, with secrets encrypted.

Django writes pickles by default, with which anybody who can write to Redis could run code in every process of the portal.
"""

from __future__ import annotations

import json
from typing import Any

from django.core.cache import cache

from .encryption import decrypt, encrypt


class JsonSerializer:
    """Django's serializer of the Redis cache, with JSON. Setting a value that is no JSON value raises TypeError.

    Integers are stored as they are, so that Redis can increment them.
    """

    def dumps(self, value: Any) -> int | bytes:
        """Return the value to store in Redis."""
        if type(value) is int:  # Not a boolean, which is a subclass of int.
            return value
        return json.dumps(value, separators=(",", ":")).encode()

    def loads(self, stored: bytes) -> Any:
        """Return the value of a stored text. Raises ValueError for invalid JSON."""
        return json.loads(stored)


class SecretCache:
    """A shared cache of secrets that can be obtained again: errors of the cache count as "not cached" and are not raised.

    Values are encrypted with the key ring, so that Redis holds no plain secrets. `prefix` separates the keys from others.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    def get(self, key: str) -> str | None:
        """Return the cached secret, or None."""
        try:
            stored = cache.get(f"{self._prefix}:{key}")
            return decrypt(stored) if isinstance(stored, str) and stored else None
        except Exception:  # noqa: BLE001 - any error of the cache, or a removed encryption key, counts as "not cached".
            return None

    def set(self, key: str, secret: str, seconds: float) -> None:
        """Cache a secret for a number of seconds."""
        try:
            cache.set(f"{self._prefix}:{key}", encrypt(secret), int(seconds))
        except Exception:  # noqa: BLE001 - see get().
            return
