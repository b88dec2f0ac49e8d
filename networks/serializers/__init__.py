"""The rows of this room in the API, and the bodies of requests."""

from .floating_ips import FloatingIpJobSerializer, FloatingIpSerializer, NewFloatingIpSerializer
from .security_groups import (
    ChangeSecurityGroupSerializer,
    CopySecurityGroupSerializer,
    NewRuleSerializer,
    NewSecurityGroupSerializer,
    RuleSerializer,
    SecurityGroupJobSerializer,
    SecurityGroupSerializer,
)
from .server_groups import NewServerGroupSerializer, ServerGroupJobSerializer, ServerGroupSerializer

__all__ = [
    "ChangeSecurityGroupSerializer",
    "CopySecurityGroupSerializer",
    "FloatingIpJobSerializer",
    "FloatingIpSerializer",
    "NewFloatingIpSerializer",
    "NewRuleSerializer",
    "NewSecurityGroupSerializer",
    "NewServerGroupSerializer",
    "RuleSerializer",
    "SecurityGroupJobSerializer",
    "SecurityGroupSerializer",
    "ServerGroupJobSerializer",
    "ServerGroupSerializer",
]
