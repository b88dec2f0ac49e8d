"""Delete old deployments, where an operator has said how long they are kept."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.db.models import Exists, OuterRef
from django.utils import timezone

from ..models import Deployment, DeploymentItem


def prune_deployments(batch: int = 200) -> int:
    """Delete the deployments that ended longer than `DEPLOYMENT_RETENTION_DAYS` ago; return their number. With 0, all are kept.

    The last deployment of each service stays, however old it is: it says how the service came to be as it is. Their items with
    the logs go with them, `batch` deployments in a transaction.
    """
    if not settings.DEPLOYMENT_RETENTION_DAYS:
        return 0
    limit = timezone.now() - timedelta(days=settings.DEPLOYMENT_RETENTION_DAYS)
    later = Deployment.objects.filter(service=OuterRef("service"), created_at__gt=OuterRef("created_at"))
    old = Deployment.objects.filter(Exists(later), ended_at__lt=limit).order_by("created_at")
    ids = list(old.values_list("pk", flat=True))
    for first in range(0, len(ids), batch):
        some = ids[first : first + batch]
        DeploymentItem.objects.filter(deployment__in=some).delete()
        Deployment.objects.filter(pk__in=some).delete()
    return len(ids)
