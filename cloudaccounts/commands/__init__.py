"""What workers do to cloud accounts, and what every command that speaks to one shares."""

from .cloud import CloudCommand, refused_by_cloud
from .removal import RemoveAccount
from .verification import VerifyAccount

__all__ = ["CloudCommand", "RemoveAccount", "VerifyAccount", "refused_by_cloud"]
