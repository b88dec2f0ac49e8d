"""Commands on security groups, floating IPs and server groups."""

from .floating_ips import (
    FloatingIpCommand,
    ReleaseFloatingIpCommand,
    TakeFloatingIpCommand,
    build_floating_ip_columns,
)
from .refusals import explain_refusal
from .resources import convert_record, record_ports, record_resources
from .rules import AddRulesCommand, RemoveRuleCommand
from .security_groups import (
    ChangeSecurityGroupCommand,
    CreateSecurityGroupCommand,
    RemoveSecurityGroupCommand,
)
from .server_groups import CreateServerGroupCommand, RemoveServerGroupCommand

__all__ = [
    "AddRulesCommand",
    "ChangeSecurityGroupCommand",
    "CreateSecurityGroupCommand",
    "CreateServerGroupCommand",
    "FloatingIpCommand",
    "ReleaseFloatingIpCommand",
    "RemoveRuleCommand",
    "RemoveSecurityGroupCommand",
    "RemoveServerGroupCommand",
    "TakeFloatingIpCommand",
    "build_floating_ip_columns",
    "convert_record",
    "explain_refusal",
    "record_ports",
    "record_resources",
]
