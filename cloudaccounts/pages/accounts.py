"""The list of cloud accounts, and whose account_status is too old."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode, urlsplit

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db.models import OuterRef, Q, Subquery
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from tenants.scoped_pages import PageRequest, page_scope
from tenants.scoping import Role, Scope, has_staff_permission

from ..models import CloudAccount, SyncLog
from ..registry import providers, type_label
from ..services import list_stale_accounts
from ..services.account_status import load_account_statuses
from ..services.freshness import Staleness, measure_staleness

PAGE_SIZE = 50
STALE_TOLD = 5
# What staff need to see more of a shared account than its name.
VIEW_ACCOUNTS = "cloudaccounts.view_cloudaccount"


@login_required
@require_GET
def account_page(request: PageRequest) -> HttpResponse:
    """The accounts of one's tenant, and the shared ones; of these everybody but staff sees hardly more than the name."""
    scope = page_scope(request)
    search = request.GET.get("search", "")[:200].replace("\x00", "").strip()
    accounts = CloudAccount.objects.within(scope).select_related("tenant")
    if search:
        accounts = accounts.filter(Q(name__icontains=search) | Q(tenant__name__icontains=search))
    successes = SyncLog.objects.filter(account=OuterRef("pk"), state=SyncLog.State.SUCCESS).order_by("-id")
    accounts = accounts.annotate(last_success=Subquery(successes.values("ended_at")[:1]))
    page = Paginator(accounts.order_by("name", "pk"), PAGE_SIZE).get_page(request.GET.get("page"))
    context = {
        "scope": scope,
        "page": page,
        "rows": _rows(scope, list(page.object_list)),
        "search": search,
        "query": urlencode({"search": search}) if search else "",
        **build_stale_banner(scope),
        **may(scope),
    }
    return render(request, "cloudaccounts/accounts.html", context)


def may(scope: Scope) -> dict[str, bool]:
    """Return the actions that the role allows, for templates: others are not shown."""
    return {
        "may_control": scope.allows(Role.OPERATOR, CloudAccount),
        "may_administer": scope.allows(Role.ADMIN, CloudAccount),
    }


def provider_label(code: str) -> str:
    """Return the name of a provider; its code when it is not installed."""
    return next((str(provider.label) for provider in providers() if provider.code == code), code)


def build_stale_banner(scope: Scope) -> dict[str, Any]:
    """The accounts that have not been synced for too long, for the banner: a tenant's own, and of staff all."""
    sees_all = scope.tenant is None and has_staff_permission(scope.user, VIEW_ACCOUNTS)
    stale = list_stale_accounts() if sees_all else _stale_of_tenant(scope)
    told = stale[:STALE_TOLD]
    kinds = dict(
        CloudAccount.objects.filter(pk__in=[one.account_id for one in told]).values_list("pk", "provider")
    )
    return {
        "stale": [(one, type_label(kinds.get(one.account_id, ""), one.type)) for one in told],
        "more_stale": len(stale) - len(told),
    }


def _stale_of_tenant(scope: Scope) -> list[Staleness]:
    accounts = CloudAccount.objects.within(scope)
    if not has_staff_permission(scope.user, VIEW_ACCOUNTS):
        accounts = accounts.exclude(tenant=None)
    found = measure_staleness(list(accounts.order_by().values_list("pk", flat=True)))
    return sorted((one for one in found if one.stale), key=lambda one: one.name)


def _rows(scope: Scope, accounts: list[Any]) -> list[dict[str, Any]]:
    """The accounts, each with what may be told of it."""
    owned = [account for account in accounts if account.is_owned_by(scope)]
    account_statuses = load_account_statuses(owned)
    rows = []
    for account in accounts:
        row = {"account": account, "provider": provider_label(account.provider), "owned": account in owned}
        if row["owned"]:
            row |= {"host": urlsplit(account.auth_url).netloc, "account_status": account_statuses[account.pk]}
        rows.append(row)
    return rows
