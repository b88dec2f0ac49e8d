"""The executors that there are, by the name that services store. Adding one is a class and `@register`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from .contract import Executor

_executors: dict[str, type[Executor]] = {}
SomeExecutor = TypeVar("SomeExecutor", bound=type[Executor])


class UnknownExecutorError(LookupError):
    """A service names an executor that nothing has registered."""


def register(executor: SomeExecutor) -> SomeExecutor:
    """Make an executor known by its name."""
    if _executors.setdefault(executor.name, executor) is not executor:
        raise ValueError(f"Two executors are registered as '{executor.name}'.")
    return executor


def list_executor_names() -> list[str]:
    """The name of each, in order."""
    return sorted(_executors)


def find_executor_class(name: str) -> type[Executor]:
    """The class behind a name, for its label. Raises `UnknownExecutorError`."""
    try:
        return _executors[name]
    except KeyError:
        raise UnknownExecutorError(name) from None


def create_executor(name: str, options: Mapping[str, Any] | None = None) -> Executor:
    """An executor, made with the operator's options for it (its constructor's). Raises `UnknownExecutorError`."""
    return find_executor_class(name)(**(options or {}))
