from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class NetworksConfig(AppConfig):
    """Security groups, floating IPs and server groups of tenants."""

    name = "networks"
    verbose_name = _("Networks")

    def ready(self) -> None:
        """Register the commands, and what follows the syncs of resources."""
        from cloudaccounts.cloud_rows import register_cloud_rows
        from cloudaccounts.sync.observers import register_sync_observer

        from . import commands  # noqa: F401 - importing registers the commands.
        from .models import FloatingIp, SecurityGroup, ServerGroup
        from .sync.follow import follow_floating_ips, follow_security_groups, follow_server_groups

        for model, tenant in (
            (FloatingIp, "tenant"),
            (SecurityGroup, "tenant"),
            (ServerGroup, "information_system__tenant"),
        ):
            register_cloud_rows(model, "cloud_id", tenant)
        register_sync_observer("security_group", follow_security_groups)
        register_sync_observer("floating_ip", follow_floating_ips)
        register_sync_observer("server_group", follow_server_groups)
