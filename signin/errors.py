"""Why a sign-in with an identity provider was refused."""

from __future__ import annotations

from django.utils.functional import Promise


class SignInError(Exception):
    """The refusal of a sign-in: a stable code for logs and events, and a sentence for the person.

    `status` is that of the page. `is_attempt` is False when nobody tried anything forbidden, as when the provider is away; such
    a refusal does not count in the limits of failed sign-ins. `reason` is the technical one, for the log alone.
    """

    def __init__(
        self,
        code: str,
        message: str | Promise,
        *,
        status: int = 400,
        is_attempt: bool = True,
        reason: str = "",
    ) -> None:
        self.code = code
        self.message = message
        self.status = status
        self.is_attempt = is_attempt
        self.reason = reason
        super().__init__(f"{code}: {reason}" if reason else code)
