"""The page of the cloud accounts, and the banner about stale ones."""

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
from ..registry import list_providers, type_label
from ..services import list_stale_accounts
from ..services.account_status import load_account_statuses
from ..services.freshness import Staleness, measure_staleness

PAGE_SIZE = 50
MAX_STALE_SHOWN = 5
# The permission with which staff see more of a shared account than its name.
VIEW_ACCOUNTS = "cloudaccounts.view_cloudaccount"


@login_required
@require_GET
def account_page(request: PageRequest) -> HttpResponse:
    """Show the accounts of the tenant, and the shared ones; only staff see more of these than the name."""
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
        "rows": _describe_accounts(scope, list(page.object_list)),
        "search": search,
        "query": urlencode({"search": search}) if search else "",
        **build_stale_banner(scope),
        **list_allowed_actions(scope),
    }
    return render(request, "cloudaccounts/accounts.html", context)


def list_allowed_actions(scope: Scope) -> dict[str, bool]:
    """Return whether the role allows each kind of action: templates hide the others."""
    return {
        "may_control": scope.allows(Role.OPERATOR, CloudAccount),
        "may_administer": scope.allows(Role.ADMIN, CloudAccount),
    }


def get_provider_label(code: str) -> str:
    """Return the label of a provider; its code when it is not installed."""
    return next((str(provider.label) for provider in list_providers() if provider.code == code), code)


def build_stale_banner(scope: Scope) -> dict[str, Any]:
    """Build the context of the banner about stale accounts: those that the scope owns, or all for staff."""
    sees_all = scope.tenant is None and has_staff_permission(scope.user, VIEW_ACCOUNTS)
    stale = list_stale_accounts() if sees_all else _list_stale_of_tenant(scope)
    shown = stale[:MAX_STALE_SHOWN]
    providers = dict(
        CloudAccount.objects.filter(pk__in=[account.account_id for account in shown]).values_list(
            "pk", "provider"
        )
    )
    return {
        "stale": [
            (account, type_label(providers.get(account.account_id, ""), account.type)) for account in shown
        ],
        "more_stale": len(stale) - len(shown),
    }


def _list_stale_of_tenant(scope: Scope) -> list[Staleness]:
    accounts = CloudAccount.objects.within(scope)
    if not has_staff_permission(scope.user, VIEW_ACCOUNTS):
        accounts = accounts.exclude(tenant=None)
    measured = measure_staleness(list(accounts.order_by().values_list("pk", flat=True)))
    return sorted((account for account in measured if account.stale), key=lambda account: account.name)


def _describe_accounts(scope: Scope, accounts: list[Any]) -> list[dict[str, Any]]:
    """Describe accounts for the table; of those that the scope does not own, only the name and the provider."""
    owned = [account for account in accounts if account.is_owned_by(scope)]
    account_statuses = load_account_statuses(owned)
    rows = []
    for account in accounts:
        row = {
            "account": account,
            "provider": get_provider_label(account.provider),
            "owned": account in owned,
        }
        if row["owned"]:
            row |= {"host": urlsplit(account.auth_url).netloc, "account_status": account_statuses[account.pk]}
        rows.append(row)
    return rows
