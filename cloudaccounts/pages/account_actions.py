"""The actions of an account's page. A refusal is shown above the page, with the API's message."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from api.domain_errors import DomainError, InvalidFieldsError
from api.form_errors import errors_by_field, show_error, validate_form
from api.form_keys import mark_refused
from api.page_addresses import require_POST
from pages.panels import render_messages
from tenants.scoped_pages import PageRequest, page_scope
from tenants.scoping import Scope

from ..models import SyncLog
from ..serializers import AccountSyncSerializer
from ..services import accept_losses, change_account, remove_account, request_sync, verify_account
from ..services.accounts import get_account
from .form_values import get_if_match

Action = Callable[[PageRequest, Scope, int], HttpResponse | None]


def _action_page(page_name: str) -> Callable[[Action], Callable[..., HttpResponse]]:
    """Turn an action into a page that answers POST and redirects to the action's result, or back to `page_name`.

    A button of a panel that refreshes itself stays on its page, and gets the messages alone; only the result of an action,
    or its refusal in a dialog, is another page.
    """

    def decorate(action: Action) -> Callable[..., HttpResponse]:
        @login_required
        @require_POST
        @wraps(action)
        def page(request: PageRequest, pk: int) -> HttpResponse:
            target = "account-types-page" if request.POST.get("tab") == "types" else page_name
            try:
                response = action(request, page_scope(request), pk)
            except DomainError as refused:
                _show_refusal(request, refused)
                # A dialog would hide the messages, so the page is loaded anew.
                response = redirect(target, pk) if "dialog" in request.POST else None
            if not request.htmx:
                return response or redirect(target, pk)
            if response is None:
                return render_messages(request)
            return HttpResponse(headers={"HX-Redirect": response["Location"]})

        return page

    return decorate


def _show_refusal(request: PageRequest, refused: DomainError) -> None:
    errors = errors_by_field(refused)
    if isinstance(refused, InvalidFieldsError) or not errors:
        show_error(request, refused)
        return
    mark_refused(request)
    # `errors` of a refused command hold every reason, while its detail holds the first alone, or only points to them.
    for reasons in errors.values():
        for reason in reasons:
            messages.error(request, reason)


@_action_page("account-detail-page")
def verify_account_page(request: PageRequest, scope: Scope, pk: int) -> None:
    """Submit the verification of the credentials."""
    account, _job = verify_account(scope=scope, account_id=pk)
    messages.info(request, _("Testing the connection of %(name)s.") % {"name": account.name})


@_action_page("account-detail-page")
def sync_account_page(request: PageRequest, scope: Scope, pk: int) -> None:
    """Request a sync of the named types, or of all that the account has selected."""
    types = request.POST.getlist("types")
    params = validate_form(AccountSyncSerializer(data={"types": types} if types else {}))
    logs = request_sync(scope=scope, account_id=pk, types=params.get("types"))
    message = ngettext("Syncing %(count)s resource type.", "Syncing %(count)s resource types.", len(logs))
    messages.info(request, message % {"count": len(logs)})


@_action_page("account-detail-page")
def switch_account_page(request: PageRequest, scope: Scope, pk: int) -> None:
    """Enable or disable the account, unless somebody else has changed it since."""
    active = request.POST.get("active") == "true"
    account, _job = change_account(
        scope=scope, account_id=pk, fields={"active": active}, if_match=get_if_match(request.POST)
    )
    message = (
        _("Cloud account %(name)s was enabled.") if active else _("Cloud account %(name)s was disabled.")
    )
    messages.success(request, message % {"name": account.name})


@_action_page("account-detail-page")
def remove_account_page(request: PageRequest, scope: Scope, pk: int) -> HttpResponse:
    """Submit the deletion, if the name was typed. Redirect to the job, as the account will be gone."""
    account = get_account(scope, pk)
    if request.POST.get("confirm_name", "").strip() != account.name.strip():
        raise InvalidFieldsError({_("Name"): [_("Type '%(name)s' to confirm.") % {"name": account.name}]})
    _account, job = remove_account(scope=scope, account_id=pk, if_match=get_if_match(request.POST))
    return redirect("job-page", job.pk)


@_action_page("sync-log-detail-page")
def accept_losses_page(request: PageRequest, scope: Scope, pk: int) -> HttpResponse:
    """Confirm the deletions that a sync holds back; redirect to the new sync."""
    accepted: SyncLog = accept_losses(scope=scope, log_id=pk)
    return redirect("sync-log-detail-page", accepted.pk)
