"""Signing in: identity providers and second factors."""

from django.core.exceptions import ImproperlyConfigured

from signin.providers import parse_ldap_servers, parse_oidc_providers

from .environment import PRODUCTION, env

# OpenID Connect providers by their key, which is part of addresses: see docs/signing-in.md.
OIDC_PROVIDERS = parse_oidc_providers(env.json("OIDC_PROVIDERS", default={}), require_https=PRODUCTION)
# LDAP directories by their key, which is another than those of the OpenID Connect providers.
LDAP_SERVERS = parse_ldap_servers(env.json("LDAP_SERVERS", default={}))
if _both := set(OIDC_PROVIDERS) & set(LDAP_SERVERS):
    raise ImproperlyConfigured(f"OIDC_PROVIDERS and LDAP_SERVERS both have the key '{min(_both)}'.")
# Seconds that all requests of one sign-in to its provider may take together.
SIGN_IN_PROVIDER_SECONDS = env.float("SIGN_IN_PROVIDER_SECONDS", default=10.0)
# Sign-ins of one web process that may wait for a provider at the same time; each holds one of WEB_THREADS.
SIGN_INS_WAITING_AT_MOST = max(1, env.int("SIGN_INS_WAITING_AT_MOST", default=4))
# The difference between a provider's clock and the portal's that is allowed.
SIGN_IN_CLOCK_SKEW_SECONDS = env.float("SIGN_IN_CLOCK_SKEW_SECONDS", default=60.0)
# Providers at the portal's own machine and link are refused unless this allows them.
ALLOW_LOCAL_PROVIDERS = env.bool("ALLOW_LOCAL_PROVIDERS", default=not PRODUCTION)

# Whether staff must have a second factor: their own, or that of their provider.
SECOND_FACTOR_FOR_STAFF = env.bool("SECOND_FACTOR_FOR_STAFF", default=False)
# The name of the portal in authenticator apps.
SECOND_FACTOR_ISSUER = env.str("SECOND_FACTOR_ISSUER", default="Cloud Portal")
