"""Security groups, floating IPs and server groups of tenants."""

from .cloud_rows import CloudRow, CloudRowQuerySet, RowStatus
from .floating_ips import FloatingIp
from .security_groups import SecurityGroup
from .server_groups import ServerGroup, ServerGroupQuerySet

__all__ = [
    "CloudRow",
    "CloudRowQuerySet",
    "FloatingIp",
    "RowStatus",
    "SecurityGroup",
    "ServerGroup",
    "ServerGroupQuerySet",
]
