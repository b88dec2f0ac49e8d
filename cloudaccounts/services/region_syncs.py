"""Status syncs of accounts and regions, for VMs and volumes: request one, and find regions whose data is out of date."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Exists, Model, OuterRef, Q, QuerySet
from django.utils import timezone

from tasks.clock import TOLERANCE


def request_regions(states: type[Model], regions: Sequence[tuple[int, str]], column: str) -> QuerySet[Any]:
    """Record in the sync states of some accounts and regions that a sync is requested; return the states.

    Regions without a state get one. `column` holds the time of the request, which survives the loss of the broker's
    message. Safe beside a sync that creates the same states: existing ones are left as they are.
    """
    manager: Any = states._default_manager  # noqa: SLF001 - Django's documented API.
    manager.bulk_create(
        [states(account_id=account, region=region) for account, region in regions], ignore_conflicts=True
    )
    requested = Q(pk__in=[])
    for account, region in regions:
        requested |= Q(account=account, region=region)
    manager.filter(requested).update(**{column: timezone.now()})
    found: QuerySet[Any] = manager.filter(requested)
    return found


def select_outdated(states: type[Model], after: timedelta, now: datetime | None = None) -> QuerySet[Any]:
    """Return the states of active accounts whose last listing is older than `after`, missing, or in the future."""
    now = now or timezone.now()
    old = Q(listed_at=None) | Q(listed_at__lt=now - after) | Q(listed_at__gt=now + TOLERANCE)
    manager: Any = states._default_manager  # noqa: SLF001 - Django's documented API.
    found: QuerySet[Any] = manager.filter(old, account__active=True)
    return found


def select_stale(
    states: type[Model], synced: QuerySet[Any], after: timedelta, now: datetime | None = None
) -> QuerySet[Any]:
    """Return the outdated states of regions that have rows in `synced`: a region without any needs no listing."""
    here = synced.filter(account=OuterRef("account"), region=OuterRef("region"))
    return select_outdated(states, after, now).filter(Exists(here)).select_related("account")
