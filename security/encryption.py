"""Secrets at rest: encrypted with a key ring of their own, apart from `SECRET_KEY`.

`ENCRYPTION_KEYS` lists the keys newest first: the first one encrypts, every one decrypts, so a new key can be put
in front while rows written under an older one are still there. `manage.py rotate_encryption_keys` writes those anew.
"""

from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings

# What a column that holds such a text is called, in every room: rotation finds them by it.
ENCRYPTED_COLUMNS = "encrypted_"


class UnreadableSecretError(Exception):
    """A stored secret fits none of the keys in `ENCRYPTION_KEYS`: a key was dropped before rotation was done."""


@lru_cache(maxsize=4)
def _key_ring(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in keys])


def encrypt(plain: str) -> str:
    """Return the text to store for a secret; the empty secret stays empty."""
    if not plain:
        return ""
    return _key_ring(tuple(settings.ENCRYPTION_KEYS)).encrypt(plain.encode()).decode()


def decrypt(stored: str) -> str:
    """Return the secret of a stored text. Raises `UnreadableSecretError`, which never carries the text itself."""
    if not stored:
        return ""
    try:
        return _key_ring(tuple(settings.ENCRYPTION_KEYS)).decrypt(stored.encode()).decode()
    except InvalidToken:
        raise _unreadable() from None


def rotate(stored: str) -> str:
    """Return the same secret, encrypted with the first key. Raises `UnreadableSecretError`."""
    try:
        return _key_ring(tuple(settings.ENCRYPTION_KEYS)).rotate(stored.encode()).decode()
    except InvalidToken:
        raise _unreadable() from None


def _unreadable() -> UnreadableSecretError:
    return UnreadableSecretError(
        "A stored secret fits none of the keys in ENCRYPTION_KEYS; put the key back that it was written with."
    )
