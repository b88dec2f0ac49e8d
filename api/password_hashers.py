"""Password hashers that hash a few passwords at a time: each hash takes about a hundred megabytes, by design.

Django's hashers have no limit: every thread of the web process could hash at once, and together exceed its memory.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.contrib.auth.hashers import Argon2PasswordHasher, PBKDF2PasswordHasher
from django.utils.translation import gettext_lazy as _

from .domain_errors import LoginBusyError

# A login that finds all places acquired waits this long, and no more than four do so for each place: each holds a thread
# of the web process, which others need.
LONGEST_WAIT_SECONDS = 5.0
WAITING_FOR_EACH = 4


class HashingSlots:
    """The places in which passwords are hashed: of one process, whose threads share them."""

    def __init__(self, count: int) -> None:
        self._running = threading.BoundedSemaphore(count)
        self._here = threading.BoundedSemaphore(count * (1 + WAITING_FOR_EACH))

    @contextmanager
    def acquired(self) -> Iterator[None]:
        """Hold a place while the block runs. Raises `LoginBusyError` when there is none in time."""
        if not self._here.acquire(blocking=False):
            raise _busy()
        try:
            if not self._running.acquire(timeout=LONGEST_WAIT_SECONDS):
                raise _busy()
            try:
                yield
            finally:
                self._running.release()
        finally:
            self._here.release()


def _busy() -> LoginBusyError:
    return LoginBusyError(
        "login_busy", _("Too many people are signing in. Try again in a moment."), retry_after=2
    )


slots = HashingSlots(settings.PASSWORD_HASHES_AT_ONCE)


class LimitedArgon2PasswordHasher(Argon2PasswordHasher):
    """Argon2, as Django sets it up."""

    def encode(self, *args: Any, **kwargs: Any) -> str:
        """Hash a password."""
        with slots.acquired():
            return super().encode(*args, **kwargs)

    def verify(self, *args: Any, **kwargs: Any) -> bool:
        """Compare a password with a hash."""
        with slots.acquired():
            return super().verify(*args, **kwargs)


class LimitedPBKDF2PasswordHasher(PBKDF2PasswordHasher):
    """PBKDF2, for the hashes of imported users. Its `verify` calls `encode`."""

    def encode(self, *args: Any, **kwargs: Any) -> str:
        """Hash a password."""
        with slots.acquired():
            return super().encode(*args, **kwargs)
