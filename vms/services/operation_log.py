"""Delete old entries of the operation log, where an operator has said how long they are kept."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from ..models import VMOperationLog


def prune_operation_log(batch: int = 5000) -> int:
    """Delete the entries that are older than `OPERATION_LOG_RETENTION_DAYS`; return their number. With 0, all are kept.

    The oldest entries have the lowest ids, so only the first batch that has younger ones is read in vain, and the time needs no
    index. An entry that was written with an older time than one before it goes a run later.
    """
    if not settings.OPERATION_LOG_RETENTION_DAYS:
        return 0
    limit = timezone.now() - timedelta(days=settings.OPERATION_LOG_RETENTION_DAYS)
    deleted = 0
    while True:
        oldest = VMOperationLog.objects.order_by("pk").values_list("pk", "at")[:batch]
        old = [pk for pk, at in oldest if at < limit]
        deleted += VMOperationLog.objects.filter(pk__in=old).delete()[0]
        if len(old) < batch:
            return deleted
