"""Actions on a volume by `volumes/{id}/actions/`: those of this room, and those that rooms above register."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from tasks.models import Job
from tenants.scoping import Role, Scope

from .models import Volume


class ActionResult(Protocol):
    """The result of an action: the volume as it is now, and the job that changes it; None when there is no change."""

    @property
    def volume(self) -> Volume: ...
    @property
    def job(self) -> Job | None: ...


@dataclass(frozen=True, slots=True)
class VolumeAction:
    """An action: the fields that it takes, the role that it requires, and its use case."""

    needs: tuple[str, ...]
    role: Role
    use_case: Callable[..., ActionResult]


_actions: dict[str, VolumeAction] = {}


def register_action(name: str, action: VolumeAction) -> None:
    """Register an action under a name. Raises `ValueError` when another one has the name."""
    if _actions.setdefault(name, action) != action:
        raise ValueError(f"Another action on volumes is registered as '{name}'.")


def list_volume_actions() -> Mapping[str, VolumeAction]:
    """Return every action by its name."""
    return _actions


def run_action(scope: Scope, volume_id: UUID, name: str, fields: Mapping[str, Any]) -> ActionResult:
    """Run the use case of an action. Raises what it raises."""
    return _actions[name].use_case(scope=scope, volume_id=volume_id, **fields)
