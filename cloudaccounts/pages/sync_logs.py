"""The pages of sync logs: the list, and a log with its lines, which follow while it runs."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from api.page_addresses import page_fragment
from tenants.scoped_pages import PageRequest, page_scope
from tenants.scoping import Scope

from ..filters import SyncLogFilter
from ..models import CloudAccount, ResourceType, SyncLog
from ..registry import list_providers, type_label
from ..serializers import SyncLogSerializer
from .accounts import list_allowed_actions
from .resources import apply_filters

PAGE_SIZE = 50
MAX_LINES = 500
FILTERS = ("account", "provider", "type", "state", "started_after", "started_before")
LOGS = SyncLog.objects.select_related("account", "asked_by")


@login_required
@never_cache
@require_GET
def sync_log_page(request: PageRequest) -> HttpResponse:
    """Show the sync logs of the accounts that the scope owns, newest first."""
    scope = page_scope(request)
    params, logs = apply_filters(request, SyncLogFilter, LOGS.within(scope), FILTERS, {})
    page = Paginator(logs.order_by("-id"), PAGE_SIZE).get_page(request.GET.get("page"))
    types = ResourceType.objects.order_by("order", "code")
    accounts = CloudAccount.objects.within(scope).order_by("name", "pk")
    shown_logs = SyncLogSerializer(list(page.object_list), many=True).data
    context = {
        "scope": scope,
        "page": page,
        "logs": shown_logs,
        "has_running": any(shown["state"] == SyncLog.State.RUNNING for shown in shown_logs),
        "params": params,
        "query": urlencode({name: value for name, value in params.items() if value}),
        "accounts": [account for account in accounts if account.is_owned_by(scope)],
        "providers": [(provider.code, provider.label) for provider in list_providers()],
        "types": {
            resource_type.code: type_label(resource_type.provider, resource_type.code)
            for resource_type in types
        },
        "states": SyncLog.State.choices,
    }
    return render(request, "cloudaccounts/sync_logs.html", context)


@login_required
@never_cache
@require_GET
def sync_log_detail_page(request: PageRequest, pk: int) -> HttpResponse:
    """Show a sync log with its counts, regions and lines."""
    scope = page_scope(request)
    log = get_object_or_404(LOGS.within(scope), pk=pk)
    return render(request, "cloudaccounts/sync_log.html", _build_context(scope, log, 0))


@page_fragment
@login_required
@never_cache
@require_GET
def sync_log_lines_part(request: PageRequest, pk: int) -> HttpResponse:
    """Render the lines after `?after=`, which the page appends, and the counts, which replace the page's."""
    scope = page_scope(request)
    log = get_object_or_404(LOGS.within(scope), pk=pk)
    after = request.GET.get("after", "")
    is_number = after.isascii() and after.isdigit() and len(after) < 19
    context = {**_build_context(scope, log, int(after) if is_number else 0), "is_part": True}
    return render(request, "cloudaccounts/sync_log_part.html", context)


def _build_context(scope: Scope, log: SyncLog, after: int) -> dict[str, Any]:
    # The log was read before its lines: of one that had ended, every line is there.
    lines = list(log.lines.filter(pk__gt=after).order_by("pk")[: MAX_LINES + 1])
    has_more, lines = len(lines) > MAX_LINES, lines[:MAX_LINES]
    return {
        "scope": scope,
        "log": log,
        "type": type_label(log.account.provider, log.type),
        "is_waiting": log.state == SyncLog.State.RUNNING and not log.owner,
        "regions": sorted(log.regions.items()),
        "lines": lines,
        "after": lines[-1].pk if lines else after,
        "has_more": has_more,
        "follow": has_more or log.state == SyncLog.State.RUNNING,
        "may_accept": list_allowed_actions(scope)["may_administer"] and _awaits_confirmation(log),
    }


def _awaits_confirmation(log: SyncLog) -> bool:
    """Return whether deletions wait for a person's confirmation: only those of the last sync of the type."""
    if not log.held_back or log.ended_at is None:
        return False
    later = SyncLog.objects.filter(account=log.account_id, type=log.type, pk__gt=log.pk)
    return not later.exists()
