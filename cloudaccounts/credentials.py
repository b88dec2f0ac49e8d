"""What an account must say to be usable: the same rules for the API and for the admin."""

from __future__ import annotations

import ssl

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from .registry import providers

# What the portal logs in with, but for the secret.
LOG_IN_FIELDS = (
    "auth_url",
    "credential_kind",
    "access_id",
    "project",
    "user_domain",
    "project_domain",
    "ca_bundle",
    "interface",
)
LONGEST_CA_BUNDLE = 200_000
SECRET_AGAIN = _("Enter the secret again: it goes to another address now.")


def check_provider(code: str) -> None:
    """Refuse a provider that nobody has registered. Raises ValidationError."""
    known = [provider.code for provider in providers()]
    if code not in known:
        raise ValidationError(
            _("Unknown provider '%(provider)s'; known are: %(known)s.")
            % {"provider": code, "known": ", ".join(known)}
        )


def check_ca_bundle(pem: str) -> None:
    """Refuse what TLS could not use. Empty is right: then the machine's own authorities count. Raises ValidationError."""
    if len(pem) > LONGEST_CA_BUNDLE:
        raise ValidationError(_("At most %(most)s characters.") % {"most": LONGEST_CA_BUNDLE})
    if not pem:
        return
    # Between certificates there may be words in any language, of which Python's ssl would take none.
    plain = pem.encode("ascii", "replace").decode()
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=plain)
    except (ssl.SSLError, ValueError):
        raise ValidationError(
            _("This holds no certificate in PEM form (-----BEGIN CERTIFICATE-----).")
        ) from None


def secret_is_needed(changed: frozenset[str]) -> bool:
    """Whether a change must bring the secret along: a stored one is never sent anywhere else than it was entered for.

    Otherwise whoever may change an account could have the portal tell him its secret.
    """
    return bool(changed & {"auth_url", "ca_bundle"})
