"""The admin of services, versions, hosts, instances and keys, with the checks of the API; deployments are read-only."""

from .catalogue import MicroServiceAdmin, MicroServiceVersionAdmin
from .deployments import DeploymentAdmin, DeploymentItemAdmin
from .hosts import DeployKeyAdmin, HostAdmin, MicroServiceInstanceAdmin

__all__ = [
    "DeployKeyAdmin",
    "DeploymentAdmin",
    "DeploymentItemAdmin",
    "HostAdmin",
    "MicroServiceAdmin",
    "MicroServiceInstanceAdmin",
    "MicroServiceVersionAdmin",
]
