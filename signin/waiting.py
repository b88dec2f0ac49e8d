"""Slots for sign-ins that wait for a provider, so that a slow one cannot occupy the threads that everybody else needs."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.utils.translation import gettext_lazy as _

from .errors import SignInError
from .providers import LdapServer, OidcProvider

Provider = OidcProvider | LdapServer
# After a failed connection, further sign-ins with the provider fail at once for this time, and hold no thread.
AWAY_SECONDS = 5.0

_lock = threading.Lock()
_waiting = 0
_away_until: dict[str, float] = {}


class ProviderAwayError(SignInError):
    """The provider did not answer, or not in time."""

    def __init__(self, provider: Provider, reason: str, *, is_unreachable: bool = True) -> None:
        message = _("%(name)s does not answer at present. Try again later.") % {"name": provider.name}
        super().__init__("provider_away", message, status=503, is_attempt=False, reason=reason)
        self.is_unreachable = is_unreachable


class ProviderAnswerError(SignInError):
    """The provider answered something that is not valid."""

    def __init__(self, provider: Provider, reason: str) -> None:
        message = _("%(name)s gave an answer that is not valid. Tell your administrator.") % {
            "name": provider.name
        }
        super().__init__("provider_answer", message, status=502, is_attempt=False, reason=reason)


class Deadline:
    """The end of the time that all requests of a sign-in share."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def remaining(self) -> float:
        """Return the remaining seconds; 0 at the end."""
        return max(0.0, self._end - time.monotonic())


@contextmanager
def provider_slot(provider: Provider) -> Iterator[Deadline]:
    """Hold one of the few slots for sign-ins that wait for a provider; raise `ProviderAwayError` when none is free.

    So a slow provider cannot occupy the threads that everybody else needs.
    """
    global _waiting  # noqa: PLW0603 - a counter of the process, under the lock.
    with _lock:
        if time.monotonic() < _away_until.get(provider.key, 0.0):
            raise ProviderAwayError(provider, "it did not answer a moment ago")
        if _waiting >= settings.SIGN_INS_WAITING_AT_MOST:
            raise ProviderAwayError(provider, "too many sign-ins wait already")
        _waiting += 1
    try:
        yield Deadline(settings.SIGN_IN_PROVIDER_SECONDS)
    except ProviderAwayError as error:
        if error.is_unreachable:
            _away_until[provider.key] = time.monotonic() + AWAY_SECONDS
        raise
    finally:
        with _lock:
            _waiting -= 1
