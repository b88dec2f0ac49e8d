"""Password hashers with a limit of simultaneous hashes, because each takes about a hundred megabytes by design.

With Django's hashers, all threads of the web process could hash at once and exceed its memory.
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

# When all slots are taken, a login waits this long, and at most four do so for each slot: each holds a thread of the web
# process.
MAX_WAIT_SECONDS = 5.0
WAITERS_PER_SLOT = 4


class HashingSlots:
    """The slots for hashing passwords, which the threads of a process share."""

    def __init__(self, count: int) -> None:
        self._running = threading.BoundedSemaphore(count)
        self._admitted = threading.BoundedSemaphore(count * (1 + WAITERS_PER_SLOT))

    @contextmanager
    def acquired(self) -> Iterator[None]:
        """Hold a slot while the block runs. Raises `LoginBusyError` when none becomes free in time."""
        if not self._admitted.acquire(blocking=False):
            raise _login_busy_error()
        try:
            if not self._running.acquire(timeout=MAX_WAIT_SECONDS):
                raise _login_busy_error()
            try:
                yield
            finally:
                self._running.release()
        finally:
            self._admitted.release()


def _login_busy_error() -> LoginBusyError:
    return LoginBusyError(
        "login_busy", _("Too many people are signing in. Try again in a moment."), retry_after=2
    )


slots = HashingSlots(settings.PASSWORD_HASHES_AT_ONCE)


class LimitedArgon2PasswordHasher(Argon2PasswordHasher):
    """Argon2 with Django's parameters."""

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
