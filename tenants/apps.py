from django.apps import AppConfig


class TenantsConfig(AppConfig):
    """Who: tenants, members, information systems."""

    name = "tenants"
    verbose_name = "Tenants"
