"""The errors of a cloud, whichever library raised them first."""

from __future__ import annotations

from typing import ClassVar


class CloudError(Exception):
    """The base class of errors of a cloud.

    `message` is for people: the operation, the service, the status and the cloud's own message. `status_code` is the HTTP
    status, or None without an answer. `request_id` is the cloud's id of the request, for searches in its logs. `code` is
    stable, for programs. None of them ever holds a secret.
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
        # Exceptions with keyword-only arguments cannot be pickled without this, and task queues pickle them.
        return (_rebuild, (type(self), self.message, dict(self.__dict__)))


class CloudUnavailableError(CloudError):
    """No usable answer: no connection, a timeout, 5xx, 429, or a malformed answer. The request may be retried.

    A change may have been carried out nevertheless: read the cloud's present state before repeating it.
    `retry_after` is the time that the cloud requests to wait, in seconds, or None.
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
    """One object of an answer is malformed; the others are valid.

    `name` is the object's name, if it has one. A listing reports such an object and reads the others; a request for a single
    object raises this.
    """

    code: ClassVar[str] = "unreadable_object"

    def __init__(self, what: str, *, name: str | None = None) -> None:
        super().__init__(
            f"The cloud's answer is malformed: {what}{f' (called {name!r:.80})' if name else ''}."
        )
        self.what = what
        self.name = name


class CloudNotFoundError(CloudError):
    """The object does not exist, or belongs to another project (404 of the service itself).

    A 404 that does not come from the service (a proxy's page, a wrong address) is `CloudUnavailableError`, because
    for a removal "not found" means success.
    """

    code: ClassVar[str] = "not_found"


class CloudConflictError(CloudError):
    """The object's state does not allow the request (409): for example a start of a server that is active."""

    code: ClassVar[str] = "conflict"


class CloudInUseError(CloudConflictError):
    """The object cannot be removed while others use it: a security group with ports, a network with ports."""

    code: ClassVar[str] = "in_use"


class CloudAlreadyExistsError(CloudConflictError):
    """An equal object exists already: a rule of a security group. `existing_id` is its id, or None when the cloud does not name it."""

    code: ClassVar[str] = "already_exists"
    existing_id: str | None = None


class CloudDefaultGroupError(CloudConflictError):
    """The project's security group "default" can be neither removed nor renamed, and there is only one."""

    code: ClassVar[str] = "default_group"


class CloudChangedError(CloudConflictError):
    """The object was changed since it was read (412): read it again, and decide anew."""

    code: ClassVar[str] = "changed_meanwhile"


class CloudAddressInUseError(CloudConflictError):
    """The requested fixed address belongs to another port."""

    code: ClassVar[str] = "address_in_use"


class CloudAddressesExhaustedError(CloudConflictError):
    """The network has no free address left: for a port, or for a floating IP of an external network."""

    code: ClassVar[str] = "addresses_exhausted"


class CloudNoRouteError(CloudConflictError):
    """No router connects the port's subnet to the external network of the floating IP.

    Neutron answers 404; this is not a `CloudNotFoundError`, because both objects exist.
    """

    code: ClassVar[str] = "no_route"


class CloudFloatingIpAttachedError(CloudConflictError):
    """The floating IP is attached to another port. Neutron itself would move it without a word."""

    code: ClassVar[str] = "floating_ip_attached"


class CloudPortHasFloatingIpError(CloudConflictError):
    """The port's fixed address has another floating IP of the same external network."""

    code: ClassVar[str] = "port_has_floating_ip"


class CloudServerLockedError(CloudConflictError):
    """The server is locked in Nova: until it is unlocked, Nova refuses every change of it by anyone but administrators."""

    code: ClassVar[str] = "server_locked"


class CloudKeypairExistsError(CloudConflictError):
    """The user has a key pair of this name with another key."""

    code: ClassVar[str] = "keypair_exists"


class CloudPasswordRefusedError(CloudConflictError):
    """The server runs, but its operating system cannot take a password: no guest agent answers, or the hypervisor cannot set one."""

    code: ClassVar[str] = "password_refused"


class CloudQuotaExceededError(CloudError):
    """The project's quota in the cloud does not allow the request. The message holds the cloud's figures."""

    code: ClassVar[str] = "quota_exceeded"


class CloudForbiddenError(CloudError):
    """The cloud's policy does not allow the request with these credentials (403)."""

    code: ClassVar[str] = "forbidden"


class CloudAuthenticationError(CloudError):
    """The credentials are wrong, disabled or expired (401)."""

    code: ClassVar[str] = "authentication_failed"


class InvalidCloudRequestError(CloudError):
    """The request is invalid: refused before it was sent (no `status_code`), or by the cloud."""

    code: ClassVar[str] = "invalid_request"


class CloudAddressOutsideSubnetError(InvalidCloudRequestError):
    """The requested fixed address is not one that ports of the subnet, or of the network, may have."""

    code: ClassVar[str] = "address_outside_subnet"


class CloudAddressIsGatewayError(InvalidCloudRequestError):
    """The requested fixed address is the subnet's gateway. Neutron itself may give it to a port, which cuts the network off."""

    code: ClassVar[str] = "address_is_gateway"


class CloudPortSecurityError(InvalidCloudRequestError):
    """The port has no port security, or no address, so it can have no security groups."""

    code: ClassVar[str] = "port_security_disabled"


class CloudAddressRefusedError(InvalidCloudRequestError):
    """The account, or the cloud's catalog, has an address where no cloud may be (see `ConnectionRules`)."""

    code: ClassVar[str] = "address_refused"


class CloudServiceMissingError(InvalidCloudRequestError):
    """The cloud's catalog for these credentials has no such service in this region.

    Not a `CloudNotFoundError`: for a removal that would mean success.
    """

    code: ClassVar[str] = "service_missing"


def _rebuild(kind: type[CloudError], message: str, state: dict[str, object]) -> CloudError:
    error = kind.__new__(kind, message)
    Exception.__init__(error, message)
    error.__dict__.update(state)
    return error
