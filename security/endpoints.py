"""Validation of the endpoints and certificates that people enter for a cloud."""

from __future__ import annotations

import socket
import ssl
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from .addresses import AddressPolicy
from .connections import AddressRefusedError, resolve_checked
from .policies import cloud_policy, receiver_policy

MAX_CA_BUNDLE_LENGTH = 200_000


def check_auth_url(url: str) -> None:
    """Refuse a URL that is not http(s), or whose host resolves to an address that `policies.cloud_policy` refuses. Raises ValidationError.

    This check helps the person who enters the URL; the portal is protected by the same check at each connection, because a
    name can change its address later. With `ALLOW_LOCAL_CLOUDS`, where names outside DNS are usual, only literal addresses
    are checked here.
    """
    refusal = _("The host '%(host)s' leads to an address where no cloud is allowed: %(reason)s.")
    _check_url(url, cloud_policy(), refusal)


def check_receiver_url(url: str) -> None:
    """Refuse a URL of a webhook as `check_auth_url` does, by `policies.receiver_policy`. Raises ValidationError."""
    refusal = _("The host '%(host)s' leads to an address where no receiver is allowed: %(reason)s.")
    _check_url(url, receiver_policy(), refusal)


def _check_url(url: str, policy: AddressPolicy, refusal: Any) -> None:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:  # An invalid port, or an unclosed bracket.
        raise ValidationError(_("Not a valid URL: %(error)s.") % {"error": error}) from None
    has_user = parts.username is not None or parts.password is not None
    if parts.scheme not in {"http", "https"} or not host or has_user:
        raise ValidationError(_("Enter an http or https URL with a host and without a username."))
    if port is None:
        port = 443 if parts.scheme == "https" else 80
    if policy.allow_local:
        policy = replace(policy, resolve=partial(socket.getaddrinfo, flags=socket.AI_NUMERICHOST))
    try:
        resolve_checked(host, port, policy=policy)
    except AddressRefusedError as refused:
        raise ValidationError(refusal % {"host": host, "reason": refused.reason}) from None
    except OSError:
        if not policy.allow_local:
            raise ValidationError(_("Host not found: '%(host)s'.") % {"host": host}) from None


def check_ca_bundle(pem: str) -> None:
    """Refuse certificates that TLS could not use. Raises ValidationError.

    The empty text is valid: then the system's authorities are used.
    """
    if len(pem) > MAX_CA_BUNDLE_LENGTH:
        raise ValidationError(_("Enter at most %(most)s characters.") % {"most": MAX_CA_BUNDLE_LENGTH})
    if not pem:
        return
    # Between certificates there may be comments in any language; Python's ssl refuses characters outside ASCII.
    plain = pem.encode("ascii", "replace").decode()
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=plain)
    except (ssl.SSLError, ValueError):
        raise ValidationError(
            _("No certificate in PEM format found (-----BEGIN CERTIFICATE-----).")
        ) from None
