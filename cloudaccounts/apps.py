from django.apps import AppConfig


class CloudAccountsConfig(AppConfig):
    """Where: cloud accounts."""

    name = "cloudaccounts"
    verbose_name = "Cloud accounts"
