"""What a worker does about deployments."""

from .deployment import DeployBatchCommand, DeployServiceCommand
from .instance import DeployInstanceCommand

__all__ = ["DeployBatchCommand", "DeployInstanceCommand", "DeployServiceCommand"]
