"""Resource sync: one type of one account, from a complete listing of each region to rows.

A region's listing is compared and written page by page; only after its last page is anything said about what was not on
it. So half a listing expires nothing, and a region that fails leaves its rows as they were.

Every transaction of a run begins by writing to its log under the run's own claim. Who has lost the claim (his lease ran
out, the account is being removed) finds no row there, and writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import translation
from django.utils.translation import gettext as _

from openstack_client.paging import prefetch_pages
from tasks import fairness
from tasks.clock import database_now
from tasks.crash_points import crash_point
from tasks.dispatch import dispatch_task
from tasks.leases import Lease, LeaseLostError

from ..clock_offsets import build_clock_warning
from ..connect import refuse
from ..models import SyncLog, SyncLogLine
from ..registry import Provider, Syncer, UnknownProviderError, UnreadableResource, find_syncer, get_provider
from ..text_sanitizer import sanitize_text
from .clock_offsets import record_clock_offset
from .expiry import expire_unseen
from .resource_writer import SyncTarget, Written, touch_unreadable, write_page

log = structlog.get_logger(__name__)

LONGEST_MESSAGE = 4000
# Of what could not be read, so many are named in a log, and so many in its message.
MOST_NAMED = 50
MOST_NAMED_AT_ONCE = 5
QUEUE = "resources"
# Where a test may kill the process (tasks/crash_points.py): at each commit.
CRASH_POINTS = (
    "sync_opened",  # the logs are committed; no doorbell has rung
    "sync_claimed",  # a log is owned; nothing has been listed
    "sync_page",  # a page of a listing is committed; the rest of the listing is to come
    "sync_expired",  # a region's listing is complete, and what it did not show is committed
    "sync_ended",  # the last word is committed
)


class Stopped(Exception):
    """The run is no longer this worker's: it was closed, or another has it."""


def sync_resource(account_id: int, type_code: str) -> SyncLog | None:
    """Sync one type of an account here and now; None when such a sync is on already."""
    opened = SyncLog.objects.open(account_id, [type_code])
    return run_sync(opened[0]) if opened else None


def run_sync(log_id: int) -> SyncLog | None:
    """Carry out a sync that has been asked for; None when another worker has it, it has ended, or its tenant holds its share.

    Never raises for what a cloud does: the log says it. A tenant whose clouds are slow holds its share of the worker's
    processes at most (`tasks/fairness.py`); its other syncs wait, and the next is rung for when one of them has ended.
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
    entry = SyncLog.objects.select_related("account").get(pk=log_id)
    try:
        language = entry.language or settings.LANGUAGE_CODE
        with lease.kept_alive(guard_effects=True), translation.override(language):
            _Run(entry, lease).carry_out()
    except (Stopped, LeaseLostError):
        log.info("resource_sync_stopped", log=log_id)
    return SyncLog.objects.filter(pk=log_id).first()


@dataclass
class _Run:
    """One run of one log, under one claim."""

    entry: SyncLog
    lease: Lease
    # What could not be read, in words.
    unread: list[str] = field(default_factory=list)

    def carry_out(self) -> None:
        """Sync every region and write the last word. Raises `Stopped`, `LeaseLostError`."""
        try:
            problems = self._regions()
        except (Stopped, LeaseLostError):
            raise
        except Exception:
            log.exception("resource_sync_errored", log=self.entry.pk)
            problems = {"": _("Internal error.")}
        self._end(problems)

    def _regions(self) -> dict[str, str]:
        """Sync region after region; of each "" or why that failed, and under "" what is wrong with all."""
        account, type_code = self.entry.account, self.entry.type
        try:
            provider = get_provider(account)
        except UnknownProviderError:
            return {"": _("The provider '%(provider)s' is not installed.") % {"provider": account.provider}}
        syncer = find_syncer(account.provider, type_code)
        if syncer is None:
            words = {"type": type_code, "provider": provider.label}
            return {"": _("Syncing '%(type)s' is not supported for %(provider)s.") % words}
        if not account.active:
            return {"": _("The account is switched off.")}
        try:
            regions = provider.regions(account)
        except provider.errors as error:
            return {"": str(error)}
        if not regions:
            return {"": _("The cloud's catalog names no region.")}
        problems = {region: self._guarded(provider, syncer, region) for region in regions}
        if any(problems.values()):
            return problems  # A region that is not listed any more may only be misspelt now.
        # What the account named before and names no more has been dropped by a person; what vanished from the
        # catalog may be a moment's illness of it.
        known = account.resources.present().filter(type=type_code).order_by()
        for region in set(known.values_list("region", flat=True).distinct()) - set(regions):
            problems[region] = self._expire(syncer, region, database_now(), accepted=bool(account.regions))
        return problems

    def _guarded(self, provider: Provider, syncer: Syncer, region: str) -> str:
        """Sync a region; "" or why that failed, in words. What it had found until then is kept."""
        try:
            return self._region(provider, syncer, region)
        except provider.errors as error:
            problem = str(error)
        except (Stopped, LeaseLostError):
            raise
        except Exception:
            log.exception("resource_sync_errored", log=self.entry.pk, region=region)
            problem = _("Internal error.")
        with self._claim():
            self._line(f"{region}: {problem}", SyncLogLine.Level.ERROR)
        return problem

    def _region(self, provider: Provider, syncer: Syncer, region: str) -> str:
        began = database_now()
        client = provider.open(self.entry.account, region)
        place = (self.entry.account_id, region, syncer.type)
        seen = 0
        unreadable: list[UnreadableResource] = []
        for number, page in enumerate(prefetch_pages(syncer.pages(client), refuse), start=1):
            with self._claim():
                written, refused = write_page(place, page, began, log_id=self.entry.pk)
                seen += len(page)
                self._note_unreadable(place, [*getattr(page, "unreadable", ()), *refused], unreadable, began)
                self._count(written)
                self._line(
                    _("%(region)s: page %(number)s, %(seen)s so far; %(created)s new, %(updated)s changed.")
                    % {
                        "region": region,
                        "number": number,
                        "seen": seen,
                        "created": written.created,
                        "updated": written.updated,
                    }
                )
            crash_point("sync_page")
        self._note_clock(provider, client, region)
        if any(not one.cloud_id for one in unreadable):
            # Any of those that were not listed may be one of these.
            with self._claim():
                self._line(
                    _("%(region)s: something was listed without an id, so nothing is taken for missing.")
                    % {"region": region},
                    SyncLogLine.Level.WARNING,
                )
            return ""
        return self._expire(syncer, region, began, accepted=False)

    def _note_unreadable(
        self,
        place: SyncTarget,
        found: list[UnreadableResource],
        known: list[UnreadableResource],
        began: datetime,
    ) -> None:
        """Count what could not be read and name it in the log. What is known by its id has been seen all the same."""
        if not found:
            return
        touch_unreadable(place, [one.cloud_id for one in found if one.cloud_id], began)
        for one in found[: max(0, MOST_NAMED - len(known))]:
            words = {"region": place[1], "object": one}
            self._line(_("%(region)s: could not be read: %(object)s") % words, SyncLogLine.Level.WARNING)
            self.unread.append(sanitize_text(str(one), 300))
        known += found
        self._add(unreadable=len(found))

    def _note_clock(self, provider: Provider, client: Any, region: str) -> None:
        """Say on the account how far the cloud's clock is from ours, and in the log if it is far."""
        offset = provider.clock_offset(client)
        record_clock_offset(self.entry.account, region, offset)
        if words := build_clock_warning(offset):
            with self._claim():
                self._line(f"{region}: {words}", SyncLogLine.Level.WARNING)

    def _expire(self, syncer: Syncer, region: str, began: datetime, *, accepted: bool) -> str:
        """Say of what a complete listing did not show that it is missing; why its losses are not believed, or ""."""
        with self._claim():
            accepted = accepted or SyncLog.objects.values_list("losses_accepted", flat=True).get(
                pk=self.entry.pk
            )
            place = (self.entry.account_id, region, syncer.type)
            lost = expire_unseen(
                place, began, after=syncer.expires_after, accepted=accepted, log_id=self.entry.pk
            )
            self._add(expired=lost.expired, missing=lost.missing, held_back=lost.held_back)
            problem = ""
            if lost.held_back:
                problem = _(
                    "%(missing)s of %(total)s are no longer listed. That is not believed: nothing has expired. "
                    "If it is true, accept the losses."
                ) % {"missing": lost.held_back, "total": lost.present}
            self._line(
                _("%(region)s: listed to the end; %(missing)s missing, %(expired)s expired. %(problem)s")
                % {
                    "region": region,
                    "missing": lost.missing,
                    "expired": lost.expired,
                    "problem": problem,
                },
                SyncLogLine.Level.WARNING if problem else SyncLogLine.Level.INFO,
            )
        crash_point("sync_expired")
        return problem

    def _end(self, problems: dict[str, str]) -> None:
        problems = {region: sanitize_text(problem, LONGEST_MESSAGE) for region, problem in problems.items()}
        bad = {region: problem for region, problem in problems.items() if problem}
        several = len(problems) > 1
        words = [f"{region}: {problem}" if several else problem for region, problem in bad.items()]
        state = SyncLog.State.FAILED if bad else SyncLog.State.SUCCESS
        if self.unread:
            named = "; ".join(self.unread[:MOST_NAMED_AT_ONCE])
            words.append(_("Could not be read, the others are synced: %(objects)s") % {"objects": named})
        with self._claim():
            self._line(
                _("Ended: %(state)s. %(words)s") % {"state": state.label, "words": " ".join(words)},
                SyncLogLine.Level.ERROR if bad else SyncLogLine.Level.INFO,
            )
            self.lease.release(
                state=state,
                regions={region: problem for region, problem in problems.items() if region},
                message=" ".join(words)[:LONGEST_MESSAGE],
                ended_at=Now(),
            )
        crash_point("sync_ended")

    @contextmanager
    def _claim(self) -> Iterator[None]:
        """A transaction under the run's claim. Raises `Stopped` when another has it, or nobody may.

        The log's row stays locked until the commit, so whoever closes the log waits for a page at the most, and nothing
        of this run comes after that.
        """
        with transaction.atomic():
            if not self.lease.write(owner=self.lease.owner):
                raise Stopped
            yield

    def _count(self, written: Written) -> None:
        self._add(created=written.created, updated=written.updated, unchanged=written.unchanged)

    def _add(self, **counts: int) -> None:
        moved = {name: F(name) + count for name, count in counts.items() if count}
        if moved:
            SyncLog.objects.filter(pk=self.entry.pk).update(**moved)

    def _line(self, text: str, level: str = SyncLogLine.Level.INFO) -> None:
        SyncLogLine.objects.create(
            log_id=self.entry.pk, text=sanitize_text(text, LONGEST_MESSAGE), level=level
        )
