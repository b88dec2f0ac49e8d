"""Record events that are no change of a row: a sign-in, an export, the reading of a secret, a refusal."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from .actors import describe_actor
from .models import Event


def record_event(
    code: str,
    *,
    tenant_id: UUID | None,
    object_type: str = "",
    object_id: object = "",
    object_name: str = "",
    parameters: dict[str, Any] | None = None,
    **actor: Any,
) -> Event:
    """Record an event in the caller's transaction, with the user of the present request as its actor.

    `actor` replaces columns of the actor, as for a sign-in, whose user is not yet that of the request.
    """
    event: Event = Event.objects.create(
        code=code,
        tenant_id=tenant_id,
        object_type=object_type,
        object_id=str(object_id)[:64],
        object_name=object_name.replace("\x00", "")[:300],
        parameters=parameters or {},
        **{**describe_actor(), **actor},
    )
    return event
