"""What can be asked of a volume by `volumes/{id}/actions/`: the room's own, and what rooms above register."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from tasks.models import Job
from tenants.scoping import Role, Scope

from .models import Volume


class Outcome(Protocol):
    """What every action answers with: the volume as it is now, and the job that changes it, None when nothing has to be."""

    @property
    def volume(self) -> Volume: ...
    @property
    def job(self) -> Job | None: ...


@dataclass(frozen=True, slots=True)
class VolumeAction:
    """An action: the fields that it needs and no others, the role, and the use case that is called with them."""

    needs: tuple[str, ...]
    role: Role
    do: Callable[..., Outcome]


_actions: dict[str, VolumeAction] = {}


def register_action(name: str, action: VolumeAction) -> None:
    """Offer an action under a name. Raises `ValueError` when the name is taken by another."""
    if _actions.setdefault(name, action) != action:
        raise ValueError(f"There are two actions on volumes called '{name}'.")


def volume_actions() -> Mapping[str, VolumeAction]:
    """Every action by its name."""
    return _actions


def act(scope: Scope, volume_id: UUID, name: str, fields: Mapping[str, Any]) -> Outcome:
    """Call the use case of an action. Raises what it raises."""
    return _actions[name].do(scope=scope, volume_id=volume_id, **fields)
