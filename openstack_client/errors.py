"""The errors of a cloud: one small tree, whichever library raised first."""

from __future__ import annotations

from typing import ClassVar


class CloudError(Exception):
    """Something went wrong between us and a cloud.

    `message` is plain words for a person: what was being done, the service, the status and what the cloud said.
    `status_code` is the HTTP status, or None when no answer came. `request_id` is the cloud's own id of the
    request, for its operators' logs. `code` is a stable word for programs. None of them ever holds a secret.
    """

    code: ClassVar[str] = "cloud_error"

    def __init__(
        self, message: str, *, status_code: int | None = None, request_id: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status_code = status_code
        self.request_id = request_id

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions with keyword-only arguments do not pickle by themselves, and task queues pickle them.
        return (_rebuild, (type(self), self.message, dict(self.__dict__)))


class CloudUnavailableError(CloudError):
    """No usable answer: no connection, a timeout, 5xx, 429, or an answer that makes no sense. Worth trying again.

    A change that ended so may have been carried out all the same: look at the cloud's fresh state before repeating it.
    `retry_after` is what the cloud asked us to wait, in seconds, or None.
    """

    code: ClassVar[str] = "cloud_unavailable"

    def __init__(
        self,
        message: str,
        *,
        status_code: int | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, status_code=status_code, request_id=request_id)
        self.retry_after = retry_after


class UnreadableRecordError(CloudUnavailableError):
    """One object of an answer is malformed. Nothing is wrong with the others.

    `name` is what the object calls itself, if it does. In a listing such an object is counted and named, and the rest is
    read; the answer about a single one raises this.
    """

    code: ClassVar[str] = "unreadable_object"

    def __init__(self, what: str, *, name: str | None = None) -> None:
        super().__init__(
            f"The cloud's answer makes no sense: {what}{f' (called {name!r:.80})' if name else ''}."
        )
        self.what = what
        self.name = name


class CloudNotFoundError(CloudError):
    """The cloud said, in its own words, that the object is not there (or is another project's).

    A 404 that does not come from the service itself (a proxy's page, a wrong address) is `CloudUnavailableError`, because
    for a removal "not found" means success.
    """

    code: ClassVar[str] = "not_found"


class CloudConflictError(CloudError):
    """The object's state does not allow it (409): for example a start of a server that is active."""

    code: ClassVar[str] = "conflict"


class CloudQuotaExceededError(CloudError):
    """The project's quota in the cloud does not allow it. The message holds the cloud's figures."""

    code: ClassVar[str] = "quota_exceeded"


class CloudForbiddenError(CloudError):
    """The cloud's policy does not allow it to these credentials (403)."""

    code: ClassVar[str] = "forbidden"


class CloudAuthenticationError(CloudError):
    """The credentials are wrong, disabled or expired (401)."""

    code: ClassVar[str] = "authentication_failed"


class InvalidCloudRequestError(CloudError):
    """The request itself is wrong: refused by us before it went out (no `status_code`), or by the cloud."""

    code: ClassVar[str] = "invalid_request"


class CloudAddressRefusedError(InvalidCloudRequestError):
    """The account, or the cloud's catalog, leads to an address where no cloud may be (see `ConnectionRules`)."""

    code: ClassVar[str] = "address_refused"


class CloudServiceMissingError(InvalidCloudRequestError):
    """The cloud has no such service in this region, as far as its catalog for these credentials says.

    Not `CloudNotFoundError`: for a removal that would mean success.
    """

    code: ClassVar[str] = "service_missing"


def _rebuild(kind: type[CloudError], message: str, state: dict[str, object]) -> CloudError:
    error = kind.__new__(kind, message)
    Exception.__init__(error, message)
    error.__dict__.update(state)
    return error
