"""Use cases of security groups, floating IPs and server groups."""

from .floating_ips import (
    FloatingIpChange,
    build_floating_ip,
    choose_external_network,
    list_external_networks,
    lock_floating_ip,
    release_floating_ip,
    require_floating_ip_limit,
    take_floating_ip,
)
from .group_choices import find_groups_by_cloud_id, find_usable_groups
from .locked_groups import GroupChange
from .rules import add_rules, remove_rule
from .security_groups import (
    change_security_group,
    copy_security_group,
    create_security_group,
    remove_security_group,
)
from .server_groups import ServerGroupChange, create_server_group, remove_server_group

__all__ = [
    "FloatingIpChange",
    "GroupChange",
    "ServerGroupChange",
    "add_rules",
    "build_floating_ip",
    "change_security_group",
    "choose_external_network",
    "copy_security_group",
    "create_security_group",
    "create_server_group",
    "find_groups_by_cloud_id",
    "find_usable_groups",
    "list_external_networks",
    "lock_floating_ip",
    "release_floating_ip",
    "remove_rule",
    "remove_security_group",
    "remove_server_group",
    "require_floating_ip_limit",
    "take_floating_ip",
]
