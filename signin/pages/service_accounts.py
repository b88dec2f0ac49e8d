"""The service accounts of a tenant: the list, one account with its tokens, and the forms that change them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db import transaction
from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods

from api.domain_errors import DomainError, InvalidFieldsError
from api.errors import status_of
from api.form_errors import validate_form
from api.form_keys import new_form_key
from api.idempotency import claim_key
from api.models import ApiToken
from api.token_limits import TokenScope
from pages.dialogs import render_dialog
from pages.lists import read_list_query
from pages.panels import render_page
from pages.tables import declare_table
from tenants.page_forms import Outcome, run_form, split_errors
from tenants.scoped_pages import PageRequest, page_scope
from tenants.scoping import Role, Scope, get_visible_row

from ..models import ServiceAccount
from ..serializers import (
    ChangeServiceAccountSerializer,
    NewServiceAccountSerializer,
    NewServiceTokenSerializer,
)
from ..services import service_accounts

LIST_PAGE = "service-account-page"
ACCOUNTS = ServiceAccount.objects.select_related("user", "tenant", "created_by").prefetch_related(
    "user__memberships"
)
ORDERINGS = frozenset({"name", "created_at"})
FIELDS = ("name", "description", "role")
TOKEN_FIELDS = ("name", "role", "days", "allowed_addresses")
MAX_DAYS_DIGITS = 5
KEY_LENGTH = 32
declare_table(
    "service-accounts",
    [
        ("description", gettext_lazy("Description")),
        ("role", gettext_lazy("Role")),
        ("status", gettext_lazy("Status")),
        ("created_by", gettext_lazy("Created by")),
        ("created_at", gettext_lazy("Created")),
    ],
)


@login_required
@never_cache
@require_GET
def service_account_page(request: PageRequest) -> HttpResponse:
    """List the service accounts of the tenant."""
    scope = page_scope(request)
    query = read_list_query(request, orderings=ORDERINGS, ordering="name")
    accounts = ACCOUNTS.within(scope).filter(name__icontains=query.search)
    page = query.paginate(accounts.order_by(query.ordering, "pk"))
    may_administer = scope.allows(Role.ADMIN, ServiceAccount)
    context = {
        "scope": scope,
        "page": page,
        "query": query,
        "ordering": query.ordering,
        "rows": [
            {"account": account, "role": label_role(_find_role(account))} for account in page.object_list
        ],
        "may_administer": may_administer,
        "may_create": may_administer and scope.tenant is not None,
    }
    panels = {"service-accounts": "signin/service_account_table.html"}
    return render_page(request, "signin/service_accounts.html", context, panels=panels)


@login_required
@never_cache
@require_GET
def service_account_detail_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Show an account with its tokens."""
    scope = page_scope(request)
    account = get_visible_row(ACCOUNTS, scope, pk, Role.ADMIN)
    context = {
        "scope": scope,
        "account": account,
        "role": label_role(_find_role(account)),
        "tokens": [
            {
                "token": token,
                "is_usable": token.is_usable,
                "role": label_role(token.role),
                "scopes": [TokenScope(scope).label for scope in token.scopes],
            }
            for token in service_accounts.list_tokens(account).select_related("user")
        ],
    }
    panels = {"tokens": "signin/service_token_table.html"}
    return render_page(request, "signin/service_account.html", context, panels=panels)


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def new_service_account_page(request: PageRequest) -> HttpResponse:
    """Show the form; on POST, create an account."""
    scope = page_scope(request)
    scope.require(Role.ADMIN, ServiceAccount)
    if scope.tenant is None:
        messages.warning(request, _("Select a tenant first. A service account belongs to one tenant."))
        return redirect(LIST_PAGE)

    def create() -> Outcome:
        sent = {name: request.POST.get(name, "") for name in FIELDS}
        fields = validate_form(NewServiceAccountSerializer(data=sent))
        account = service_accounts.create_service_account(scope=scope, **fields)
        message = _("Service account %(name)s was created. Create a token for it.") % {"name": account.name}
        return message, reverse("service-account-show", args=[account.pk])

    context = {"scope": scope, "title": _("Create service account"), "roles": Role.choices}
    return run_form(
        request,
        "signin/service_account_form.html",
        context,
        create,
        list_page=LIST_PAGE,
        initial={"role": Role.OPERATOR},
        fields=FIELDS,
    )


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def edit_service_account_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Show the form with the account's values; on POST, save them."""
    scope = page_scope(request)
    account = get_visible_row(ACCOUNTS, scope, pk, Role.ADMIN)

    def change() -> Outcome:
        sent: dict[str, Any] = {name: request.POST.get(name, "") for name in ("description", "role")}
        sent["active"] = request.POST.get("active") == "yes"
        fields = validate_form(ChangeServiceAccountSerializer(data=sent))
        service_accounts.change_service_account(scope=scope, account_id=pk, fields=fields)
        return _("Changes saved."), reverse("service-account-show", args=[pk])

    context = {"scope": scope, "title": _("Edit service account"), "account": account, "roles": Role.choices}
    initial = {
        "name": account.name,
        "description": account.description,
        "role": _find_role(account),
        "active": "yes" if account.user.is_active else "",
    }
    return run_form(
        request,
        "signin/service_account_form.html",
        context,
        change,
        list_page=LIST_PAGE,
        initial=initial,
        fields=("description", "role", "active"),
    )


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def remove_service_account_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Ask whether an account is to be deleted; on POST, delete it with its tokens."""
    scope = page_scope(request)
    account = get_visible_row(ACCOUNTS, scope, pk, Role.ADMIN)

    def remove() -> Outcome:
        service_accounts.remove_service_account(scope=scope, account_id=pk)
        return _("Service account %(name)s was deleted.") % {"name": account.name}, ""

    context = {"scope": scope, "title": _("Delete service account"), "account": account}
    return run_form(request, "signin/service_account_remove.html", context, remove, list_page=LIST_PAGE)


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def new_service_token_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Show the form; on POST, create a token and show it, this once."""
    scope = page_scope(request)
    account = get_visible_row(ACCOUNTS, scope, pk, Role.ADMIN)
    refused: DomainError | None = None
    if request.method == "POST":
        try:
            return _create_token(request, scope, account)
        except DomainError as error:
            refused = error
    entered = {name: request.POST.get(name, "") for name in TOKEN_FIELDS}
    context = {
        "scope": scope,
        "title": _("Create token"),
        "account": account,
        "roles": Role.choices,
        "scopes": TokenScope.choices,
        "entered": {"role": _find_role(account), "days": str(settings.API_TOKEN_DAYS), **entered}
        if request.method == "POST"
        else {"role": _find_role(account), "days": str(settings.API_TOKEN_DAYS)},
        "entered_scopes": request.POST.getlist("scopes") or [TokenScope.READ],
        "token_key": new_form_key(),
        **split_errors(refused, (*TOKEN_FIELDS, "scopes")),
    }
    status = status_of(refused) if refused else 200
    return render_dialog(request, "signin/service_token_form.html", context, status=status)


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def revoke_service_token_page(request: PageRequest, pk: UUID, token_pk: UUID) -> HttpResponse:
    """Ask whether a token is to be revoked; on POST, revoke it."""
    scope = page_scope(request)
    account = get_visible_row(ACCOUNTS, scope, pk, Role.ADMIN)

    def revoke() -> Outcome:
        service_accounts.revoke_token(scope=scope, account_id=pk, token_id=token_pk)
        return _("The token was revoked."), reverse("service-account-show", args=[pk])

    context = {"scope": scope, "title": _("Revoke token"), "account": account, "token_pk": token_pk}
    return run_form(request, "signin/service_token_revoke.html", context, revoke, list_page=LIST_PAGE)


def _create_token(request: PageRequest, scope: Scope, account: ServiceAccount) -> HttpResponse:
    """Create a token once for each rendered form, as for the tokens of a person (tenants/pages/tokens.py), and show it."""
    fields = validate_form(NewServiceTokenSerializer(data=_read_token_form(request)))
    key = request.POST.get("token_key", "")[:KEY_LENGTH].replace("\x00", "")
    with transaction.atomic():
        if key and claim_key(request.user, f"token:{key}", "") is None:
            messages.warning(
                request, _("The token was already created and shown once. Revoke it if it was lost.")
            )
            return redirect("service-account-show", account.pk)
        token: ApiToken = service_accounts.create_token(scope=scope, account_id=account.pk, **fields)
    close = reverse("service-account-show", args=[account.pk])
    context = {"scope": scope, "title": _("Token created"), "token": token, "close": close}
    return render_dialog(request, "tenants/token_created.html", context)


def _read_token_form(request: PageRequest) -> dict[str, Any]:
    """Return what was entered, in the form of the REST request: the days as a time, the lines as a list."""
    days = request.POST.get("days", "").strip()
    if not (days.isascii() and days.isdigit() and len(days) <= MAX_DAYS_DIGITS):
        raise InvalidFieldsError({"days": [_("Enter a number of days.")]})
    return {
        "name": request.POST.get("name", ""),
        "role": request.POST.get("role", ""),
        "scopes": request.POST.getlist("scopes"),
        "expires_at": service_accounts.find_end(int(days)),
        "allowed_addresses": request.POST.get("allowed_addresses", "").replace(",", " ").split(),
    }


def label_role(role: str) -> str:
    """Return the name of a role for people; "" for none."""
    return str(Role(role).label).capitalize() if role else ""


def _find_role(account: ServiceAccount) -> str:
    """Return the role of an account in its tenant; "" when its membership was removed."""
    roles = [
        member.role for member in account.user.memberships.all() if member.tenant_id == account.tenant_id
    ]
    return roles[0] if roles else ""
