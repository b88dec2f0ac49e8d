"""Pages of the pools, for staff: state, chart, spares, orphans, and requests to refill or reconcile."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Q
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET
from rest_framework.permissions import SAFE_METHODS

from api.page_addresses import page_fragment, require_POST
from tasks.dispatch import dispatch_task
from tasks.models import Job
from tasks.serializers import describe_job
from tenants.scoped_pages import PageRequest, page_scope
from tenants.scoping import has_staff_permission

from ..charts import build_plot
from ..models import OrphanVolume, SpareVolume, VolumePool
from ..services.figures import PoolFigures, PoolState, compute_figures, derive_state
from ..services.pools import request_backfill
from ..services.stock import build_history

POOLS = VolumePool.objects.select_related("account")
PAGE_SIZE = 50
RANGES = (1, 7, 30)
SPARES_SHOWN, ORPHANS_SHOWN, JOBS_SHOWN = 50, 20, 10
JOB_KINDS = ("volumepool.create_spare", "volumepool.remove_spare")
# The refresh interval of a page: while spares are being created, and otherwise, because a claim may come at any time.
BUSY_REFRESH_SECONDS, IDLE_REFRESH_SECONDS = 2, 10

Page = Callable[..., HttpResponse]


def require_pool_permission(page: Page) -> Page:
    """Require the permission to view pools for a page's GET, and to change pools for its POST.

    Other users are refused before anything is looked up.
    """

    @login_required
    @never_cache
    @wraps(page)
    def check_and_call(request: PageRequest, **ids: int) -> HttpResponse:
        action = "view" if request.method in SAFE_METHODS else "change"
        if not has_staff_permission(request.user, f"volumepool.{action}_volumepool"):
            raise PermissionDenied
        return page(request, **ids)

    return check_and_call


@require_pool_permission
@require_GET
def pool_page(request: PageRequest) -> HttpResponse:
    """Show the list of pools with their figures."""
    search = request.GET.get("search", "")[:200].replace("\x00", "").strip()
    pools = POOLS.order_by("type", "account__name", "pk")
    if search:
        pools = pools.filter(Q(type__icontains=search) | Q(account__name__icontains=search))
    page = Paginator(pools, PAGE_SIZE).get_page(request.GET.get("page"))
    pools_of_page = list(page.object_list)
    figures = compute_figures(pools_of_page)
    rows = [_build_pool_context(pool, figures[pool.pk]) for pool in pools_of_page]
    context = {
        "scope": page_scope(request),
        "page": page,
        "rows": rows,
        "search": search,
        "query": urlencode({"search": search}) if search else "",
        "seconds": _choose_refresh_interval(any(_is_refilling(row) for row in rows)),
    }
    return render(request, "volumepool/pools.html", context)


@require_pool_permission
@require_GET
def pool_detail_page(request: PageRequest, pk: int) -> HttpResponse:
    """Show a pool with its chart, its spares and their jobs."""
    pool = get_object_or_404(POOLS, pk=pk)
    # The table beside the chart is not refreshed, because that would move the rows under the reader.
    context = {**_build_context(request, pool), "history_read_at": timezone.now()}
    return render(request, "volumepool/pool.html", context)


@page_fragment
@require_pool_permission
@require_GET
def pool_live_fragment(request: PageRequest, pk: int) -> HttpResponse:
    """Render the fragment that is refreshed. When the pool is gone, the page is reloaded."""
    pool = POOLS.filter(pk=pk).first()
    if pool is None:
        return HttpResponse(status=404, headers={"HX-Refresh": "true"})
    return render(request, "volumepool/pool_live.html", _build_context(request, pool))


@require_pool_permission
@require_POST
def refill_pool_page(request: PageRequest, pk: int) -> HttpResponse:
    """Request a backfill, or report why no spare can be created."""
    pool = get_object_or_404(POOLS, pk=pk)
    state = derive_state(pool, compute_figures([pool])[pk].available)
    if state in {PoolState.OFF, PoolState.SOURCE_MISSING}:
        messages.warning(request, _("The pool can't be refilled now: %(state)s.") % {"state": state.label})
    else:
        request_backfill(pool)
        messages.success(request, _("Checking the pool; missing volumes will be created."))
    return _redirect_to_pool(request, pk)


@require_pool_permission
@require_POST
def reconcile_pool_page(request: PageRequest, pk: int) -> HttpResponse:
    """Request the reconciliation of the pool's account and region."""
    pool = get_object_or_404(POOLS, pk=pk)
    if pool.account.active:
        dispatch_task("volumepool.reconcile", [pool.account_id, pool.region])
        messages.success(request, _("Reconciling with the cloud."))
    else:
        messages.warning(request, _("The account is disabled. Enable it to reconcile."))
    return _redirect_to_pool(request, pk)


def _redirect_to_pool(request: PageRequest, pk: int) -> HttpResponse:
    days = _parse_days(request.POST.get("days"))
    return redirect(f"{reverse('pool-detail-page', args=[pk])}?days={days}")


def _parse_days(text: str | None) -> int:
    """Return the requested range in days, or the default."""
    return next((days for days in RANGES if str(days) == text), RANGES[0])


def _build_context(request: PageRequest, pool: VolumePool) -> dict[str, Any]:
    days = _parse_days(request.GET.get("days"))
    history = build_history(pool.pk, days)
    row = _build_pool_context(pool, compute_figures([pool])[pool.pk])
    spares = SpareVolume.objects.filter(pool=pool)
    orphans = OrphanVolume.objects.filter(account=pool.account, region=pool.region)
    return {
        "scope": page_scope(request),
        **row,
        "row": row,
        "days": days,
        "ranges": RANGES,
        "history": history,
        "plot": build_plot(history),
        "spares": spares.order_by("status", "available_at", "pk")[:SPARES_SHOWN],
        "spare_count": spares.count(),
        "orphans": orphans.order_by("-last_seen_at", "pk")[:ORPHANS_SHOWN],
        "orphan_count": orphans.count(),
        "jobs": [(job, describe_job(job)) for job in _fetch_spare_jobs(pool)],
        "seconds": _choose_refresh_interval(_is_refilling(row)),
        "may_change": has_staff_permission(request.user, "volumepool.change_volumepool"),
    }


def _fetch_spare_jobs(pool: VolumePool) -> list[Job]:
    """Return the latest jobs of the pool's spares, also of deleted ones."""
    jobs = Job.objects.filter(
        tenant=None,
        kind__in=JOB_KINDS,
        params__pool_id=pool.pk,
        created_at__gt=timezone.now() - timedelta(days=1),
    )
    return list(jobs.order_by("-created_at")[:JOBS_SHOWN])


def _build_pool_context(pool: VolumePool, figures: PoolFigures) -> dict[str, Any]:
    """Return the context of a pool for both pages."""
    rate = figures.hit_rate
    return {
        "pool": pool,
        "figures": figures,
        "state": derive_state(pool, figures.available),
        "hit_rate": "-" if rate is None else f"{100 * rate:.0f} %",
        "saved": _format_seconds(figures.seconds_saved),
        "creation": _format_seconds(pool.creation_seconds),
    }


def _is_refilling(row: dict[str, Any]) -> bool:
    return bool(row["figures"].creating) or row["state"] == PoolState.FILLING


def _choose_refresh_interval(is_refilling: bool) -> int:
    return BUSY_REFRESH_SECONDS if is_refilling else IDLE_REFRESH_SECONDS


def _format_seconds(seconds: float | None) -> str:
    """Format a time span in a suitable unit."""
    if not seconds:
        return "-"
    if seconds < 120:
        return _("%(count)s s") % {"count": round(seconds)}
    if seconds < 7200:
        return _("%(count)s min") % {"count": round(seconds / 60)}
    return _("%(count)s h") % {"count": round(seconds / 3600)}
