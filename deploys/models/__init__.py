"""Services, their versions, the hosts that they run on, and deployments of them."""

from .catalogue import MicroService, MicroServiceVersion
from .deployments import Deployment, DeploymentItem
from .hosts import DeployKey, Host, MicroServiceInstance

__all__ = [
    "DeployKey",
    "Deployment",
    "DeploymentItem",
    "Host",
    "MicroService",
    "MicroServiceInstance",
    "MicroServiceVersion",
]
