"""Delete orphans, on request or when `settings.ORPHANS_REMOVE` allows it."""

from __future__ import annotations

from django.db import transaction

from api.domain_errors import NotFoundError
from tasks import engine
from tasks.models import Job
from tenants.models import User

from ..commands.orphans import RemoveOrphanCommand
from ..models import Orphan
from ..sync.orphans import sweep_region


def remove_orphan(*, orphan_id: int, user: User | None) -> Job:
    """Submit the job that deletes an orphan in its cloud. Raises `NotFoundError`, and 409 `busy`."""
    with transaction.atomic():
        orphan = Orphan.objects.select_for_update().filter(pk=orphan_id).first()
        if orphan is None:
            raise NotFoundError
        return engine.submit(RemoveOrphanCommand(orphan.pk), user=user).job


def sweep_orphans(account_id: int, region: str) -> None:
    """Sweep one account and region for orphans, and delete those that the setting allows to delete."""
    for orphan_id in sweep_region(account_id, region):
        remove_orphan(orphan_id=orphan_id, user=None)
