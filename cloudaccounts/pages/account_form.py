"""The form that creates or changes a cloud account. The API's serializer validates it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from api.domain_errors import DomainError, InvalidFieldsError
from api.errors import status_of
from api.form_errors import errors_by_field, show_error
from api.serializers import split_validation
from tenants.scoped_pages import PageRequest, page_scope
from tenants.scoping import Role, Scope

from ..credentials import OPENSTACK_FIELDS, find_form
from ..models import MANAGED_PROVIDER, CloudAccount
from ..models.accounts import MAX_SYNC_INTERVAL_MINUTES
from ..registry import list_providers
from ..serializers import CloudAccountSerializer
from ..services import change_account, create_account
from ..services.accounts import get_account
from .form_values import get_if_match, split_regions
from .vendor_form import edit_vendor_account_page, list_type_choices, new_vendor_account_page

FormData = dict[str, Any]
# Fields of one text each.
TEXT_FIELDS = ("name", "provider", *OPENSTACK_FIELDS, "regions", "sync_interval_minutes")
FIELDS = {*TEXT_FIELDS, "secret", "resource_types", "active"}
# The types of credentials, and the labels of the two fields that hold them.
_CREDENTIAL_KINDS = (
    (
        CloudAccount.CredentialKind.APPLICATION_CREDENTIAL,
        gettext_lazy("Application credential"),
        gettext_lazy("Application credential ID"),
        gettext_lazy("Secret"),
    ),
    (
        CloudAccount.CredentialKind.PASSWORD,
        gettext_lazy("User and password"),
        gettext_lazy("Username"),
        gettext_lazy("Password"),
    ),
)
# Messages about empty fields, which say what to do.
_REQUIRED = {
    "name": gettext_lazy("Enter a name."),
    "auth_url": gettext_lazy("Enter the auth URL."),
    "access_id": gettext_lazy("Enter the application credential ID or the username."),
    "secret": gettext_lazy("Enter the secret."),
}


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def new_account_page(request: PageRequest) -> HttpResponse:
    """Show the form; on POST create the account, or show the form again with all errors."""
    scope = page_scope(request)
    try:
        scope.require(Role.ADMIN, CloudAccount)
    except DomainError as refused:
        show_error(request, refused)
        return redirect("account-page")
    chosen = (request.GET if request.method == "GET" else request.POST).get("provider", "")
    if (vendor := find_form(chosen)) is not None:
        return new_vendor_account_page(request, scope, vendor)
    if request.method == "GET":
        return _render_form(request, scope, _build_initial_data(CloudAccount(), []))
    form_data = _read_form_data(request.POST)
    try:
        fields = _validate(scope, None, _select_changes(form_data, {}, request.POST.get("secret", "")))
        account, _job = create_account(scope=scope, fields=fields)
    except DomainError as refused:
        return _render_form(request, scope, form_data, refused=refused)
    return redirect("account-detail-page", account.pk)


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def edit_account_page(request: PageRequest, pk: int) -> HttpResponse:
    """Show the form; on POST save the changed fields, unless somebody else has changed the account since."""
    scope = page_scope(request)
    try:
        account = get_account(scope, pk)
    except DomainError as refused:
        show_error(request, refused)
        return redirect("account-detail-page", pk)
    if (vendor := find_form(account.provider)) is not None:
        return edit_vendor_account_page(request, scope, vendor, account)
    initial = _build_initial_data(account, list(account.resource_types.values_list("code", flat=True)))
    if request.method == "GET":
        return _render_form(request, scope, initial, account=account)
    form_data = _read_form_data(request.POST)
    try:
        fields = _validate(
            scope, account, _select_changes(form_data, initial, request.POST.get("secret", ""))
        )
        _account, job = change_account(
            scope=scope, account_id=pk, fields=fields, if_match=get_if_match(request.POST)
        )
    except DomainError as refused:
        # The form then shows the present values, so sending it again overwrites them knowingly.
        present = initial if refused.code == "precondition_failed" else {}
        return _render_form(request, scope, form_data, account=account, refused=refused, present=present)
    if job is None:
        messages.success(request, _("Changes saved."))
    return redirect("account-detail-page", pk)


def _build_initial_data(account: CloudAccount, types: list[str]) -> FormData:
    """Return the initial values of the form's fields for an account."""
    texts: FormData = {name: str(getattr(account, name)) for name in TEXT_FIELDS}
    return {
        **texts,
        "ca_bundle": _normalize_newlines(account.ca_bundle),
        "regions": "\n".join(account.regions),
        "resource_types": sorted(types),
        "active": account.active,
    }


def _read_form_data(form: QueryDict) -> FormData:
    texts: FormData = {name: form.get(name, "") for name in TEXT_FIELDS}
    return {
        **texts,
        "interface": texts["interface"] or CloudAccount.Interface.PUBLIC,
        "ca_bundle": _normalize_newlines(texts["ca_bundle"]),
        "regions": "\n".join(split_regions(texts["regions"])),
        "resource_types": sorted(form.getlist("resource_types")),
        "active": "active" in form,
    }


def _normalize_newlines(text: str) -> str:
    # Browsers send CRLF; that alone must not count as a change of a certificate.
    return text.replace("\r\n", "\n").strip()


def _select_changes(form_data: FormData, initial: FormData, secret: str) -> dict[str, Any]:
    """Return the fields that the form changes, named as in the API. A field that stays as it was is left out."""
    data = {name: value for name, value in form_data.items() if value != initial.get(name)}
    if "regions" in data:
        data["regions"] = split_regions(data["regions"])
    if secret:
        data["secret"] = secret
    return data


def _validate(scope: Scope, account: CloudAccount | None, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the validated fields. Raises `InvalidFieldsError` with all errors."""
    serializer: Any = CloudAccountSerializer(
        account, data=data, partial=account is not None, context={"scope": scope, "account_statuses": {}}
    )
    fields, errors = split_validation(serializer)
    if errors:
        raise InvalidFieldsError(errors)
    return fields


def _format_value(value: Any) -> str:
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    return (", ".join(value) if isinstance(value, list) else value) or "-"


def _render_form(
    request: PageRequest,
    scope: Scope,
    form_data: FormData,
    *,
    account: CloudAccount | None = None,
    refused: DomainError | None = None,
    present: FormData | None = None,
) -> HttpResponse:
    errors: dict[str, list[str]] = {}
    if refused is not None:
        show_error(request, refused, shown_beside=FIELDS)
        errors = errors_by_field(refused)
        for name, text in _REQUIRED.items():
            if name in errors and not (form_data.get(name) or request.POST.get(name, "")):
                # Of an account that has a secret, an empty one is refused for a reason of its own.
                errors[name] = errors[name] if account is not None and name == "secret" else [str(text)]
    for name, value in (present or {}).items():
        if value != form_data[name]:
            errors.setdefault(name, []).append(
                _("Current value: %(value)s") % {"value": _format_value(value)}
            )
    context = {
        "scope": scope,
        "account": account,
        "form_data": form_data,
        "errors": errors,
        "providers": [(provider.code, provider.label) for provider in list_providers()],
        "credential_kinds": _CREDENTIAL_KINDS,
        "interfaces": CloudAccount.Interface.choices,
        "types": list_type_choices(account.provider if account else MANAGED_PROVIDER),
        "max_minutes": MAX_SYNC_INTERVAL_MINUTES,
        "form_url": reverse("account-edit", args=[account.pk]) if account else reverse("account-new"),
    }
    return render(request, "cloudaccounts/form.html", context, status=status_of(refused) if refused else 200)
