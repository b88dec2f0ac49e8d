from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class CloudAccountsConfig(AppConfig):
    """Where: cloud accounts."""

    name = "cloudaccounts"
    verbose_name = _("Cloud accounts")
