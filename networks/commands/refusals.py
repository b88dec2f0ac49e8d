"""Explain refusals of Neutron's: why it refuses a request, and what to do."""

from __future__ import annotations

from api.messages import join_messages
from api.messages import message as _
from openstack_client import (
    CloudAddressesExhaustedError,
    CloudAddressInUseError,
    CloudAddressIsGatewayError,
    CloudAddressOutsideSubnetError,
    CloudError,
    CloudFloatingIpAttachedError,
    CloudNoRouteError,
    CloudPortHasFloatingIpError,
    CloudPortSecurityError,
    CloudQuotaExceededError,
)
from tasks.command import Failed


def explain_refusal(error: Exception) -> Failed | None:
    """Return the failure, in a sentence, of a request that Neutron refuses for a reason that is listed here; None for any other error."""
    if not isinstance(error, CloudError):
        return None
    texts: dict[type[CloudError], str] = {
        CloudAddressesExhaustedError: _("The network has no free address. Choose another network."),
        CloudAddressInUseError: _("The address is already in use. Choose another one."),
        CloudAddressIsGatewayError: _("The address is that of the subnet's gateway. Choose another one."),
        CloudAddressOutsideSubnetError: _("The address is outside the subnets of the network."),
        CloudNoRouteError: _(
            "No router connects the VM's network to the external network. Choose another interface or another external network."
        ),
        CloudPortHasFloatingIpError: _("The interface already has a floating IP. Detach that first."),
        CloudFloatingIpAttachedError: _(
            "The floating IP was attached elsewhere meanwhile. Detach it there first."
        ),
        CloudPortSecurityError: _(
            "The interface takes no security groups: port security is off for its network."
        ),
        CloudQuotaExceededError: _(
            "The quota of the cloud account is used up. Delete what is not needed, or ask the cloud's administrators for more."
        ),
    }
    for kind, text in texts.items():
        if isinstance(error, kind):
            return Failed(error.code, join_messages([text, f"({error})"]))
    return None
