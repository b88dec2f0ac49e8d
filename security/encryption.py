"""Encryption of stored secrets, with a key ring that is separate from `SECRET_KEY`.

`ENCRYPTION_KEYS` lists the keys newest first: the first one encrypts, all of them decrypt. So a new key can be added while
rows are still encrypted with an older one; `manage.py rotate_encryption_keys` encrypts these again.
"""

from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings

# The prefix of the names of encrypted columns, by which the rotation finds them.
ENCRYPTED_COLUMNS = "encrypted_"


class UnreadableSecretError(Exception):
    """A stored secret fits none of the keys in `ENCRYPTION_KEYS`: a key was removed before the rotation."""


@lru_cache(maxsize=4)
def _key_ring(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in keys])


def encrypt(plain: str) -> str:
    """Return the text to store for a secret; the empty secret stays empty."""
    if not plain:
        return ""
    return _key_ring(tuple(settings.ENCRYPTION_KEYS)).encrypt(plain.encode()).decode()


def decrypt(stored: str) -> str:
    """Return the secret of a stored text. Raises `UnreadableSecretError`, whose message does not contain the text."""
    if not stored:
        return ""
    try:
        return _key_ring(tuple(settings.ENCRYPTION_KEYS)).decrypt(stored.encode()).decode()
    except InvalidToken:
        raise _build_unreadable_error() from None


def rotate(stored: str) -> str:
    """Return the same secret, encrypted with the first key. Raises `UnreadableSecretError`."""
    try:
        return _key_ring(tuple(settings.ENCRYPTION_KEYS)).rotate(stored.encode()).decode()
    except InvalidToken:
        raise _build_unreadable_error() from None


def _build_unreadable_error() -> UnreadableSecretError:
    return UnreadableSecretError(
        "A stored secret fits none of the keys in ENCRYPTION_KEYS; restore the key with which it was encrypted."
    )
