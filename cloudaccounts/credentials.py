"""What an account must say to be usable: the same rules for the API and for the admin."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from .addresses import check_auth_url
from .registry import providers

LONGEST_CA_BUNDLE = 200_000


def check_account(fields: Mapping[str, Any], *, changed: frozenset[str]) -> dict[str, list[Any]]:
    """What is wrong with an account as it would be saved, by field; nothing when it is right.

    `fields` is the whole account, but for what is wrong by itself; `changed` the names of those that are new: an address
    is looked up only then.
    """
    errors: dict[str, list[Any]] = {}
    known = [provider.code for provider in providers()]
    if fields.get("provider") not in {None, *known}:
        errors["provider"] = [
            _("Unknown provider '%(provider)s'; known are: %(known)s.")
            % {"provider": fields["provider"], "known": ", ".join(known)}
        ]
    if "auth_url" in changed and fields.get("auth_url"):
        try:
            check_auth_url(fields["auth_url"])
        except ValidationError as error:
            errors["auth_url"] = list(error.messages)
    if (
        fields.get("ca_bundle")
        and "ca_bundle" in changed
        and (wrong := _wrong_with_bundle(fields["ca_bundle"]))
    ):
        errors["ca_bundle"] = [wrong]
    return errors


def secret_is_needed(changed: frozenset[str]) -> bool:
    """Whether a change must bring the secret along: a stored one is never sent anywhere else than it was entered for.

    Otherwise whoever may change an account could have the portal tell him its secret.
    """
    return bool(changed & {"auth_url", "ca_bundle"})


def _wrong_with_bundle(pem: str) -> Any:
    if len(pem) > LONGEST_CA_BUNDLE:
        return _("At most %(most)s characters.") % {"most": LONGEST_CA_BUNDLE}
    try:
        found = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        found.load_verify_locations(cadata=pem)
    except (ssl.SSLError, ValueError):
        return _("This holds no certificate in PEM form (-----BEGIN CERTIFICATE-----).")
    return None
