"""The form of a cloud account, new or changed. The rules are the API's: its serializer says what is wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from api.domain_errors import DomainError, InvalidFieldsError
from api.errors import status_of
from api.form_errors import errors_by_field, show_error
from api.preconditions import etag_of
from api.serializers import split_validation
from tenants.scoped_pages import PageRequest, page_scope
from tenants.scoping import Role, Scope

from ..credentials import LOGIN_FIELDS
from ..models import CloudAccount, ResourceType
from ..models.accounts import MAX_SYNC_INTERVAL_MINUTES
from ..registry import providers, type_label
from ..serializers import CloudAccountSerializer
from ..services import change_account, create_account
from ..services.accounts import get_account

Entered = dict[str, Any]
# Entered as one text each; the others are put together.
TEXTS = ("name", "provider", *LOGIN_FIELDS, "regions", "sync_interval_minutes")
FIELDS = {*TEXTS, "secret", "resource_types", "active"}


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def new_account_page(request: PageRequest) -> HttpResponse:
    """Show the form; on POST enter the account, or show all that is wrong with what was entered."""
    scope = page_scope(request)
    try:
        scope.require(Role.ADMIN, CloudAccount)
    except DomainError as refused:
        show_error(request, refused)
        return redirect("account-page")
    if request.method == "GET":
        return _form(request, scope, _shown(CloudAccount(), []))
    entered = _entered(request.POST)
    try:
        fields = _checked(scope, None, _data(entered, {}, request.POST.get("secret", "")))
        account, _job = create_account(scope=scope, fields=fields)
    except DomainError as refused:
        return _form(request, scope, entered, refused=refused)
    return redirect("account-detail-page", account.pk)


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def edit_account_page(request: PageRequest, pk: int) -> HttpResponse:
    """Show the form; on POST change what was changed in it, unless somebody else has changed the account meanwhile."""
    scope = page_scope(request)
    try:
        account = get_account(scope, pk)
    except DomainError as refused:
        show_error(request, refused)
        return redirect("account-detail-page", pk)
    shown = _shown(account, list(account.resource_types.values_list("code", flat=True)))
    if request.method == "GET":
        return _form(request, scope, shown, account=account)
    entered = _entered(request.POST)
    try:
        fields = _checked(scope, account, _data(entered, shown, request.POST.get("secret", "")))
        _account, job = change_account(
            scope=scope, account_id=pk, fields=fields, if_match=if_match_of(request.POST)
        )
    except DomainError as refused:
        # Who sends the form again has seen what it is now.
        now = shown if refused.code == "precondition_failed" else {}
        return _form(request, scope, entered, account=account, refused=refused, now=now)
    if job is None:
        messages.success(request, _("Saved."))
    return redirect("account-detail-page", pk)


def if_match_of(form: QueryDict) -> str | None:
    """The version that a form was made of, as an ETag. A form without one asks for no particular version."""
    version = form.get("version", "")
    return etag_of(int(version)) if version.isascii() and version.isdigit() and len(version) < 19 else None


def _shown(account: CloudAccount, types: list[str]) -> Entered:
    """How the form begins: the account in the words of the form."""
    shown: Entered = {name: str(getattr(account, name)) for name in TEXTS}
    return {
        **shown,
        "ca_bundle": _lines(account.ca_bundle),
        "regions": "\n".join(account.regions),
        "resource_types": sorted(types),
        "active": account.active,
    }


def _entered(form: QueryDict) -> Entered:
    entered: Entered = {name: form.get(name, "") for name in TEXTS}
    return {
        **entered,
        "interface": entered["interface"] or CloudAccount.Interface.PUBLIC,
        "ca_bundle": _lines(entered["ca_bundle"]),
        "regions": "\n".join(_regions(entered["regions"])),
        "resource_types": sorted(form.getlist("resource_types")),
        "active": "active" in form,
    }


def _lines(text: str) -> str:
    # A browser ends lines in its own way; a certificate that is the same must not count as changed by that.
    return text.replace("\r\n", "\n").strip()


def _regions(text: str) -> list[str]:
    return [name for part in re.split(r"[\n,]", text) if (name := part.strip())]


def _data(entered: Entered, before: Entered, secret: str) -> dict[str, Any]:
    """Return the fields that the form changes, named as in the API. A field that stays as it was is left out."""
    data = {name: value for name, value in entered.items() if value != before.get(name)}
    if "regions" in data:
        data["regions"] = _regions(data["regions"])
    if secret:
        data["secret"] = secret
    return data


def _checked(scope: Scope, account: CloudAccount | None, data: Mapping[str, Any]) -> dict[str, Any]:
    """The fields to save. Raises `InvalidFieldsError` with everything that is wrong."""
    asked: Any = CloudAccountSerializer(
        account, data=data, partial=account is not None, context={"scope": scope, "account_statuses": {}}
    )
    fields, errors = split_validation(asked)
    if errors:
        raise InvalidFieldsError(errors)
    return fields


def _in_words(value: Any) -> str:
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    return (", ".join(value) if isinstance(value, list) else value) or "-"


def _form(
    request: PageRequest,
    scope: Scope,
    entered: Entered,
    *,
    account: CloudAccount | None = None,
    refused: DomainError | None = None,
    now: Entered | None = None,
) -> HttpResponse:
    errors: dict[str, list[str]] = {}
    if refused is not None:
        show_error(request, refused, shown_beside=FIELDS)
        errors = errors_by_field(refused)
    for name, value in (now or {}).items():
        if value != entered[name]:
            errors.setdefault(name, []).append(_("Now it is: %(value)s") % {"value": _in_words(value)})
    kinds = ResourceType.objects.order_by("provider", "order", "code")
    context = {
        "scope": scope,
        "account": account,
        "entered": entered,
        "errors": errors,
        "providers": [(provider.code, provider.label) for provider in providers()],
        "credential_kinds": CloudAccount.CredentialKind.choices,
        "interfaces": CloudAccount.Interface.choices,
        "types": [(kind, type_label(kind.provider, kind.code)) for kind in kinds],
        "most_minutes": MAX_SYNC_INTERVAL_MINUTES,
        "here": reverse("account-edit", args=[account.pk]) if account else reverse("account-new"),
    }
    return render(request, "cloudaccounts/form.html", context, status=status_of(refused) if refused else 200)
