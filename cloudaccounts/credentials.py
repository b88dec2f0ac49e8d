"""What an account must say to be usable: the same rules for the API and for the admin."""

from __future__ import annotations

import socket
import ssl
from dataclasses import replace
from functools import partial
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from security.connections import AddressRefusedError, resolve_checked
from security.policies import cloud_policy

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


def check_auth_url(url: str) -> None:
    """Refuse a URL that is not http(s), or that leads where no cloud may be (`security.policies.cloud_policy`).

    This is for the person who enters it. What protects the portal is the same check at each connection: a name can
    change its address later. So with `ALLOW_LOCAL_CLOUDS`, where names of no DNS are usual, only addresses are judged here.
    Raises ValidationError.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:  # A port that is no port, a bracket that does not close.
        raise ValidationError(_("This is not an address: %(error)s.") % {"error": error}) from None
    has_user = parts.username is not None or parts.password is not None
    if parts.scheme not in {"http", "https"} or not host or has_user:
        raise ValidationError(_("An auth URL is http or https, with a host and without a user name in it."))
    if port is None:
        port = 443 if parts.scheme == "https" else 80
    policy = cloud_policy()
    if settings.ALLOW_LOCAL_CLOUDS:
        policy = replace(policy, resolve=partial(socket.getaddrinfo, flags=socket.AI_NUMERICHOST))
    try:
        resolve_checked(host, port, policy=policy)
    except AddressRefusedError as refused:
        raise ValidationError(
            _("The host '%(host)s' leads to where clouds are not allowed: %(reason)s.")
            % {"host": host, "reason": refused.reason}
        ) from None
    except OSError:
        if not settings.ALLOW_LOCAL_CLOUDS:
            raise ValidationError(_("The host '%(host)s' is not known.") % {"host": host}) from None


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
