"""How values are written to the shared cache: as JSON, and secrets encrypted.

Django writes pickles by default, and whoever can write to Redis could then run programs in every process of the portal.
"""

from __future__ import annotations

import json
from typing import Any

from django.core.cache import cache

from .encryption import decrypt, encrypt


class JsonSerializer:
    """Django's serializer of the Redis cache, with JSON. A value that JSON does not have raises TypeError when it is set.

    Whole numbers stay bare, so that Redis can count them.
    """

    def dumps(self, value: Any) -> int | bytes:
        """Return what Redis keeps."""
        if type(value) is int:  # Not a boolean, which JSON writes as a word.
            return value
        return json.dumps(value, separators=(",", ":")).encode()

    def loads(self, stored: bytes) -> Any:
        """Return the value again. Raises ValueError for what is no JSON."""
        return json.loads(stored)


class SecretCache:
    """A shared cache of secrets that can be had again elsewhere: trouble with it means "not cached", and is no error.

    What is stored is encrypted with the key ring, so that reading Redis gives nothing away. `prefix` keeps its keys apart.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    def get(self, key: str) -> str | None:
        """Return the cached secret, or None."""
        try:
            stored = cache.get(f"{self._prefix}:{key}")
            return decrypt(stored) if isinstance(stored, str) and stored else None
        except Exception:  # noqa: BLE001 - any trouble of the cache, or a key that was dropped, means "not cached".
            return None

    def set(self, key: str, secret: str, seconds: float) -> None:
        """Cache a secret for a number of seconds."""
        try:
            cache.set(f"{self._prefix}:{key}", encrypt(secret), int(seconds))
        except Exception:  # noqa: BLE001 - see get().
            return
