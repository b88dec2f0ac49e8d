"""The views of the room's API, a module for each subject."""

from .floating_ips import FloatingIpDetailView, FloatingIpListView
from .security_groups import (
    RuleDetailView,
    RuleListView,
    SecurityGroupCopyView,
    SecurityGroupDetailView,
    SecurityGroupListView,
)
from .server_groups import ServerGroupDetailView, ServerGroupListView

__all__ = [
    "FloatingIpDetailView",
    "FloatingIpListView",
    "RuleDetailView",
    "RuleListView",
    "SecurityGroupCopyView",
    "SecurityGroupDetailView",
    "SecurityGroupListView",
    "ServerGroupDetailView",
    "ServerGroupListView",
]
