"""Executors deploy a version of a service to a host.

Import this package alone: it registers the executors that are shipped. See docs/deploys-executors.md.
"""

from . import ansible, command  # Importing registers them.
from .contract import Code, Credentials, Executor, ExecutorError, HealthCheck, Order, Outcome, Release, Target
from .registry import (
    UnknownExecutorError,
    create_executor,
    find_executor_class,
    list_executor_names,
    register,
)

__all__ = [
    "Code",
    "Credentials",
    "Executor",
    "ExecutorError",
    "HealthCheck",
    "Order",
    "Outcome",
    "Release",
    "Target",
    "UnknownExecutorError",
    "ansible",
    "command",
    "create_executor",
    "find_executor_class",
    "list_executor_names",
    "register",
]
