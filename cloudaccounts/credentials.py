"""Rules for the credentials of an account: the same for the API, the pages and the admin."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from .registry import list_providers

# The fields with which the portal logs in, besides the secret.
LOGIN_FIELDS = (
    "auth_url",
    "credential_kind",
    "access_id",
    "project",
    "user_domain",
    "project_domain",
    "ca_bundle",
    "interface",
)
SECRET_REQUIRED = _("Enter the secret again, because it will be sent to another address.")


def check_provider(code: str) -> None:
    """Refuse a provider that is not registered. Raises ValidationError."""
    known = [provider.code for provider in list_providers()]
    if code not in known:
        raise ValidationError(
            _("Unknown cloud type '%(provider)s'. Available: %(known)s.")
            % {"provider": code, "known": ", ".join(known)}
        )


def is_secret_required(changed: frozenset[str]) -> bool:
    """Return whether a change must include the secret: a stored secret is sent only to the address for which it was entered.

    Otherwise anybody who may change an account could have the portal send its secret to a host of their own.
    """
    return bool(changed & {"auth_url", "ca_bundle"})
