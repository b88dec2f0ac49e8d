"""Syncs: requests by people and schedules, the sweep, the deletion of old history."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy

from api.domain_errors import ConflictError, InvalidFieldsError, NotFoundError
from api.messages import message as _
from tasks.crash_points import crash_point_on_commit
from tasks.dispatch import dispatch_task
from tasks.leases import shorten_leases
from tenants.scoping import Role, Scope

from ..models import CloudAccount, CloudResource, ReleasedObject, ResourceChange, SyncLog
from ..queries import SELECT_UNCLAIMED_LOGS
from ..registry import list_synced_types, list_syncers
from ..schedules import write_schedules
from .accounts import require_account_access

# A log that no worker has claimed for this time is dispatched again. Not sooner, because messages may wait in a queue.
REDISPATCH_SECONDS = 120
MAX_REDISPATCHED = 2000


def open_scheduled_syncs(account_id: int) -> None:
    """Open the syncs of an account's types, when its schedule is due."""
    with transaction.atomic():
        # Locked, so that it is neither deleted nor disabled before the logs are written.
        active = CloudAccount.objects.select_for_update(no_key=True).filter(pk=account_id, active=True)
        if (account := active.first()) is not None:
            _dispatch_syncs(SyncLog.objects.open(account.pk, list_synced_types(account)))


def request_sync(
    *, scope: Scope, account_id: int, types: Iterable[str] | None = None, accept_losses: bool = False
) -> list[SyncLog]:
    """Request a sync of some types of an account, or of all that it has selected; return their logs.

    The request joins a sync that is running. A type that cannot be synced gets a log, too, with that error. Raises
    `NotFoundError`, 403 `role_too_low` below operator, 409 `account_inactive`, 400 for an unknown type.
    """
    with transaction.atomic():
        account = _lock_active_account(scope, account_id)
        codes = list(types) if types is not None else list_synced_types(account)
        _check_types(account, codes)
        _dispatch_syncs(
            SyncLog.objects.open(
                account.pk,
                codes,
                asked_by_id=scope.user.pk,
                losses_accepted=accept_losses,
            )
        )
        running = SyncLog.objects.running().filter(account=account, type__in=codes)
        if accept_losses:
            running.update(losses_accepted=True)
        logs = {log.type: log for log in running.select_related("account", "asked_by")}
    return [logs[code] for code in codes if code in logs]


def accept_losses(*, scope: Scope, log_id: int) -> SyncLog:
    """Confirm the deletions that a sync holds back: start a new sync of the type, which expires whatever is missing.

    Raises `NotFoundError`, 403 `role_too_low`, 409 `nothing_held_back`, also when a later sync of the type has ended since.
    """
    log: SyncLog | None = SyncLog.objects.within(scope).filter(pk=log_id).first()
    if log is None:
        raise NotFoundError
    scope.require(Role.ADMIN, CloudAccount)
    last = SyncLog.objects.filter(account=log.account_id, type=log.type, ended_at__isnull=False)
    if not log.held_back or last.values_list("pk", flat=True).first() != log.pk:
        raise ConflictError(
            "nothing_held_back",
            gettext_lazy(
                "No deletions are on hold here, or a later sync has ended since. Open the latest sync."
            ),
        )
    (accepted,) = request_sync(scope=scope, account_id=log.account_id, types=[log.type], accept_losses=True)
    return accepted


def _lock_active_account(scope: Scope, account_id: int) -> CloudAccount:
    # Locked, so that the account is neither deleted nor disabled before the logs are written.
    visible = CloudAccount.objects.within(scope).select_for_update(of=("self",), no_key=True)
    account = require_account_access(scope, visible.filter(pk=account_id).first(), Role.OPERATOR)
    if not account.active:
        raise ConflictError("account_inactive", gettext_lazy("The account is disabled. Enable it to sync."))
    return account


def _check_types(account: CloudAccount, codes: list[str]) -> None:
    known = [syncer.type for syncer in list_syncers(account.provider)]
    stored = set(account.resource_types.values_list("code", flat=True))
    unknown = [code for code in codes if code not in known and code not in stored]
    if unknown:
        raise InvalidFieldsError(
            {
                "types": [
                    _("Unknown resource type '%(type)s'. %(provider)s has: %(known)s.")
                    % {"type": unknown[0][:100], "provider": account.provider, "known": ", ".join(known)}
                ]
            }
        )


def _dispatch_syncs(log_ids: list[int]) -> None:
    if log_ids:
        crash_point_on_commit("sync_opened")
        dispatch_task("cloudaccounts.sync_resource", *[[log_id] for log_id in log_ids])


def sweep_syncs() -> None:
    """Close syncs whose worker died, dispatch logs again that no worker has claimed, and repair schedules of accounts."""
    with transaction.atomic():
        # A worker that is suspended may hold its log's row locked; the row is skipped until the worker resumes.
        shorten_leases(SyncLog.objects.running())
        dead = SyncLog.objects.running().filter(lease_until__lt=Now()).select_for_update(skip_locked=True)
        SyncLog.objects.filter(pk__in=list(dead.values_list("pk", flat=True))).close(
            _("The worker stopped before the sync ended.")
        )
        _dispatch_syncs(_select_unclaimed())
    write_schedules()


def _select_unclaimed() -> list[int]:
    """Return the ids of logs that no worker has claimed for a while, and mark them as dispatched."""
    with connection.cursor() as cursor:
        cursor.execute(
            SELECT_UNCLAIMED_LOGS,
            [REDISPATCH_SECONDS, MAX_REDISPATCHED],
        )
        return sorted(log_id for (log_id,) in cursor.fetchall())


def prune_history(batch: int = 5000) -> None:
    """Delete old logs, old changes, and resources that expired long ago, in batches.

    With such a resource goes the record that it was released. A released object without a resource keeps its record: its
    type may not be synced.

    The last success of each account and type stays, however old: staleness is measured from it.
    """
    now = timezone.now()
    logs = SyncLog.objects.filter(ended_at__lt=now - timedelta(days=settings.SYNC_LOG_RETENTION_DAYS))
    last_successes = (
        SyncLog.objects.filter(state=SyncLog.State.SUCCESS)
        .order_by("account_id", "type", "-id")
        .distinct("account_id", "type")
    )
    _delete_in_batches(logs.exclude(pk__in=list(last_successes.values_list("pk", flat=True))), batch)
    long_ago = now - timedelta(days=settings.RESOURCE_RETENTION_DAYS)
    _delete_in_batches(ResourceChange.objects.filter(at__lt=long_ago), batch)
    expired = CloudResource.objects.filter(expired_at__lt=long_ago)
    seen = CloudResource.objects.present().filter(cloud_id=OuterRef("cloud_id"))
    lost = ReleasedObject.objects.filter(Exists(expired.filter(cloud_id=OuterRef("cloud_id"))), ~Exists(seen))
    _delete_in_batches(lost, batch)
    _delete_in_batches(expired, batch)


def _delete_in_batches(queryset: QuerySet[Any], batch: int) -> None:
    while ids := list(queryset.order_by("pk").values_list("pk", flat=True)[:batch]):
        queryset.model.objects.filter(pk__in=ids).delete()
