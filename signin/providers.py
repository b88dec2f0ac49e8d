"""The identity providers in the settings. Imports no Django, because the settings import it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, cast
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

# Signatures with a public key only. With HS256, whoever knows the public key could sign; "none" is no signature.
ALGORITHMS = (
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
)
CLIENT_AUTH_METHODS = ("client_secret_basic", "client_secret_post")
_KEY = re.compile(r"[a-z0-9][a-z0-9-]{0,29}")


@dataclass(frozen=True, kw_only=True)
class OidcProvider:
    """An OpenID Connect provider.

    `issuer` is the URL under which its configuration is found. `client_secret` may be empty, as PKCE protects the code as well.
    `groups_claim` and `username_claim` may be paths such as `realm_access.roles`. `username_suffix` is appended to usernames,
    so that no user of the provider has the name of a local one; the default is `@` and the key. `second_factor` says that the
    provider demands a second factor itself. `session_hours` ends sessions, because the provider does not tell the portal that
    it has disabled a user. `ca_file` has the certificates of a private authority.
    """

    key: str
    name: str
    issuer: str
    client_id: str
    client_secret: str = ""
    client_auth_method: str = "client_secret_basic"
    scopes: tuple[str, ...] = ("openid", "profile", "email")
    username_claim: str = "preferred_username"
    username_suffix: str
    groups_claim: str = "groups"
    algorithms: tuple[str, ...] = ALGORITHMS
    second_factor: bool = False
    session_hours: float = 12.0
    ca_file: str = ""


@dataclass(frozen=True, kw_only=True)
class LdapServer:
    """An LDAP directory, such as Active Directory. Its users sign in with the form for passwords.

    `url` is `ldaps://host` or, with StartTLS, `ldap://host`; a password never travels without TLS. `bind_dn` may search;
    without it, the search is anonymous. `user_filter` finds the entry of `{username}`, `id_attribute` names what never changes
    of it, and never belongs to another entry later. Groups are the values of `group_attribute`, or with `group_base` the
    entries there that `group_filter` finds for `{dn}`; rules name them by their DN.
    """

    key: str
    name: str
    url: str
    user_base: str
    bind_dn: str = ""
    bind_password: str = ""
    user_filter: str = "(uid={username})"
    username_attribute: str = "uid"
    username_suffix: str
    id_attribute: str = "entryUUID"
    group_attribute: str = "memberOf"
    group_base: str = ""
    group_filter: str = "(member={dn})"
    ca_file: str = ""


def parse_ldap_servers(settings: Any) -> dict[str, LdapServer]:
    """Return the servers of LDAP_SERVERS. Raises ImproperlyConfigured, which names the server and the field."""
    return {key: _parse_ldap(key, values) for key, values in _check_keys("LDAP_SERVERS", settings)}


def _parse_ldap(key: str, values: dict[str, Any]) -> LdapServer:
    where = f"LDAP_SERVERS: '{key}'"
    known = parse_fields(where, LdapServer, values, required=("name", "url", "user_base"))
    parts = urlsplit(known["url"])
    if parts.scheme not in {"ldap", "ldaps"} or not parts.hostname or parts.path not in {"", "/"}:
        raise ImproperlyConfigured(f"{where}: '{known['url']}' is no ldaps:// or ldap:// URL of a host.")
    for field, placeholder in (("user_filter", "{username}"), ("group_filter", "{dn}")):
        if field in known and (placeholder not in known[field] or not known[field].startswith("(")):
            raise ImproperlyConfigured(f"{where}: {field} is no filter in brackets with {placeholder}.")
    return LdapServer(**{"key": key, "username_suffix": f"@{key}", **known})


def parse_oidc_providers(settings: Any, *, require_https: bool) -> dict[str, OidcProvider]:
    """Return the providers of OIDC_PROVIDERS. Raises ImproperlyConfigured, which names the provider and the field."""
    return {
        key: _parse_oidc(key, values, require_https)
        for key, values in _check_keys("OIDC_PROVIDERS", settings)
    }


def _check_keys(setting: str, values: Any) -> list[tuple[str, dict[str, Any]]]:
    if not isinstance(values, dict):
        raise ImproperlyConfigured(f'{setting} is no JSON object of providers: {{"corp": {{…}}}}.')
    for key, provider in values.items():
        if not _KEY.fullmatch(key):
            raise ImproperlyConfigured(
                f"{setting} has the key '{key}'; use at most 30 lowercase letters, digits and hyphens."
            )
        if not isinstance(provider, dict):
            raise ImproperlyConfigured(f"{setting}: '{key}' is no JSON object.")
    return list(values.items())


def _parse_oidc(key: str, values: dict[str, Any], require_https: bool) -> OidcProvider:
    where = f"OIDC_PROVIDERS: '{key}'"
    known = parse_fields(where, OidcProvider, values, required=("name", "issuer", "client_id"))
    issuer = known["issuer"]
    parts = urlsplit(issuer)
    if parts.scheme not in ({"https"} if require_https else {"https", "http"}) or not parts.hostname:
        raise ImproperlyConfigured(f"{where}: the issuer '{issuer}' is no https URL.")
    if parts.query or parts.fragment:
        raise ImproperlyConfigured(f"{where}: the issuer '{issuer}' has a query or a fragment.")
    algorithms = known.get("algorithms", ALGORITHMS)
    if unknown := [name for name in algorithms if name not in ALGORITHMS]:
        raise ImproperlyConfigured(
            f"{where}: algorithms has {', '.join(unknown)}; allowed are {', '.join(ALGORITHMS)}."
        )
    if known.get("client_auth_method", "client_secret_basic") not in CLIENT_AUTH_METHODS:
        raise ImproperlyConfigured(
            f"{where}: client_auth_method is '{known['client_auth_method']}', not {' or '.join(CLIENT_AUTH_METHODS)}."
        )
    if "openid" not in known.get("scopes", ("openid",)):
        raise ImproperlyConfigured(f"{where}: scopes lacks 'openid'.")
    return OidcProvider(**{"key": key, "username_suffix": f"@{key}", **known})


def parse_fields(
    where: str, kind: type[Any], values: Mapping[str, Any], *, required: tuple[str, ...]
) -> dict[str, Any]:
    """Return the validated fields of a provider: of the types of `kind`, lists of texts as tuples. Raises ImproperlyConfigured."""
    types = {field.name: str(field.type) for field in fields(kind) if field.name != "key"}
    if unknown := sorted(set(values) - set(types)):
        raise ImproperlyConfigured(
            f"{where} has the unknown field '{unknown[0]}'; known are {', '.join(types)}."
        )
    if missing := [name for name in required if not values.get(name)]:
        raise ImproperlyConfigured(f"{where} lacks '{missing[0]}'.")
    return {name: _parse_value(f"{where}: {name}", types[name], value) for name, value in values.items()}


def _parse_value(where: str, kind: str, value: Any) -> Any:
    if kind == "bool" and isinstance(value, bool):
        return value
    if kind == "str" and isinstance(value, str):
        return value
    if (
        kind in {"float", "int"}
        and isinstance(value, int | float)
        and not isinstance(value, bool)
        and value > 0
    ):
        return value
    if kind.startswith("tuple") and isinstance(value, list) and all(isinstance(one, str) for one in value):
        return tuple(cast("list[str]", value))
    expected = (
        "a list of texts"
        if kind.startswith("tuple")
        else {"str": "a text", "bool": "true or false"}.get(kind)
    )
    raise ImproperlyConfigured(f"{where} is {value!r}, not {expected or 'a positive number'}.")
