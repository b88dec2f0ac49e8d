"""What a request was required to have while it was carried out, so that its answer is not given to who has it no longer.

`Scope.require` and `require_staff_permission` note what they check. `collect_requirements` gathers that for one piece
of work; `idempotency.py` keeps it with the answer and checks it again before a replay.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple


class TenantRequirement(NamedTuple):
    """A role in a tenant ("" when staff named none), or the permission that staff need in its place."""

    tenant_id: str
    role: str
    permission: str


class StaffRequirement(NamedTuple):
    """A permission of staff."""

    permission: str


Requirement = TenantRequirement | StaffRequirement
_collected: ContextVar[set[Requirement] | None] = ContextVar("requirements", default=None)


def note_requirement(requirement: Requirement) -> None:
    """Add to what is being collected; nothing happens when nobody collects."""
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
