"""The errors for Neutron's types of refusals, which say more than the status.

Seen on Zed, in `NeutronError.type`. A type that is not in the table gets the error of its status (`translation.py`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .errors import (
    CloudAddressesExhaustedError,
    CloudAddressInUseError,
    CloudAddressOutsideSubnetError,
    CloudAlreadyExistsError,
    CloudChangedError,
    CloudDefaultGroupError,
    CloudError,
    CloudInUseError,
    CloudNoRouteError,
    CloudPortHasFloatingIpError,
    CloudPortSecurityError,
    CloudQuotaExceededError,
    CloudUnavailableError,
)

NEUTRON_ERRORS: Mapping[str, type[CloudError]] = {
    "OverQuota": CloudQuotaExceededError,
    "RetryRequest": CloudUnavailableError,
    "RevisionNumberConstraintFailed": CloudChangedError,
    "SecurityGroupInUse": CloudInUseError,
    "NetworkInUse": CloudInUseError,
    "SubnetInUse": CloudInUseError,
    "ServicePortInUse": CloudInUseError,
    "PortInUse": CloudInUseError,
    "RouterInUse": CloudInUseError,
    "SecurityGroupCannotRemoveDefault": CloudDefaultGroupError,
    "SecurityGroupCannotUpdateDefault": CloudDefaultGroupError,
    "SecurityGroupDefaultAlreadyExists": CloudDefaultGroupError,
    "SecurityGroupRuleExists": CloudAlreadyExistsError,
    "IpAddressAlreadyAllocated": CloudAddressInUseError,
    "IpAddressInUse": CloudAddressInUseError,
    "InvalidIpForSubnet": CloudAddressOutsideSubnetError,
    "InvalidIpForNetwork": CloudAddressOutsideSubnetError,
    "IpAddressGenerationFailure": CloudAddressesExhaustedError,
    "IpAddressGenerationFailureNoMatchingSubnet": CloudAddressesExhaustedError,
    "ExternalIpAddressExhausted": CloudAddressesExhaustedError,
    "ExternalGatewayForFloatingIPNotFound": CloudNoRouteError,
    "FloatingIPPortAlreadyAssociated": CloudPortHasFloatingIpError,
    "PortSecurityAndIPRequiredForSecurityGroups": CloudPortSecurityError,
}
_EXISTING_RULE = re.compile(r"Rule id is ([0-9A-Za-z-]{1,64})\b")


def get_neutron_type(body: Any) -> str | None:
    """Return the type of an error in Neutron's form, or None."""
    neutron = body.get("NeutronError") if isinstance(body, dict) else None
    found = neutron.get("type") if isinstance(neutron, dict) else None
    return found if isinstance(found, str) else None


def add_existing_id(error: CloudError) -> CloudError:
    """Set the id of the equal rule, which Neutron only names in its message."""
    if isinstance(error, CloudAlreadyExistsError) and (found := _EXISTING_RULE.search(error.message)):
        error.existing_id = found[1]
    return error
