"""Domain errors: the reasons why a use case was refused. Raised by services, commands and the engine.

They do not depend on HTTP. `errors.py` maps each class to a status, and an error to a problem document or a page.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from .error_limits import MAX_TEXT_LENGTH, cut_text, limit_errors
from .messages import Message, to_message

# Members that a problem document always has; details must not shadow them.
MEMBERS = frozenset({"type", "title", "status", "detail", "code", "errors", "truncated", "request_id"})


class DomainError(Exception):
    """The refusal of a request: a stable code for programs, and the reason as a sentence.

    `errors` are reasons by field. `details` are further facts for the caller (`job`, `allowed`). `retry_after` is in seconds.
    """

    def __init__(
        self,
        code: str,
        detail: str | Promise,
        *,
        errors: Mapping[str, Any] | None = None,
        retry_after: int | None = None,
        **details: Any,
    ) -> None:
        if shadowed := MEMBERS & details.keys():
            raise TypeError(f"Details must not have names of problem members: {', '.join(sorted(shadowed))}.")
        self.code = code
        # Translated now, in the language of the caller; a command that stores it stores the message. Cut here, so that
        # pages repeat no more of a request than the API does.
        text = to_message(detail)
        fits = isinstance(text, Message) and len(text) <= MAX_TEXT_LENGTH
        self.detail = text if fits else cut_text(text)
        self.errors: dict[str, Any] | None = None
        self.truncated = False
        if errors is not None:
            self.errors, self.truncated = limit_errors(errors)
        self.retry_after = retry_after
        self.details = details
        super().__init__(self.detail)


class InvalidError(DomainError):
    """The data is not valid."""


class InvalidFieldsError(InvalidError):
    """The data is not valid, with errors by field as serializers report them. The code is `invalid`."""

    def __init__(self, errors: Mapping[str, Any]) -> None:
        super().__init__("invalid", INVALID, errors=errors)


class UnauthenticatedError(DomainError):
    """The caller is not authenticated."""


class ForbiddenError(DomainError):
    """The caller may not do this."""


class NotFoundError(DomainError):
    """The object does not exist or is not visible to the caller; both cases give the same error."""

    def __init__(self, code: str = "not_found", detail: str | Promise = "", **details: Any) -> None:
        super().__init__(code, detail or NOT_FOUND, **details)


class ConflictError(DomainError):
    """The state of the object, or of what it depends on, does not allow it now."""


class OutdatedError(DomainError):
    """The object was changed since the caller read it."""


class TooLargeError(DomainError):
    """The request has more data than the portal accepts."""


class KeyReusedError(DomainError):
    """An idempotency key was used for another request."""


class LoginThrottledError(DomainError):
    """A password was not checked, because too many wrong ones came before."""


class LoginBusyError(DomainError):
    """A password was not checked, because too many are being hashed at once."""


INVALID = _("Some values are not valid; see `errors`.")
NOT_FOUND = _("Not found. It may have been deleted, or belongs to another tenant.")
