"""Settings of providers: what is wrong is said at the start, with the provider and the field."""

from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured

from signin.providers import parse_ldap_servers, parse_oidc_providers

OIDC = {"name": "Corp", "issuer": "https://sso.example.org", "client_id": "portal"}
LDAP = {"name": "AD", "url": "ldaps://dc.example.org", "user_base": "dc=example,dc=org"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"algorithms": ["RS256", "HS256"]}, "algorithms has HS256"),
        ({"algorithms": ["none"]}, "algorithms has none"),
        ({"issuer": "http://sso.example.org"}, "is no https URL"),
        ({"issuer": "sso.example.org"}, "is no https URL"),
        ({"issuer": "https://sso.example.org/?realm=x"}, "has a query"),
        ({"client_id": ""}, "lacks 'client_id'"),
        ({"clientid": "x"}, "unknown field 'clientid'"),
        ({"scopes": ["profile"]}, "lacks 'openid'"),
        ({"scopes": "openid"}, "not a list of texts"),
        ({"second_factor": "yes"}, "not true or false"),
        ({"session_hours": -1}, "not a positive number"),
        ({"client_auth_method": "none"}, "not client_secret_basic"),
    ],
)
def test_what_is_wrong_with_a_provider_is_said(change, said):
    with pytest.raises(ImproperlyConfigured, match=said) as refused:
        parse_oidc_providers({"corp": OIDC | change}, require_https=True)

    assert "'corp'" in str(refused.value)


@pytest.mark.parametrize(
    "settings", [[], "corp", {"Corp": OIDC}, {"a/b": OIDC}, {"corp": "https://sso.example.org"}]
)
def test_providers_are_an_object_with_keys_for_addresses(settings):
    with pytest.raises(ImproperlyConfigured, match="OIDC_PROVIDERS"):
        parse_oidc_providers(settings, require_https=True)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"url": "https://dc.example.org"}, "no ldaps:// or ldap:// URL"),
        ({"url": "ldaps:///dc=example"}, "no ldaps:// or ldap:// URL"),
        ({"user_filter": "uid={username}"}, "no filter in brackets"),
        ({"user_filter": "(uid=portal)"}, "no filter in brackets with {username}"),
        ({"group_filter": "(member=*)"}, "with {dn}"),
        ({"user_base": ""}, "lacks 'user_base'"),
    ],
)
def test_what_is_wrong_with_a_directory_is_said(change, said):
    with pytest.raises(ImproperlyConfigured, match=said):
        parse_ldap_servers({"ad": LDAP | change})


def test_the_defaults_are_strict():
    provider = parse_oidc_providers({"corp": OIDC}, require_https=True)["corp"]

    assert not {name for name in provider.algorithms if name.startswith("HS") or name == "none"}
    assert provider.username_suffix == "@corp"
    assert parse_ldap_servers({"ad": LDAP})["ad"].username_suffix == "@ad"
