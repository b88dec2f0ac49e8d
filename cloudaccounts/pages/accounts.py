"""The page of the cloud accounts, and the banner about those whose data is out of date."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django.contrib.auth.decorators import login_required
from django.db.models import Exists, OuterRef, Q, Subquery
from django.http import HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET

from api.replica.reads import reads_list
from pages.lists import Filter, ListQuery, read_list_query
from pages.panels import is_panel_request, render_page
from pages.tables import declare_table
from tenants.scoped_pages import PageRequest, page_scope
from tenants.scoping import Role, Scope, has_staff_permission

from ..models import CloudAccount, SyncLog
from ..registry import list_providers, type_label
from ..services import list_stale_accounts
from ..services.account_status import load_account_statuses
from ..services.freshness import Staleness, measure_staleness
from .account_status import describe_status, list_status_choices, status_condition

MAX_STALE_SHOWN = 5
ORDERINGS = frozenset({"name", "last_success"})
declare_table(
    "accounts",
    [
        ("tenant", gettext_lazy("Tenant")),
        ("provider", gettext_lazy("Cloud type")),
        ("regions", gettext_lazy("Regions")),
        ("status", gettext_lazy("Status")),
        ("last_success", gettext_lazy("Last synced")),
        ("next_sync", gettext_lazy("Next sync")),
        ("last_verified_at", gettext_lazy("Last verified")),
    ],
)
# The permission with which staff see more of a shared account than its name.
VIEW_ACCOUNTS = "cloudaccounts.view_cloudaccount"


@login_required
@require_GET
@reads_list
def account_page(request: PageRequest) -> HttpResponse:
    """Show the accounts of the tenant, and the shared ones; only staff see more of these than the name."""
    scope = page_scope(request)
    query = read_list_query(request, _build_filters(), orderings=ORDERINGS, ordering="name")
    accounts = _filter_accounts(scope, query)
    successes = SyncLog.objects.filter(account=OuterRef("pk"), state=SyncLog.State.SUCCESS).order_by("-id")
    accounts = accounts.annotate(
        last_success=Subquery(successes.values("ended_at")[:1]),
        is_syncing=Exists(SyncLog.objects.running().filter(account=OuterRef("pk"))),
    )
    page = query.paginate(accounts.order_by(*dict.fromkeys((query.ordering, "name", "pk"))))
    rows = _describe_accounts(scope, list(page.object_list))
    context = {
        "scope": scope,
        "page": page,
        "rows": rows,
        "query": query,
        "ordering": query.ordering,
        "is_busy": any(row["owned"] and row["account"].is_syncing for row in rows),
        **list_allowed_actions(scope),
    }
    if not is_panel_request(request):
        context |= build_stale_banner(scope)
    return render_page(
        request,
        "cloudaccounts/accounts.html",
        context,
        panels={"accounts": "cloudaccounts/accounts_table.html"},
    )


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


def _build_filters() -> list[Filter]:
    providers = [(provider.code, provider.label) for provider in list_providers()]
    return [
        Filter("status", _("Status"), _("All statuses"), list_status_choices()),
        Filter("provider", _("Cloud type"), _("All cloud types"), providers),
    ]


def _filter_accounts(scope: Scope, query: ListQuery) -> Any:
    accounts = CloudAccount.objects.within(scope).select_related("tenant")
    if query.search:
        accounts = accounts.filter(Q(name__icontains=query.search) | Q(tenant__name__icontains=query.search))
    if provider := query.values.get("provider"):
        accounts = accounts.filter(provider=provider)
    if status := query.values.get("status"):
        accounts = accounts.filter(status_condition(status))
        if not has_staff_permission(scope.user, VIEW_ACCOUNTS):
            # The status of a shared account is for staff alone.
            accounts = accounts.exclude(tenant=None)
    return accounts


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
            row |= {
                "host": urlsplit(account.auth_url).netloc,
                "account_status": account_statuses[account.pk],
                "badge": describe_status(account),
            }
        rows.append(row)
    return rows
