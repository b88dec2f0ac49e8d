"""Services, versions, hosts and instances in the admin, checked as over REST; deployments to be read. Keys go in alone."""

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
