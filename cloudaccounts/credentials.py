"""Rules for the credentials of an account: the same for the API, the pages and the admin."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from security.encryption import UnreadableSecretError

from .models import CloudAccount
from .registry import CredentialField, Provider, find_provider, list_providers

# The fields with which the portal logs in to OpenStack, besides the secret.
OPENSTACK_FIELDS = (
    "auth_url",
    "credential_kind",
    "access_id",
    "project",
    "user_domain",
    "project_domain",
    "ca_bundle",
    "interface",
)
# Those of all vendors; `options` has what a vendor's form asks for besides an access id and secrets.
LOGIN_FIELDS = (*OPENSTACK_FIELDS, "options")
SECRET_REQUIRED = _("Enter the secret again, because it will be sent to another address.")
SECRET_OF_KEY_REQUIRED = _("Enter the secret of the new access ID.")


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


def find_form(provider_code: str) -> Provider | None:
    """Return the provider if its accounts have a form of its own; None for OpenStack, and for an unknown provider."""
    provider = find_provider(provider_code)
    return provider if provider is not None and provider.has_own_form else None


def read_credentials(
    provider: Provider, given: Mapping[str, Any], *, is_new: bool
) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """Check the fields of a vendor's form; return the values of its valid ones by field, and the errors by field.

    Of an account that exists, what is left out stays, and an empty text removes what is not required.
    """
    fields = {field.name: field for field in provider.fields}
    errors: dict[str, list[Any]] = {}
    values: dict[str, str] = {}
    for name in given:
        if name not in fields:
            message = _("Unknown field; known are: %(known)s.")
            errors[str(name)[:100]] = [message % {"known": ", ".join(fields)}]
    for name, field in fields.items():
        if name not in given:
            if is_new and field.required:
                errors[name] = [_("This field is required.")]
            continue
        problem = _find_problem(field, given[name])
        if problem is None:
            values[name] = given[name].strip()
        else:
            errors[name] = [problem]
    return values, errors


def _find_problem(field: CredentialField, value: Any) -> Any:
    if not isinstance(value, str):
        return _("Enter a text.")
    value = value.strip()
    if not value:
        return _("This field is required.") if field.required else None
    if len(value) > field.max_length:
        return _("At most %(most)s characters are allowed.") % {"most": field.max_length}
    if not value.isascii() or not value.isprintable() or " " in value:
        return _("Spaces, line breaks and characters outside ASCII are not allowed here.")
    if field.pattern and not re.fullmatch(field.pattern, value):
        return (
            _("'%(value)s' is not valid here.") % {"value": value[:100]}
            if not field.is_secret
            else _("Not valid.")
        )
    return None


def split_credentials(provider: Provider, values: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the identity and the options of a vendor's form, and its secrets."""
    secret_names = {field.name for field in provider.fields if field.is_secret}
    open_values = {name: value for name, value in values.items() if name not in secret_names}
    return open_values, {name: value for name, value in values.items() if name in secret_names}


def build_secret(
    provider: Provider, account: CloudAccount, given: Mapping[str, str], changed: frozenset[str]
) -> tuple[str, Any]:
    """Return the secrets of an account as they are stored, with the given ones instead of the old; and what is missing.

    `changed` names the columns that the caller, who has locked the account, is about to change: no stored secret is kept for
    another address than that for which it was entered, nor for another access id.
    """
    reason = SECRET_REQUIRED if is_secret_required(changed) else None
    if reason is None and "access_id" in changed:
        reason = SECRET_OF_KEY_REQUIRED
    kept: dict[str, str] = {}
    if reason is None:
        try:
            kept = account.decrypt_secrets()
        except UnreadableSecretError:
            reason = _("The stored secret can't be read any more. Enter it again.")
    secrets = {name: value for name, value in {**kept, **given}.items() if value}
    required = [field.name for field in provider.fields if field.is_secret and field.required]
    missing = [name for name in required if not secrets.get(name)]
    return json.dumps(secrets), {name: [reason or _("This field is required.")] for name in missing}
