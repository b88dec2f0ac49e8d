"""The credentials of a cloud account."""

from __future__ import annotations

import hashlib
import json
import ssl
from dataclasses import asdict, dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

from .errors import InvalidCloudRequestError

# The fingerprint is stored in a shared cache, with tokens. A slow hash prevents guessing a short password from it.
_FINGERPRINT_ROUNDS = 20_000


@dataclass(frozen=True, slots=True)
class CloudCredentials:
    """A user's password, or an application credential, and the project that it is for.

    `ca_bundle` holds certificates in PEM form, for clouds whose certificate is not signed by a public authority.
    An application credential implies its project and domain. `repr` hides secrets.
    """

    auth_url: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    user_domain_name: str | None = None
    user_domain_id: str | None = None
    project_name: str | None = None
    project_id: str | None = None
    project_domain_name: str | None = None
    project_domain_id: str | None = None
    application_credential_id: str | None = None
    application_credential_secret: str | None = field(default=None, repr=False)
    ca_bundle: str | None = None

    @property
    def kind(self) -> Literal["application_credential", "password"]:
        """The type of the credentials: an application credential takes precedence, because it has fewer rights."""
        return "application_credential" if self.application_credential_id else "password"

    def secrets(self) -> tuple[str, ...]:
        """Return the texts that must never be shown."""
        return tuple(secret for secret in (self.password, self.application_credential_secret) if secret)

    def check(self) -> None:
        """Check that the credentials are complete and valid, before anything is sent. Raises `InvalidCloudRequestError`."""
        if not self.auth_url.startswith(("http://", "https://")):
            raise InvalidCloudRequestError("The authentication address must begin with http:// or https://.")
        if not _has_host(self.auth_url):
            raise InvalidCloudRequestError("The authentication address has no valid host name.")
        if self.ca_bundle and not _is_pem(self.ca_bundle):
            raise InvalidCloudRequestError("The trusted certificates (CA bundle) hold no valid PEM.")
        if self.kind == "application_credential":
            if not self.application_credential_secret:
                raise InvalidCloudRequestError("The application credential has no secret.")
            return
        if not self.username or not self.password:
            raise InvalidCloudRequestError(
                "A user name and a password, or an application credential, are needed."
            )
        if not self.project_name and not self.project_id:
            raise InvalidCloudRequestError("A project is needed with a user name and password.")

    def fingerprint(self) -> str:
        """Return a hash of all fields, the secret included, so that changed credentials never get an old token."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.pbkdf2_hmac("sha256", text.encode(), b"openstack_client", _FINGERPRINT_ROUNDS).hex()

    def build_auth_plugin(self) -> Any:
        """Build the keystoneauth plugin that logs in with these credentials."""
        from keystoneauth1.identity import v3  # noqa: PLC0415 - importing keystoneauth is slow; only requests need it.

        if self.kind == "application_credential":
            return v3.ApplicationCredential(
                auth_url=self.auth_url,
                application_credential_id=self.application_credential_id,
                application_credential_secret=self.application_credential_secret or "",
            )
        user_domain = self.user_domain_id or self.user_domain_name
        project_domain = self.project_domain_id or self.project_domain_name
        return v3.Password(
            auth_url=self.auth_url,
            username=self.username,
            password=self.password or "",
            # Without a domain, names belong to the domain Default, in which clouds create users unless configured otherwise.
            user_domain_id=self.user_domain_id,
            user_domain_name=self.user_domain_name or (None if user_domain else "Default"),
            project_name=self.project_name,
            project_id=self.project_id,
            project_domain_id=self.project_domain_id,
            project_domain_name=self.project_domain_name
            or (None if project_domain or self.project_id else "Default"),
        )


def _is_pem(text: str) -> bool:
    # Between certificates there may be comments in any language; Python's ssl refuses characters outside ASCII.
    plain = text.encode("ascii", "replace").decode()
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=plain)
    except (ssl.SSLError, ValueError):
        return False
    return True


def _has_host(url: str) -> bool:
    try:
        parts = urlsplit(url)
        # `port` raises ValueError for an invalid port.
        return bool(parts.hostname) and parts.port != 0 and not any(c.isspace() for c in url)
    except ValueError:
        return False
