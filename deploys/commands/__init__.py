"""The commands that carry out deployments."""

from .deployment import DeployBatchCommand, DeployServiceCommand
from .instance import DeployInstanceCommand

__all__ = ["DeployBatchCommand", "DeployInstanceCommand", "DeployServiceCommand"]
