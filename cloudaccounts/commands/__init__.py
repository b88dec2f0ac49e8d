"""Commands on cloud accounts, and the base class of commands that call one."""

from .cloud import CloudCommand, describe_refusal
from .hosts import ReadHostsCommand
from .removal import RemoveAccountCommand
from .verification import VerifyAccountCommand

__all__ = [
    "CloudCommand",
    "ReadHostsCommand",
    "RemoveAccountCommand",
    "VerifyAccountCommand",
    "describe_refusal",
]
