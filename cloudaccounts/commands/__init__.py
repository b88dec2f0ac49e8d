"""What workers do to cloud accounts, and what every command that speaks to one shares."""

from .cloud import CloudCommand, describe_refusal
from .removal import RemoveAccountCommand
from .verification import VerifyAccountCommand

__all__ = ["CloudCommand", "RemoveAccountCommand", "VerifyAccountCommand", "describe_refusal"]
