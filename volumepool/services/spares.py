"""Delete spares."""

from __future__ import annotations

from tasks import engine

from ..commands import RemoveSpareCommand
from ..models import SpareVolume


def delete_spare(spare: SpareVolume) -> None:
    """Submit the job that deletes a spare, in Cinder too. In the caller's transaction, under a lock on the row."""
    spare.status = SpareVolume.Status.REMOVING
    spare.save()
    engine.submit(RemoveSpareCommand(str(spare.pk), spare.pool_id))
