"""Require of a replayed answer what its first request was required to have.

A role may be lost between a request and its replay. Whatever checks a right notes that with `note_requirement`;
`collect_requirements` gathers the notes of one piece of work, `idempotency.py` keeps them with the answer, and the room that
knows roles and permissions says with `register_requirement_check` how they are checked again.
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


def note_requirement(requirement: Requirement) -> None:
    """Add a requirement to the collection; nothing happens when there is none."""
    collected = _collected.get()
    if collected is not None:
        collected.add(requirement)


@contextmanager
def collect_requirements() -> Iterator[set[Requirement]]:
    """Collect what is required while the block runs."""
    collected: set[Requirement] = set()
    token = _collected.set(collected)
    try:
        yield collected
    finally:
        _collected.reset(token)


def register_requirement_check(check: Check) -> Check:
    """Have `check(user, requirements)` called before each replay; it raises what the caller is told.

    Called from a room's `AppConfig.ready()`.
    """
    _checks.append(check)
    return check


def check_requirements(user: Any, requirements: Iterable[Requirement]) -> None:
    """Raise the refusal of the first check that a user no longer passes."""
    noted = [tuple(requirement) for requirement in requirements]
    for check in _checks if noted else ():
        check(user, noted)
