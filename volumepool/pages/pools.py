"""Pages of the pools, for staff: state, charts, spares, orphans, and requests to refill or reconcile."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET
from rest_framework.permissions import SAFE_METHODS

from api.page_addresses import require_POST
from cloudaccounts.models import CloudAccount
from pages.charts import Chart, Series, draw_bars, draw_lines
from pages.cloud_statuses import label_cloud_status
from pages.lists import Filter, read_list_query
from pages.panels import render_messages, render_page
from pages.tables import declare_table
from tasks.dispatch import dispatch_task
from tasks.models import Job
from tasks.serializers import describe_job
from tenants.scoped_pages import PageRequest, page_scope
from tenants.scoping import has_staff_permission

from ..models import OrphanVolume, SpareVolume, VolumePool
from ..services.figures import PoolFigures, PoolState, compute_figures, derive_state
from ..services.pools import request_backfill
from ..services.stock import History, build_history

POOLS = VolumePool.objects.select_related("account")
ORDERINGS = frozenset({"type", "size_gb", "desired"})
declare_table(
    "pools",
    [
        ("size", pgettext_lazy("volume", "Size")),
        ("account", gettext_lazy("Cloud account")),
        ("status", gettext_lazy("Status")),
        ("ready", gettext_lazy("Ready / desired")),
        ("creating", gettext_lazy("Creating")),
        ("claimed", gettext_lazy("Claimed today")),
        ("hit_rate", gettext_lazy("Hit rate")),
        ("saved", gettext_lazy("Wait time saved")),
        ("suggested", gettext_lazy("Suggested size")),
    ],
)
RANGES = (1, 7, 30)
SPARES_SHOWN, ORPHANS_SHOWN, JOBS_SHOWN = 50, 20, 10
JOB_KINDS = ("volumepool.create_spare", "volumepool.remove_spare")

Page = Callable[..., HttpResponse]


def require_permission(action: str = "") -> Callable[[Page], Page]:
    """Require a permission of pools: to view for a page's GET and to change for its POST, unless an action is named.

    Other users are refused before anything is looked up.
    """

    def decorate(page: Page) -> Page:
        @login_required
        @never_cache
        @wraps(page)
        def check_and_call(request: PageRequest, **ids: int) -> HttpResponse:
            needed = action or ("view" if request.method in SAFE_METHODS else "change")
            if not has_staff_permission(request.user, f"volumepool.{needed}_volumepool"):
                raise PermissionDenied
            return page(request, **ids)

        return check_and_call

    return decorate


@require_permission()
@require_GET
def pool_page(request: PageRequest) -> HttpResponse:
    """Show the list of pools with their figures."""
    accounts = CloudAccount.objects.filter(volume_pools__isnull=False).distinct().order_by("name")
    filters = [
        Filter(
            "account",
            _("Cloud account"),
            _("All cloud accounts"),
            [(str(account.pk), account.name) for account in accounts],
        ),
    ]
    query = read_list_query(request, filters, orderings=ORDERINGS, ordering="type")
    pools = POOLS.filter(**query.values).order_by(query.ordering, "account__name", "pk")
    if query.search:
        pools = pools.filter(Q(type__icontains=query.search) | Q(account__name__icontains=query.search))
    page = query.paginate(pools)
    pools_of_page = list(page.object_list)
    figures = compute_figures(pools_of_page)
    rows = [_build_pool_context(pool, figures[pool.pk]) for pool in pools_of_page]
    context = {
        "scope": page_scope(request),
        "page": page,
        "rows": rows,
        "query": query,
        "ordering": query.ordering,
        "is_busy": any(_is_refilling(row) for row in rows),
        "may_add": has_staff_permission(request.user, "volumepool.add_volumepool"),
    }
    return render_page(
        request, "volumepool/pools.html", context, panels={"pools": "volumepool/pool_table.html"}
    )


@require_permission()
@require_GET
def pool_detail_page(request: PageRequest, pk: int) -> HttpResponse:
    """Show a pool with its charts, its spares and their jobs."""
    pool = get_object_or_404(POOLS, pk=pk)
    panels = {
        "pool": "volumepool/pool_state.html",
        "history": "volumepool/pool_history.html",
        "spares": "volumepool/pool_spares.html",
    }
    return render_page(request, "volumepool/pool.html", _build_context(request, pool), panels=panels)


@require_permission()
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
    return _answer(request, pk)


@require_permission()
@require_POST
def reconcile_pool_page(request: PageRequest, pk: int) -> HttpResponse:
    """Request the reconciliation of the pool's account and region."""
    pool = get_object_or_404(POOLS, pk=pk)
    if pool.account.active:
        dispatch_task("volumepool.reconcile", [pool.account_id, pool.region])
        messages.success(request, _("Reconciling with the cloud."))
    else:
        messages.warning(request, _("The account is disabled. Enable it to reconcile."))
    return _answer(request, pk)


def _answer(request: PageRequest, pk: int) -> HttpResponse:
    if request.htmx:
        return render_messages(request)
    days = _parse_days(request.POST.get("days"))
    return redirect(f"{reverse('pool-detail-page', args=[pk])}?days={days}")


def _parse_days(text: str | None) -> int:
    """Return the requested range in days, or the default."""
    return next((days for days in RANGES if str(days) == text), RANGES[0])


def _build_context(request: PageRequest, pool: VolumePool) -> dict[str, Any]:
    days = _parse_days(request.GET.get("days"))
    row = _build_pool_context(pool, compute_figures([pool])[pool.pk])
    spares = SpareVolume.objects.filter(pool=pool)
    orphans = OrphanVolume.objects.filter(account=pool.account, region=pool.region)
    return {
        "scope": page_scope(request),
        **row,
        "days": days,
        "ranges": RANGES,
        # Called by the template that shows the charts alone: the panel with the state is asked for more often.
        "charts": lambda: draw_history(pool, build_history(pool.pk, days)),
        "spares": spares.order_by("status", "available_at", "pk")[:SPARES_SHOWN],
        "spare_count": spares.count(),
        "orphans": [
            (orphan, label_cloud_status(orphan.status))
            for orphan in orphans.order_by("-last_seen_at", "pk")[:ORPHANS_SHOWN]
        ],
        "orphan_count": orphans.count(),
        "jobs": [(job, describe_job(job)) for job in _fetch_spare_jobs(pool)],
        "is_busy": _is_refilling(row),
        "may_change": has_staff_permission(request.user, "volumepool.change_volumepool"),
        "may_delete": has_staff_permission(request.user, "volumepool.delete_volumepool"),
    }


def draw_history(pool: VolumePool, history: History) -> list[Chart]:
    """Draw the stock of a pool over time, and below it the claims. Nothing when nothing was recorded."""
    if history.is_empty:
        return []
    points = history.points
    times = [point.at for point in points]
    recorded = [point for point in points if point.desired is not None]
    hits, misses = sum(point.hits for point in points), sum(point.misses for point in points)
    stock = ""
    if recorded:
        stock = _("Between %(fewest)s and %(most)s were available; %(desired)s are desired.") % {
            "fewest": min(point.available_min or 0 for point in recorded),
            "most": round(max(point.available_avg or 0 for point in recorded)),
            "desired": recorded[-1].desired,
        }
    claims = _("%(hits)s served from the pool, %(misses)s created on demand.") % {
        "hits": hits,
        "misses": misses,
    }
    return [
        draw_lines(
            _("Spares of %(type)s") % {"type": pool.type},
            times,
            [
                Series(_("Available, on average"), [point.available_avg for point in points]),
                Series(_("Fewest available"), [point.available_min for point in points]),
                Series(_("Desired"), [point.desired for point in points]),
                Series(_("Creating"), [point.creating for point in points]),
            ],
            subtitle=stock,
        ),
        draw_bars(
            _("Claims of %(type)s") % {"type": pool.type},
            times,
            [
                Series(_("Served from pool"), [point.hits for point in points], "good"),
                Series(_("Created on demand"), [point.misses for point in points], "bad"),
            ],
            subtitle=claims,
        ),
    ]


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
        "hit_rate": "—" if rate is None else f"{100 * rate:.0f}%",
        "saved": figures.seconds_saved or None,
        "is_too_small": bool(figures.suggested and figures.suggested > pool.desired),
    }


def _is_refilling(row: dict[str, Any]) -> bool:
    return bool(row["figures"].creating) or row["state"] == PoolState.FILLING
