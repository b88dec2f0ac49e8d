"""Record the roles and permissions that a request required, and require them again before its response is replayed.

A user may lose a role between a request and its replay. Each check of a role or permission calls `record_requirement`;
`collect_requirements` collects those of one request, `idempotency.py` stores them with the response, and the room that knows
roles and permissions registers with `register_requirement_check` how to check them again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

Requirement = tuple[str, ...]
Check = Callable[[Any, Iterable[Requirement]], None]
_collected: ContextVar[set[Requirement] | None] = ContextVar("requirements", default=None)
_checks: list[Check] = []


def record_requirement(requirement: Requirement) -> None:
    """Add a requirement to the present collection, if there is one."""
    collected = _collected.get()
    if collected is not None:
        collected.add(requirement)


@contextmanager
def collect_requirements() -> Iterator[set[Requirement]]:
    """Collect the requirements that are recorded while the block runs."""
    collected: set[Requirement] = set()
    token = _collected.set(collected)
    try:
        yield collected
    finally:
        _collected.reset(token)


def register_requirement_check(check: Check) -> Check:
    """Register a check that is called before each replay and raises the refusal. For a room's `AppConfig.ready()`."""
    _checks.append(check)
    return check


def check_requirements(user: Any, requirements: Iterable[Requirement]) -> None:
    """Raise the refusal of the first check that a user no longer passes."""
    recorded = [tuple(requirement) for requirement in requirements]
    for check in _checks if recorded else ():
        check(user, recorded)
