"""The form of an account of a vendor that has a form of its own. The API's serializer validates it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib import messages
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _

from api.domain_errors import DomainError
from api.errors import status_of
from api.form_errors import error_texts, errors_by_field, show_error, validate_form
from tenants.scoped_pages import PageRequest
from tenants.scoping import Scope

from ..models import CloudAccount, ResourceType
from ..models.accounts import MAX_SYNC_INTERVAL_MINUTES
from ..registry import Provider, list_providers, type_label
from ..serializers import VendorAccountSerializer
from ..services import change_account, create_account
from .form_values import get_if_match, split_regions

FormData = dict[str, Any]


def new_vendor_account_page(request: PageRequest, scope: Scope, provider: Provider) -> HttpResponse:
    """Show the form; on POST create the account, or show the form again with all errors."""
    if request.method == "GET":
        return _render_form(request, scope, provider, _build_initial_data(provider, CloudAccount(), []))
    form_data = _read_form_data(provider, request.POST)
    try:
        fields = _validate(provider, None, _build_request(provider, form_data, request.POST, {}))
        account, _job = create_account(scope=scope, fields=fields)
    except DomainError as refused:
        return _render_form(request, scope, provider, form_data, refused=refused)
    return redirect("account-detail-page", account.pk)


def edit_vendor_account_page(
    request: PageRequest, scope: Scope, provider: Provider, account: CloudAccount
) -> HttpResponse:
    """Show the form; on POST save the changed fields, unless somebody else has changed the account since."""
    initial = _build_initial_data(
        provider, account, list(account.resource_types.values_list("code", flat=True))
    )
    if request.method == "GET":
        return _render_form(request, scope, provider, initial, account=account)
    form_data = _read_form_data(provider, request.POST)
    try:
        fields = _validate(provider, account, _build_request(provider, form_data, request.POST, initial))
        _account, job = change_account(
            scope=scope, account_id=account.pk, fields=fields, if_match=get_if_match(request.POST)
        )
    except DomainError as refused:
        return _render_form(request, scope, provider, form_data, account=account, refused=refused)
    if job is None:
        messages.success(request, _("Changes saved."))
    return redirect("account-detail-page", account.pk)


def _list_open_names(provider: Provider) -> list[str]:
    return [field.name for field in provider.fields if not field.is_secret]


def _build_initial_data(provider: Provider, account: CloudAccount, types: list[str]) -> FormData:
    values = {**account.options, provider.identity: account.access_id}
    return {
        "name": account.name,
        "provider": provider.code,
        "endpoint": account.auth_url,
        "regions": "\n".join(account.regions),
        "resource_types": sorted(types),
        "sync_interval_minutes": str(account.sync_interval_minutes),
        "active": account.active,
        **{name: str(values.get(name, "")) for name in _list_open_names(provider)},
    }


def _read_form_data(provider: Provider, form: QueryDict) -> FormData:
    names = ("name", "endpoint", "sync_interval_minutes", *_list_open_names(provider))
    return {
        **{name: form.get(name, "") for name in names},
        "provider": provider.code,
        "regions": "\n".join(split_regions(form.get("regions", ""))),
        "resource_types": sorted(form.getlist("resource_types")),
        "active": "active" in form,
    }


def _build_request(
    provider: Provider, form_data: FormData, form: QueryDict, initial: FormData
) -> dict[str, Any]:
    """Return the request of the API that the form stands for: what it changes. An empty secret keeps the stored one."""
    changed = {name: value for name, value in form_data.items() if value != initial.get(name)}
    if "regions" in changed:
        changed["regions"] = split_regions(changed["regions"])
    credentials = {name: changed.pop(name) for name in _list_open_names(provider) if name in changed}
    secrets = {
        field.name: form[field.name] for field in provider.fields if field.is_secret and form.get(field.name)
    }
    if credentials or secrets or not initial:
        changed["credentials"] = {**credentials, **secrets}
    return changed


def _validate(provider: Provider, account: CloudAccount | None, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the validated fields. Raises `InvalidFieldsError` with all errors."""
    sent = {**data, "provider": provider.code}
    return validate_form(VendorAccountSerializer(account, data=sent, partial=account is not None))


def _render_form(
    request: PageRequest,
    scope: Scope,
    provider: Provider,
    form_data: FormData,
    *,
    account: CloudAccount | None = None,
    refused: DomainError | None = None,
) -> HttpResponse:
    errors: dict[str, Any] = {}
    if refused is not None:
        names = {
            "name",
            "endpoint",
            "regions",
            "resource_types",
            "sync_interval_minutes",
            "active",
            "credentials",
        }
        show_error(request, refused, shown_beside=names)
        errors = errors_by_field(refused)
        nested = (refused.errors or {}).get("credentials")
        if isinstance(nested, Mapping):
            errors |= {name: error_texts(inner) for name, inner in nested.items()}
    kept = _("Leave empty to keep the stored one. It is never shown.")
    context = {
        "scope": scope,
        "account": account,
        "provider": provider,
        "form_data": form_data,
        "errors": errors,
        "fields": [
            {
                "name": field.name,
                "label": field.label,
                "hint": " ".join(
                    filter(None, (str(field.hint), kept if field.is_secret and account else ""))
                ),
                "is_secret": field.is_secret,
                "required": "yes" if field.required and not (field.is_secret and account) else "",
                "max_length": field.max_length,
                "value": form_data.get(field.name, ""),
                "errors": errors.get(field.name, []),
            }
            for field in provider.fields
        ],
        "providers": [(one.code, one.label) for one in list_providers()],
        "types": list_type_choices(provider.code),
        "max_minutes": MAX_SYNC_INTERVAL_MINUTES,
        "form_url": reverse("account-edit", args=[account.pk]) if account else reverse("account-new"),
    }
    return render(
        request, "cloudaccounts/vendor_form.html", context, status=status_of(refused) if refused else 200
    )


def list_type_choices(provider: str) -> list[tuple[ResourceType, str]]:
    """Return the resource types of a provider with their labels, for a form."""
    types = ResourceType.objects.filter(provider=provider).order_by("order", "code")
    return [(one, type_label(one.provider, one.code)) for one in types]
