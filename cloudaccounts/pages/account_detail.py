"""An account's own pages: its status, its resource types with their syncs, and what its cloud has."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from pages.panels import is_panel_request, render_page
from tasks import engine
from tasks.models import JobStatus
from tasks.serializers import JobSerializer
from tenants.scoped_pages import PageRequest, page_scope
from tenants.scoping import Scope

from ..clock_offsets import build_account_clock_warning, build_clock_warning
from ..commands import VerifyAccountCommand
from ..credentials import find_form
from ..models import CloudAccount, SyncLog
from ..registry import type_label
from ..services.account_status import load_account_statuses, summarize_types
from .account_hosts import build_hosts_context, may_see_hosts
from .account_status import describe_status
from .accounts import get_provider_label, list_allowed_actions
from .sync_charts import draw_sync_charts

ACCOUNTS = CloudAccount.objects.select_related("tenant").prefetch_related("resource_types")


@login_required
@never_cache
@require_GET
def account_detail_page(request: PageRequest, pk: int) -> HttpResponse:
    """Show an account; only staff see more of a shared one than the name."""
    return _render_tab(request, pk, "overview")


@login_required
@never_cache
@require_GET
def account_types_page(request: PageRequest, pk: int) -> HttpResponse:
    """Show the resource types of an account: how many resources each has, and how it was synced last."""
    return _render_tab(request, pk, "types")


@login_required
@never_cache
@require_GET
def account_regions_page(request: PageRequest, pk: int) -> HttpResponse:
    """Show the regions and services that the last verification found."""
    return _render_tab(request, pk, "regions")


@login_required
@never_cache
@require_GET
def account_hosts_page(request: PageRequest, pk: int) -> HttpResponse:
    """Show the compute hosts of an account, for staff; for others there is no such page."""
    if not may_see_hosts(page_scope(request)):
        raise Http404
    return _render_tab(request, pk, "hosts")


def _render_tab(request: PageRequest, pk: int, tab: str) -> HttpResponse:
    scope = page_scope(request)
    account = get_object_or_404(ACCOUNTS.within(scope), pk=pk)
    context = _build_context(scope, account, tab)
    if tab == "overview" and context["owned"] and not is_panel_request(request):
        context["charts"] = draw_sync_charts(SyncLog.objects.filter(account=account))
    return render_page(
        request,
        "cloudaccounts/account.html",
        context,
        panels={"account": f"cloudaccounts/account_{tab}.html"},
    )


def _build_context(scope: Scope, account: CloudAccount, tab: str) -> dict[str, Any]:
    """Build the context of a tab. Raises `Http404` for a tab that only the owner of the account sees."""
    context = {
        "scope": scope,
        "account": account,
        "tab": tab,
        "panel": f"cloudaccounts/account_{tab}.html",
        "provider": get_provider_label(account.provider),
        "owned": account.is_owned_by(scope),
        **list_allowed_actions(scope),
    }
    if not context["owned"]:
        if tab != "overview":
            raise Http404
        return context
    context["sees_hosts"] = may_see_hosts(scope)
    summaries = summarize_types(account)
    holders = engine.lock_holders([account.lock_key, *VerifyAccountCommand(account.pk).locks()])
    # A removal is shown rather than a verification.
    job = holders.get(account.lock_key) or next(iter(holders.values()), None)
    is_job_active = job is not None and job.status != JobStatus.STUCK
    running = [summary for summary in summaries if summary.state == SyncLog.State.RUNNING]
    if tab == "hosts":
        context |= build_hosts_context(scope, account)
    hosts_job: Any = context.get("hosts_job")
    is_job_active |= hosts_job is not None and hosts_job["status"] != JobStatus.STUCK
    return context | {
        "badge": describe_status(account),
        "clock_warning": build_account_clock_warning(account),
        "account_status": load_account_statuses([account])[account.pk],
        "chosen_types": [
            type_label(resource_type.provider, resource_type.code)
            for resource_type in account.resource_types.all()
        ],
        "found_regions": _describe_regions(account),
        "vendor_facts": _describe_login(account),
        "summaries": summaries,
        "resource_count": sum(summary.resources for summary in summaries),
        "running_count": len(running),
        "failed_count": sum(summary.state == SyncLog.State.FAILED for summary in summaries),
        "held_back": [summary for summary in summaries if summary.held_back and summary.ended_at],
        "job": JobSerializer(job).data if job else None,
        "is_busy": is_job_active or bool(running),
    }


def _describe_login(account: CloudAccount) -> list[tuple[str, str]]:
    """Describe with what the portal signs in to a vendor with a form of its own, without secrets; [] for OpenStack."""
    form = find_form(account.provider)
    if form is None:
        return []
    values = {**account.options, form.identity: account.access_id}
    known = [(str(field.label), values[field.name]) for field in form.fields if values.get(field.name)]
    seen = [
        (str(_("Account of the vendor")), account.facts.get("project_id")),
        (str(_("Endpoint")), account.auth_url),
    ]
    return known + [(label, value) for label, value in seen if value]


def _describe_regions(account: CloudAccount) -> list[dict[str, Any]]:
    """Describe the regions that the last verification found; whatever else the facts hold is left out."""
    found = account.facts.get("regions", {})
    regions = found.items() if isinstance(found, dict) else ()
    return [
        {
            "name": name,
            "services": services if isinstance(services, list) else [services],
            "is_synced": not account.regions or name in account.regions,
            "offset": _read_offset(account, name),
            "clock_warning": build_clock_warning(_read_offset(account, name)),
        }
        for name, services in sorted(regions)
    ]


def _read_offset(account: CloudAccount, region: str) -> float | None:
    offset = account.clock_offsets.get(region)
    return offset if isinstance(offset, int | float) else None
