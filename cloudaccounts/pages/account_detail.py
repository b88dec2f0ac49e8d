"""An account's own page: what the cloud says, its schedule, and how each of its types was synced last."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from api.page_addresses import page_fragment
from tasks import engine
from tasks.models import JobStatus
from tasks.serializers import JobSerializer
from tenants.scoped_pages import PageRequest, page_scope
from tenants.scoping import Scope

from ..clock_offsets import build_account_clock_warning
from ..commands import VerifyAccountCommand
from ..models import CloudAccount, SyncLog
from ..registry import type_label
from ..services.account_status import TypeSummary, load_account_statuses, summarize_types
from .accounts import get_provider_label, list_allowed_actions

ACCOUNTS = CloudAccount.objects.select_related("tenant").prefetch_related("resource_types")


@login_required
@never_cache
@require_GET
def account_detail_page(request: PageRequest, pk: int) -> HttpResponse:
    """Show an account; only staff see more of a shared one than the name."""
    scope = page_scope(request)
    account = get_object_or_404(ACCOUNTS.within(scope), pk=pk)
    return render(request, "cloudaccounts/account.html", _build_context(scope, account))


@page_fragment
@login_required
@never_cache
@require_GET
def account_live_part(request: PageRequest, pk: int) -> HttpResponse:
    """Render the part that changes while a job or a sync runs. Reload the page when the account has been deleted."""
    scope = page_scope(request)
    account = ACCOUNTS.within(scope).filter(pk=pk).first()
    if account is None:
        return HttpResponse(status=404, headers={"HX-Refresh": "true"})
    return render(request, "cloudaccounts/account_live.html", _build_context(scope, account))


def _build_context(scope: Scope, account: CloudAccount) -> dict[str, Any]:
    context = {
        "scope": scope,
        "account": account,
        "provider": get_provider_label(account.provider),
        "owned": account.is_owned_by(scope),
        **list_allowed_actions(scope),
    }
    if not context["owned"]:
        return context
    summaries = summarize_types(account)
    holders = engine.lock_holders([account.lock_key, *VerifyAccountCommand(account.pk).locks()])
    # A removal is shown rather than a verification.
    job = holders.get(account.lock_key) or next(iter(holders.values()), None)
    is_job_active = job is not None and job.status != JobStatus.STUCK
    found_regions = account.facts.get("regions", {})
    return context | {
        "clock_warning": build_account_clock_warning(account),
        "account_status": load_account_statuses([account])[account.pk],
        "chosen_types": [
            type_label(resource_type.provider, resource_type.code)
            for resource_type in account.resource_types.all()
        ],
        # As a list: `regions.items` of a template would return the value of a region named "items".
        "found_regions": sorted(found_regions.items()) if isinstance(found_regions, dict) else [],
        "summaries": summaries,
        "job": JobSerializer(job).data if job else None,
        "follow": is_job_active or any(map(_is_running, summaries)),
    }


def _is_running(summary: TypeSummary) -> bool:
    return summary.state == SyncLog.State.RUNNING
