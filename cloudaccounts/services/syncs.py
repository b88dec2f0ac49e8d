"""Syncs: asked for, swept, forgotten."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import get_language, gettext_lazy
from django.utils.translation import gettext as _

from api.domain_errors import ConflictError, InvalidFieldsError, NotFoundError
from tasks.crash_points import crash_point_on_commit
from tasks.dispatch import dispatch_task
from tasks.leases import shorten_leases
from tenants.scoping import Role, Scope

from ..models import CloudAccount, CloudResource, ResourceChange, SyncLog
from ..queries import SELECT_FORGOTTEN_LOGS
from ..registry import list_synced_types, list_syncers
from ..schedules import write_schedules
from .accounts import require_account_access

# A log that no worker has taken for so long is rung for again; a queue may be longer than that, so not often.
RING_AGAIN_SECONDS = 120
AT_ONCE = 2000


def open_scheduled_syncs(account_id: int) -> None:
    """What the schedule of an account asks for."""
    with transaction.atomic():
        # Locked against removal and against being switched off, until the logs are there.
        on = CloudAccount.objects.select_for_update(no_key=True).filter(pk=account_id, active=True)
        if (account := on.first()) is not None:
            _ring(SyncLog.objects.open(account.pk, list_synced_types(account)))


def request_sync(
    *, scope: Scope, account_id: int, types: Iterable[str] | None = None, accept_losses: bool = False
) -> list[SyncLog]:
    """Have some types of an account synced, or all that it has chosen; their logs, which can be watched at once.

    A type that is being synced already is joined. A type that cannot be synced gets a log too, which says so. Raises
    `NotFoundError`, 403 `role_too_low` (operators may ask), 409 `account_inactive`, 400 for a word that is no type.
    """
    with transaction.atomic():
        account = _account(scope, account_id)
        codes = list(types) if types is not None else list_synced_types(account)
        _check_types(account, codes)
        _ring(
            SyncLog.objects.open(
                account.pk,
                codes,
                asked_by_id=scope.user.pk,
                losses_accepted=accept_losses,
                language=get_language(),
            )
        )
        running = SyncLog.objects.running().filter(account=account, type__in=codes)
        if accept_losses:
            running.update(losses_accepted=True)
        logs = {log.type: log for log in running.select_related("account", "asked_by")}
    return [logs[code] for code in codes if code in logs]


def accept_losses(*, scope: Scope, log_id: int) -> SyncLog:
    """Say that what a sync has held back is truly gone: a new sync of the type, which believes what it finds missing.

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
            gettext_lazy("This sync holds nothing back, or a later one has ended since; look at that one."),
        )
    (accepted,) = request_sync(scope=scope, account_id=log.account_id, types=[log.type], accept_losses=True)
    return accepted


def _account(scope: Scope, account_id: int) -> CloudAccount:
    # The account's row is locked against removal, and against being switched off, until the logs are there.
    visible = CloudAccount.objects.within(scope).select_for_update(of=("self",), no_key=True)
    account = require_account_access(scope, visible.filter(pk=account_id).first(), Role.OPERATOR)
    if not account.active:
        raise ConflictError(
            "account_inactive", gettext_lazy("The account is switched off; nothing of it is synced.")
        )
    return account


def _check_types(account: CloudAccount, codes: list[str]) -> None:
    known = [syncer.type for syncer in list_syncers(account.provider)]
    stored = set(account.resource_types.values_list("code", flat=True))
    unknown = [code for code in codes if code not in known and code not in stored]
    if unknown:
        raise InvalidFieldsError(
            {
                "types": [
                    _("'%(type)s' is no type of %(provider)s; known are: %(known)s.")
                    % {"type": unknown[0][:100], "provider": account.provider, "known": ", ".join(known)}
                ]
            }
        )


def _ring(log_ids: list[int]) -> None:
    if log_ids:
        crash_point_on_commit("sync_opened")
        dispatch_task("cloudaccounts.sync_resource", *[[log_id] for log_id in log_ids])


def sweep() -> None:
    """What every half minute puts right: dead syncs are closed, lost rings are repeated, schedules fit the accounts."""
    with transaction.atomic():
        # A worker that only sleeps may hold its log's row for as long as it does; it is passed over until it wakes.
        shorten_leases(SyncLog.objects.running())
        dead = SyncLog.objects.running().filter(lease_until__lt=Now()).select_for_update(skip_locked=True)
        SyncLog.objects.filter(pk__in=list(dead.values_list("pk", flat=True))).close(
            _("The worker that ran it ended before it did.")
        )
        _ring(_forgotten())
    write_schedules()


def _forgotten() -> list[int]:
    """Logs that no worker has taken for a while; they are noted as rung for."""
    with connection.cursor() as cursor:
        cursor.execute(
            SELECT_FORGOTTEN_LOGS,
            [RING_AGAIN_SECONDS, AT_ONCE],
        )
        return sorted(log_id for (log_id,) in cursor.fetchall())


def prune(batch: int = 5000) -> None:
    """Forget old logs, old changes, and what expired long ago, in batches.

    The last success of each account and type stays, however old: it says since when there was none.
    """
    now = timezone.now()
    logs = SyncLog.objects.filter(ended_at__lt=now - timedelta(days=settings.SYNC_LOG_RETENTION_DAYS))
    kept = (
        SyncLog.objects.filter(state=SyncLog.State.SUCCESS)
        .order_by("account_id", "type", "-id")
        .distinct("account_id", "type")
    )
    _delete_in_batches(logs.exclude(pk__in=list(kept.values_list("pk", flat=True))), batch)
    long_ago = now - timedelta(days=settings.RESOURCE_RETENTION_DAYS)
    _delete_in_batches(ResourceChange.objects.filter(at__lt=long_ago), batch)
    _delete_in_batches(CloudResource.objects.filter(expired_at__lt=long_ago), batch)


def _delete_in_batches(rows: QuerySet[Any], batch: int) -> None:
    while ids := list(rows.order_by("pk").values_list("pk", flat=True)[:batch]):
        rows.model.objects.filter(pk__in=ids).delete()
