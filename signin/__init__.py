"""Signing in: identity providers, roles by rules, second factors, service accounts."""
