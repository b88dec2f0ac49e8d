"""Sync logs: the list, and one of them with its lines, which are read while it runs."""

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
from ..registry import providers, type_label
from ..serializers import SyncLogSerializer
from .accounts import may
from .resources import apply_filters

PAGE_SIZE = 50
LINES_AT_ONCE = 500
FILTERS = ("account", "provider", "type", "state", "started_after", "started_before")
LOGS = SyncLog.objects.select_related("account", "asked_by")


@login_required
@never_cache
@require_GET
def sync_log_page(request: PageRequest) -> HttpResponse:
    """The syncs of one's accounts, newest first."""
    scope = page_scope(request)
    wish, logs = apply_filters(request, SyncLogFilter, LOGS.within(scope), FILTERS, {})
    page = Paginator(logs.order_by("-id"), PAGE_SIZE).get_page(request.GET.get("page"))
    kinds = ResourceType.objects.order_by("order", "code")
    accounts = CloudAccount.objects.within(scope).order_by("name", "pk")
    rows = SyncLogSerializer(list(page.object_list), many=True).data
    context = {
        "scope": scope,
        "page": page,
        "logs": rows,
        "changes": any(row["state"] == SyncLog.State.RUNNING for row in rows),
        "wish": wish,
        "query": urlencode({name: value for name, value in wish.items() if value}),
        "accounts": [account for account in accounts if account.is_owned_by(scope)],
        "providers": [(provider.code, provider.label) for provider in providers()],
        "types": {kind.code: type_label(kind.provider, kind.code) for kind in kinds},
        "states": SyncLog.State.choices,
    }
    return render(request, "cloudaccounts/sync_logs.html", context)


@login_required
@never_cache
@require_GET
def sync_log_detail_page(request: PageRequest, pk: int) -> HttpResponse:
    """A sync: its counts, its regions, its lines."""
    scope = page_scope(request)
    log = get_object_or_404(LOGS.within(scope), pk=pk)
    return render(request, "cloudaccounts/sync_log.html", _context(scope, log, 0))


@page_fragment
@login_required
@never_cache
@require_GET
def sync_log_lines_part(request: PageRequest, pk: int) -> HttpResponse:
    """The lines after `?after=`, for the page to append, and its counts, which take the place of those that it has."""
    scope = page_scope(request)
    log = get_object_or_404(LOGS.within(scope), pk=pk)
    after = request.GET.get("after", "")
    is_number = after.isascii() and after.isdigit() and len(after) < 19
    context = {**_context(scope, log, int(after) if is_number else 0), "is_part": True}
    return render(request, "cloudaccounts/sync_log_part.html", context)


def _context(scope: Scope, log: SyncLog, after: int) -> dict[str, Any]:
    # The log was read first: of one that had ended then, no line is missing below.
    lines = list(log.lines.filter(pk__gt=after).order_by("pk")[: LINES_AT_ONCE + 1])
    has_more, lines = len(lines) > LINES_AT_ONCE, lines[:LINES_AT_ONCE]
    return {
        "scope": scope,
        "log": log,
        "type": type_label(log.account.provider, log.type),
        "waits": log.state == SyncLog.State.RUNNING and not log.owner,
        "regions": sorted(log.regions.items()),
        "lines": lines,
        "after": lines[-1].pk if lines else after,
        "has_more": has_more,
        "follow": has_more or log.state == SyncLog.State.RUNNING,
        "may_accept": may(scope)["may_administer"] and _holds_back(log),
    }


def _holds_back(log: SyncLog) -> bool:
    """Return whether a person's word is wanted on it: only of the last sync of the type."""
    if not log.held_back or log.ended_at is None:
        return False
    later = SyncLog.objects.filter(account=log.account_id, type=log.type, pk__gt=log.pk)
    return not later.exists()
