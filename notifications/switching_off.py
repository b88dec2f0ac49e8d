"""Switch a reader off whose receiver has failed for days, and tell so by an event."""

from __future__ import annotations

from datetime import timedelta

from events.recording import record_event

from .models import Subscription, Webhook

# A reader is switched off when nothing was delivered for so long, although it was tried.
SWITCH_OFF_AFTER = timedelta(days=3)


def record_switching_off(reader: Webhook | Subscription, error: str) -> None:
    """Record the event of a reader that was switched off, in the transaction that has done it."""
    kind = reader._meta.model_name or ""  # noqa: SLF001 - Django's documented API.
    record_event(
        f"{kind}.switched_off",
        tenant_id=reader.tenant_id,
        object_type=kind,
        object_id=reader.pk,
        object_name=reader.name,
        parameters={"error": error},
    )
