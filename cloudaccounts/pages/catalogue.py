"""The pages of the catalog, for staff: what tenants may use of the shared accounts, and what is granted to whom."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods

from api.domain_errors import DomainError, InvalidFieldsError, NotFoundError
from api.errors import status_of
from api.page_addresses import require_POST
from pages.lists import Filter, read_list_query
from pages.panels import render_messages, render_page
from pages.tables import declare_table
from tenants.models import Tenant
from tenants.page_forms import split_errors
from tenants.scoped_pages import PageRequest, page_scope
from tenants.scoping import has_staff_permission

from ..models import CatalogueGrant, CatalogueKind, CloudAccount
from ..services.catalogue import (
    GrantRequest,
    create_grant,
    find_object_names,
    grant_common_kinds,
    list_grantable,
    remove_grant,
)

Page = Callable[..., HttpResponse]
ORDERINGS = frozenset({"account__name", "kind", "created_at"})
declare_table(
    "catalogue",
    [
        ("kind", gettext_lazy("Kind")),
        ("object", gettext_lazy("Object")),
        ("granted_to", gettext_lazy("Tenant")),
        ("note", gettext_lazy("Note")),
        ("granted_by", gettext_lazy("Granted by")),
        ("created_at", gettext_lazy("Granted")),
    ],
)
FIELDS = ("account", "kind", "tenant", "object", "match", "note")
MAX_TYPED_LENGTH = 255


def _require_permission(action: str) -> Callable[[Page], Page]:
    """Require a permission of grants. Other users are refused before anything is looked up."""

    def decorate(page: Page) -> Page:
        @login_required
        @never_cache
        @wraps(page)
        def check_and_call(request: PageRequest, **ids: int) -> HttpResponse:
            if not has_staff_permission(request.user, f"cloudaccounts.{action}_cataloguegrant"):
                raise PermissionDenied
            return page(request, **ids)

        return check_and_call

    return decorate


def _list_shared_accounts() -> QuerySet[CloudAccount]:
    return CloudAccount.objects.filter(tenant=None).order_by("name", "pk")


@_require_permission("view")
@require_GET
def catalogue_page(request: PageRequest) -> HttpResponse:
    """Show the list of grants."""
    accounts = list(_list_shared_accounts())
    query = read_list_query(request, _build_filters(accounts), orderings=ORDERINGS, ordering="account__name")
    page = query.paginate(
        _filter_grants(query.search, query.values).order_by(query.ordering, "kind", "match", "pk")
    )
    grants = list(page.object_list)
    names = find_object_names(grants)
    chosen = next((one for one in accounts if str(one.pk) == query.values.get("account")), None)
    context = {
        "scope": page_scope(request),
        "page": page,
        "rows": [(grant, names.get((grant.account_id, grant.cloud_id), "")) for grant in grants],
        "query": query,
        "ordering": query.ordering,
        "accounts": accounts,
        "account": chosen or (accounts[0] if len(accounts) == 1 else None),
        "may_change": has_staff_permission(request.user, "cloudaccounts.change_cataloguegrant"),
    }
    panels = {"grants": "cloudaccounts/catalogue_table.html"}
    return render_page(request, "cloudaccounts/catalogue.html", context, panels=panels)


def _build_filters(accounts: Sequence[CloudAccount]) -> list[Filter]:
    tenants = [(str(tenant.pk), tenant.name) for tenant in Tenant.objects.order_by("name")]
    return [
        Filter(
            "account",
            _("Cloud account"),
            _("All cloud accounts"),
            [(str(account.pk), account.name) for account in accounts],
        ),
        Filter("kind", _("Kind"), _("All kinds"), list_kind_choices()),
        Filter("tenant", _("Tenant"), _("All grants"), [("all", _("Every tenant")), *tenants]),
        Filter("by_upgrade", _("Origin"), _("All origins"), [("true", _("Granted by the upgrade"))]),
    ]


def list_kind_choices() -> list[tuple[str, str]]:
    """Return the kinds of objects that can be granted, in sentence case."""
    return [(kind, capfirst(str(label))) for kind, label in CatalogueKind.choices]


def _filter_grants(search: str, values: Mapping[str, str]) -> QuerySet[CatalogueGrant]:
    grants = CatalogueGrant.objects.select_related("account", "tenant", "created_by")
    conditions: dict[str, Any] = dict(values)
    if conditions.get("tenant") == "all":
        conditions["tenant"] = None
    if "by_upgrade" in conditions:
        conditions["by_upgrade"] = True
    grants = grants.filter(**conditions)
    if search:
        found = Q(cloud_id__icontains=search) | Q(match__icontains=search) | Q(note__icontains=search)
        grants = grants.filter(found | Q(tenant__name__icontains=search))
    return grants


@_require_permission("change")
@require_http_methods(["GET", "POST"])
def new_grant_page(request: PageRequest) -> HttpResponse:
    """Show the form of a grant, whose objects follow the chosen account and kind; on POST, grant it."""
    sent = request.POST if request.method == "POST" else request.GET
    entered = {name: sent.get(name, "")[:MAX_TYPED_LENGTH].replace("\x00", "") for name in FIELDS}
    accounts, tenants = list(_list_shared_accounts()), list(Tenant.objects.order_by("name"))
    refused: DomainError | None = None
    if request.method == "POST":
        try:
            create_grant(request=_read_grant(entered, accounts, tenants), user=page_scope(request).user)
        except DomainError as error:
            refused = error
        else:
            messages.success(request, _("Granted."))
            return redirect(f"{reverse('catalogue-page')}?account={entered['account']}")
    account = next((one for one in accounts if str(one.pk) == entered["account"]), None) or next(
        iter(accounts), None
    )
    kind = entered["kind"] if entered["kind"] in CatalogueKind.values else CatalogueKind.NETWORK.value
    context = {
        "scope": page_scope(request),
        "accounts": accounts,
        "account": account,
        "kinds": list_kind_choices(),
        "kind": kind,
        "tenants": tenants,
        "objects": list_grantable(account, kind) if account else [],
        "entered": entered,
        **split_errors(refused, FIELDS),
    }
    return render(
        request, "cloudaccounts/new_grant.html", context, status=status_of(refused) if refused else 200
    )


def _read_grant(
    entered: Mapping[str, str], accounts: Sequence[CloudAccount], tenants: Sequence[Tenant]
) -> GrantRequest:
    account = next((one for one in accounts if str(one.pk) == entered["account"]), None)
    tenant = next((one for one in tenants if str(one.pk) == entered["tenant"]), None)
    problems = {}
    if account is None:
        problems["account"] = [_("Select a cloud account.")]
    if tenant is None and entered["tenant"] != "all":
        problems["tenant"] = [_("Select a tenant, or every tenant.")]
    if entered["kind"] not in CatalogueKind.values:
        problems["kind"] = [_("Select a kind.")]
    if account is None or problems:
        raise InvalidFieldsError(problems)
    match = entered["match"].strip()
    return GrantRequest(tenant, account, entered["kind"], entered["object"], match, entered["note"].strip())


@_require_permission("change")
@require_POST
def grant_common_kinds_page(request: PageRequest, account_id: int) -> HttpResponse:
    """Grant the flavors, images, volume types and zones of a shared account to every tenant."""
    account = get_object_or_404(_list_shared_accounts(), pk=account_id)
    count = grant_common_kinds(account=account, user=page_scope(request).user)
    if count:
        message = ngettext("%(count)s grant added.", "%(count)s grants added.", count)
        messages.success(request, message % {"count": count})
    else:
        messages.info(request, _("Every tenant may use these already."))
    return redirect(f"{reverse('catalogue-page')}?account={account.pk}")


@_require_permission("change")
@require_POST
def remove_grant_page(request: PageRequest, pk: int) -> HttpResponse:
    """Take a grant back."""
    try:
        remove_grant(grant_id=pk)
    except NotFoundError:
        messages.info(request, _("This grant was already removed."))
    else:
        messages.success(request, _("Grant removed. Existing VMs keep what they use."))
    return render_messages(request) if request.htmx else redirect("catalogue-page")
