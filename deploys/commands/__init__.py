"""What a worker does about deployments."""

from .deployment import DeployBatch, DeployService
from .instance import DeployInstance

__all__ = ["DeployBatch", "DeployInstance", "DeployService"]
