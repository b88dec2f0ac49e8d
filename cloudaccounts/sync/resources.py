"""Resource syncs: one type of one account, from a complete listing of each region to rows.

A region's listing is compared and written page by page; resources that it did not show are counted only after its last
page. So an incomplete listing expires nothing, and the rows of a failed region stay.

Every transaction of a run begins by writing to its log under the run's own claim. A worker that has lost the claim (its
lease ran out, the account is being deleted) finds no row there, and writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import structlog
from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from api.messages import join_messages, limit_message, map_texts
from api.messages import message as _
from openstack_client.decoding import clean_text
from openstack_client.paging import prefetch_pages
from tasks import fairness
from tasks.clock import database_now
from tasks.crash_points import crash_point
from tasks.dispatch import dispatch_task
from tasks.leases import Lease, LeaseLostError

from ..clock_offsets import build_clock_warning
from ..connect import guard_request
from ..log_lines import build_sentence
from ..models import CloudAccount, ResourceChange, SyncLog, SyncLogLine
from ..registry import Provider, Syncer, UnknownProviderError, UnreadableResource, find_syncer, get_provider
from .change_origins import record_origins
from .clock_offsets import record_clock_offset
from .cloud_users import find_cloud_users
from .expiry import expire_unseen
from .observers import run_sync_observers
from .resource_writer import SyncTarget, WriteCounts, touch_unreadable, write_page

log = structlog.get_logger(__name__)

MAX_MESSAGE_LENGTH = 4000
# The numbers of unreadable objects that are named in a log's lines, and in its message.
MAX_NAMED = 50
MAX_NAMED_IN_MESSAGE = 5
QUEUE = "resources"
# The points at which a test may kill the process (tasks/crash_points.py): after each commit.
CRASH_POINTS = (
    "sync_opened",  # the logs are committed; no doorbell has rung
    "sync_claimed",  # a log is owned; nothing has been listed
    "sync_page",  # a page of a listing is committed; the rest of the listing is to come
    "sync_expired",  # a region's listing is complete, and what it did not show is committed
    "sync_ended",  # the result is committed
)


class SyncStoppedError(Exception):
    """The run has lost its claim: its log was closed, or another worker has it."""


def sync_resource(account_id: int, type_code: str) -> SyncLog | None:
    """Sync one type of an account in this process; None when such a sync is running already."""
    opened = SyncLog.objects.open(account_id, [type_code])
    return run_sync(opened[0]) if opened else None


def run_sync(log_id: int) -> SyncLog | None:
    """Run a requested sync; None when another worker has it, it has ended, or its tenant has no free share.

    Errors of clouds are not raised: the log holds them. A tenant whose clouds are slow uses at most its share of the
    worker's processes (`tasks/fairness.py`); its other syncs wait, and the next is dispatched when one has ended.
    """
    tenant_id = SyncLog.objects.filter(pk=log_id).values_list("account__tenant_id", flat=True).first()
    if not fairness.acquire_slot(tenant_id, QUEUE):
        return None
    try:
        return _run_log(log_id)
    finally:
        fairness.release_slot(tenant_id, QUEUE)
        if tenant_id is not None and fairness.slot_limit(QUEUE) is not None:
            waiting = SyncLog.objects.running().filter(owner="", account__tenant_id=tenant_id)
            dispatch_task("cloudaccounts.sync_resource", *waiting.order_by("pk").values_list("pk")[:1])


def _run_log(log_id: int) -> SyncLog | None:
    # A log whose lease has run out is closed by the sweep, and not claimed again.
    lease = Lease.acquire(SyncLog.objects.running().filter(pk=log_id), Q(owner=""))
    if lease is None:
        return None
    crash_point("sync_claimed")
    sync_log = SyncLog.objects.select_related("account").get(pk=log_id)
    try:
        with lease.kept_alive(guard_effects=True):
            _SyncRun(sync_log, lease).run()
    except (SyncStoppedError, LeaseLostError):
        log.info("resource_sync_stopped", log=log_id)
    return SyncLog.objects.filter(pk=log_id).first()


@dataclass
class _SyncRun:
    """One run of one log, under one claim."""

    sync_log: SyncLog
    lease: Lease
    # The changed resources of the region that is being listed.
    updated: int = 0
    # The changes in that region that no task explains.
    unexplained: int = 0
    # Descriptions of unreadable objects, for the log's message.
    unreadable_texts: list[str] = field(default_factory=list)

    def run(self) -> None:
        """Sync every region and write the result. Raises `SyncStoppedError`, `LeaseLostError`."""
        try:
            problems = self._sync_regions()
        except (SyncStoppedError, LeaseLostError):
            raise
        except Exception:
            log.exception("resource_sync_errored", log=self.sync_log.pk)
            problems = {"": _("Internal error.")}
        self._finish(problems)

    def _sync_regions(self) -> dict[str, str]:
        """Sync region after region; return the error of each, "" for none; the key "" holds an error of all regions."""
        account, type_code = self.sync_log.account, self.sync_log.type
        try:
            provider = get_provider(account)
        except UnknownProviderError:
            return {"": _("The cloud type '%(provider)s' is not installed.") % {"provider": account.provider}}
        syncer = find_syncer(account.provider, type_code)
        if syncer is None:
            message = _("Syncing '%(type)s' is not supported for %(provider)s.")
            return {"": message % {"type": type_code, "provider": provider.label}}
        if not account.active:
            return {"": _("The account is disabled.")}
        try:
            regions = provider.list_regions(account) if syncer.is_regional else [""]
        except provider.errors as error:
            self._record_sign_in_failure(provider, error)
            return {"": str(error)}
        if not regions:
            return {"": _("The cloud's catalog has no region.")}
        problems = {region: self._sync_region(provider, syncer, region) for region in regions}
        if any(problems.values()):
            return problems  # The name of a region that is not listed any more may only be misspelled in the account.
        # A person has removed a region from the account's list, so its losses need no confirmation. A region that has
        # vanished from the catalog may come back, so they do.
        known = account.resources.present().filter(type=type_code).order_by()
        for region in set(known.values_list("region", flat=True).distinct()) - set(regions):
            problems[region] = self._expire_unseen(
                syncer, region, database_now(), accepted=bool(account.regions)
            )
        return problems

    def _sync_region(self, provider: Provider, syncer: Syncer, region: str) -> str:
        """Sync a region; return the error, or "". Resources that were written before the error are kept."""
        self.updated = self.unexplained = 0
        try:
            return self._list_region(provider, syncer, region)
        except provider.errors as error:
            self._record_sign_in_failure(provider, error)
            problem = str(error)
        except (SyncStoppedError, LeaseLostError):
            raise
        except Exception:
            log.exception("resource_sync_errored", log=self.sync_log.pk, region=region)
            problem = _("Internal error.")
        with self._claim():
            self._record_origins(region)
            self._append_line(join_messages([region, problem], ": "), SyncLogLine.Level.ERROR)
        return problem

    def _record_sign_in_failure(self, provider: Provider, error: Exception) -> None:
        """Record on the account that the cloud refuses its credentials, so that pages show it before the next verification."""
        if isinstance(error, provider.sign_in_errors):
            CloudAccount.objects.filter(pk=self.sync_log.account_id, sign_in_failed_at=None).update(
                sign_in_failed_at=Now()
            )

    def _list_region(self, provider: Provider, syncer: Syncer, region: str) -> str:
        began = database_now()
        client = provider.open_client(self.sync_log.account, region)
        target = (self.sync_log.account_id, region, syncer.type)
        listed = 0
        unreadable: list[UnreadableResource] = []
        for number, page in enumerate(prefetch_pages(syncer.list_pages(client), guard_request), start=1):
            with self._claim():
                written, refused = write_page(target, page, began, log_id=self.sync_log.pk)
                listed += len(page)
                self.updated += written.updated
                self._record_unreadable(
                    target, [*getattr(page, "unreadable", ()), *refused], unreadable, began
                )
                self._add_write_counts(written)
                self._append_sentence(
                    "page",
                    region=region,
                    number=number,
                    seen=listed,
                    created=written.created,
                    updated=written.updated,
                )
            crash_point("sync_page")
        self._record_clock_offset(provider, client, region)
        if any(not resource.cloud_id for resource in unreadable):
            # Each resource that was not listed may be the object without an id.
            with self._claim():
                self._record_origins(region)
                self._append_sentence("no_id", SyncLogLine.Level.WARNING, region=region)
            return ""
        problem = self._expire_unseen(syncer, region, began, accepted=False)
        self._record_cloud_users(provider, client, target)
        return problem

    def _record_unreadable(
        self,
        target: SyncTarget,
        found: list[UnreadableResource],
        known: list[UnreadableResource],
        began: datetime,
    ) -> None:
        """Count objects that could not be read, name them in the log, and mark their rows as seen."""
        if not found:
            return
        touch_unreadable(target, [resource.cloud_id for resource in found if resource.cloud_id], began)
        for resource in found[: max(0, MAX_NAMED - len(known))]:
            self._append_sentence(
                "unreadable", SyncLogLine.Level.WARNING, region=target[1], object=str(resource)
            )
            self.unreadable_texts.append(clean_text(str(resource), 300))
        known += found
        self._add_counts(unreadable=len(found))

    def _record_clock_offset(self, provider: Provider, client: Any, region: str) -> None:
        """Record the offset of the cloud's clock on the account, and warn in the log if it is large."""
        offset = provider.read_clock_offset(client)
        record_clock_offset(self.sync_log.account, region, offset)
        if warning := build_clock_warning(offset):
            with self._claim():
                self._append_line(join_messages([region, warning], ": "), SyncLogLine.Level.WARNING)

    def _expire_unseen(self, syncer: Syncer, region: str, began: datetime, *, accepted: bool) -> str:
        """Expire rows that complete listings did not show; return why a mass loss is on hold, or ""."""
        with self._claim():
            accepted = accepted or SyncLog.objects.values_list("losses_accepted", flat=True).get(
                pk=self.sync_log.pk
            )
            target = (self.sync_log.account_id, region, syncer.type)
            lost = expire_unseen(
                target, began, after=syncer.expires_after, accepted=accepted, log_id=self.sync_log.pk
            )
            self._add_counts(expired=lost.expired, missing=lost.missing, held_back=lost.held_back)
            self._record_origins(region, expired=lost.expired)
            if (
                self.sync_log.account.is_managed
            ):  # The rows of other rooms are of clouds that the portal changes.
                run_sync_observers(syncer.type, self.sync_log.account_id, region, began)
            problem: str = ""
            if lost.held_back:
                problem = _(
                    "%(missing)s of %(total)s disappeared from the cloud. Their deletion is on hold until you confirm it."
                ) % {"missing": lost.held_back, "total": lost.present}
            self._append_sentence(
                "on_hold" if problem else "complete",
                SyncLogLine.Level.WARNING if problem else SyncLogLine.Level.INFO,
                region=region,
                missing=lost.missing,
                expired=lost.expired,
                held_back=lost.held_back,
                total=lost.present,
            )
        crash_point("sync_expired")
        return problem

    def _finish(self, problems: dict[str, str]) -> None:
        problems = {region: _clean_message(problem) for region, problem in problems.items()}
        failed = {region: problem for region, problem in problems.items() if problem}
        several = len(problems) > 1
        messages: list[str] = [
            join_messages([region, problem], ": ") if several else problem
            for region, problem in failed.items()
        ]
        state = SyncLog.State.FAILED if failed else SyncLog.State.SUCCESS
        if not failed:
            CloudAccount.objects.filter(pk=self.sync_log.account_id).exclude(sign_in_failed_at=None).update(
                sign_in_failed_at=None
            )
        if self.unreadable_texts:
            named = "; ".join(self.unreadable_texts[:MAX_NAMED_IN_MESSAGE])
            messages.append(_("Unreadable objects, the others were synced: %(objects)s") % {"objects": named})
        message = join_messages(messages)
        with self._claim():
            self._append_sentence(
                "ended",
                SyncLogLine.Level.ERROR if failed else SyncLogLine.Level.INFO,
                state=state.value,
                words=message,
            )
            self.lease.release(
                state=state,
                regions={region: problem for region, problem in problems.items() if region},
                message=limit_message(message, MAX_MESSAGE_LENGTH),
                ended_at=Now(),
            )
        crash_point("sync_ended")

    def _record_origins(self, region: str, *, expired: int = 0) -> None:
        """Record where the changes of a region come from. Without changes, it costs no statement."""
        if self.updated or expired:
            target = (self.sync_log.account_id, region, self.sync_log.type)
            self.unexplained = record_origins(self.sync_log.account, target, self.sync_log.pk)

    def _record_cloud_users(self, provider: Provider, client: Any, target: SyncTarget) -> None:
        """Record who made the changes from outside. The cloud is asked before the transaction begins."""
        if not self.unexplained:
            return
        if changes := find_cloud_users(provider, client, self.sync_log.account, target, self.sync_log.pk):
            with self._claim():
                ResourceChange.objects.bulk_update(changes, ["cloud_action", "cloud_user"])

    @contextmanager
    def _claim(self) -> Iterator[None]:
        """Open a transaction under the run's claim. Raises `SyncStoppedError` when the claim is lost.

        The log's row stays locked until the commit. So whoever closes the log waits for one page at the most, and this run
        writes nothing after that.
        """
        with transaction.atomic():
            if not self.lease.write(owner=self.lease.owner):
                raise SyncStoppedError
            yield

    def _add_write_counts(self, written: WriteCounts) -> None:
        self._add_counts(created=written.created, updated=written.updated, unchanged=written.unchanged)

    def _add_counts(self, **counts: int) -> None:
        increments = {name: F(name) + count for name, count in counts.items() if count}
        if increments:
            SyncLog.objects.filter(pk=self.sync_log.pk).update(**increments)

    def _append_sentence(self, code: str, level: str = SyncLogLine.Level.INFO, **params: str | int) -> None:
        """Append a line with one of the sentences of sync logs."""
        self._append_line(build_sentence(code, params), level)

    def _append_line(self, text: str, level: str = SyncLogLine.Level.INFO) -> None:
        SyncLogLine.objects.create(log_id=self.sync_log.pk, text=_clean_message(text), level=level)


def _clean_message(text: str) -> str:
    return limit_message(map_texts(text, clean_text), MAX_MESSAGE_LENGTH)
