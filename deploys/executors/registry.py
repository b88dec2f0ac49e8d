"""The registry of executors, by the name that services store. A new one is a class with `@register`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from .contract import Executor

_executors: dict[str, type[Executor]] = {}
SomeExecutor = TypeVar("SomeExecutor", bound=type[Executor])


class UnknownExecutorError(LookupError):
    """A service names an executor that is not registered."""


def register(executor: SomeExecutor) -> SomeExecutor:
    """Register an executor under its name."""
    if _executors.setdefault(executor.name, executor) is not executor:
        raise ValueError(f"Two executors are registered as '{executor.name}'.")
    return executor


def list_executor_names() -> list[str]:
    """Return the registered names in order."""
    return sorted(_executors)


def find_executor_class(name: str) -> type[Executor]:
    """Return the class of a name. Raises `UnknownExecutorError`."""
    try:
        return _executors[name]
    except KeyError:
        raise UnknownExecutorError(name) from None


def create_executor(name: str, options: Mapping[str, Any] | None = None) -> Executor:
    """Return an executor with the operator's options (its constructor's). Raises `UnknownExecutorError`."""
    return find_executor_class(name)(**(options or {}))
