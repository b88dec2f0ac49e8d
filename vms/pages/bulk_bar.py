"""The bar below the list of VMs that requests an action on the selected ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _

from api.domain_errors import DomainError, InvalidFieldsError
from api.form_errors import filled_fields, show_error, validate_form
from api.page_addresses import require_POST
from pages.key_values import parse_key_values
from tenants.scoped_pages import PageRequest, page_scope
from tenants.scoping import Role, Scope

from ..actions import ACTIONS
from ..models import VirtualMachine
from ..serializers import BulkActionSerializer
from ..services import BULK_ACTIONS, ControlResult, control_many
from ..services.control import build_unknown_action_error
from .ownership import list_target_choices
from .refusals import show_refusals

# The actions whose dialogs have fields or a text of their own in `vms/bulk_bar.html`, in the order of the menu.
FORM_ACTIONS = ("resize", "snapshot", "move", "tag", "protect", "unprotect", "remove")
# Start has a button of its own in the bar; a rescue is for one VM, and chosen with its image.
LEFT_OUT = frozenset({"start", "rescue"})
# The parameters of the list's address to return to.
LIST_PARAMETERS = ("search", "status", "information_system", "tag", "group", "in_bin")


def build_bulk_context(scope: Scope, *, in_bin: bool) -> dict[str, Any]:
    """Return the actions of the bar: on VMs of the list, or on those in the bin."""
    forms = [name for name in FORM_ACTIONS if scope.allows(BULK_ACTIONS[name].role, VirtualMachine)]
    return {
        "bulk_actions": []
        if in_bin
        else [(name, action.title) for name, action in ACTIONS.items() if name not in LEFT_OUT],
        "bulk_forms": [] if in_bin else [(name, BULK_ACTIONS[name].title) for name in forms],
        "move_targets": list_target_choices(scope) if "move" in forms and not in_bin else [],
        "uses_bin": settings.BIN_DAYS > 0,
        "bin_days": settings.BIN_DAYS,
    }


@login_required
@require_POST
def control_vms_page(request: PageRequest) -> HttpResponse:
    """Request an action on the selected VMs, and report the number of requests and the reasons against the others."""
    scope = page_scope(request)
    form = request.POST
    action, ids = form.get("action", ""), form.getlist("ids")
    try:
        scope.require(Role.OPERATOR, VirtualMachine)
        if not ids:
            messages.error(request, _("Select at least one VM."))
        else:
            params = _read_form(form, action, ids)
            vm_ids, mode = params.pop("ids"), params.pop("mode")
            params.pop("dry_run")
            controls = control_many(
                scope=scope, vm_ids=vm_ids, action=params.pop("action"), fields=params, mode=mode
            )
            _report_results(request, vm_ids, action, controls, needs_all=mode == "all")
    except DomainError as refused:
        show_error(request, refused)
    query = QueryDict(mutable=True)
    query.update({name: request.GET[name] for name in LIST_PARAMETERS if request.GET.get(name)})
    return redirect(f"{reverse('vm-page')}?{query.urlencode()}")


def _read_form(form: QueryDict, action: str, ids: Sequence[str]) -> dict[str, Any]:
    """Return the valid parameters of the action. Fields of other actions' dialogs, which the form has too, are left out.

    Raises `InvalidFieldsError`, and 400 `unknown_action`.
    """
    kind = BULK_ACTIONS.get(action)
    if kind is None:
        raise build_unknown_action_error(action, BULK_ACTIONS)
    names = {*kind.needs, *kind.takes}
    data: dict[str, Any] = {
        "action": action,
        "ids": ids,
        "mode": form.get("mode", "all"),
        **filled_fields(form, *(names - {"add_tags", "remove_tags", "hard"})),
    }
    if action == "tag":
        tags, errors = parse_key_values(form.get("add_tags", ""))
        if errors:
            raise InvalidFieldsError({"add_tags": errors})
        data |= {"add_tags": tags} if tags else {}
        removed = form.get("remove_tags", "").replace(",", " ").split()
        data |= {"remove_tags": removed} if removed else {}
    if action == "remove" and (form.get("permanent") or not settings.BIN_DAYS):
        # Data is lost: the number of VMs is typed, so that no single click deletes them.
        typed = form.get("confirm_count", "").strip()
        if typed != str(len(ids)):
            message = _("Type %(count)s, the number of selected VMs, to confirm.") % {"count": len(ids)}
            raise InvalidFieldsError({"confirm_count": [message]})
    return validate_form(BulkActionSerializer(data=data))


def _report_results(
    request: PageRequest,
    ids: Sequence[UUID],
    action: str,
    controls: Sequence[ControlResult],
    *,
    needs_all: bool,
) -> None:
    """Show the results of an action on many VMs as messages."""
    refused = [
        (control.vm.name if control.vm else str(pk), control.refusal)
        for pk, control in zip(ids, controls, strict=True)
        if control.refusal is not None
    ]
    count = len(refused)
    if count and needs_all:
        messages.error(
            request,
            _("Nothing was changed: %(refused)s of %(count)s VMs are in a state that doesn't allow it.")
            % {"refused": count, "count": len(ids)},
        )
    else:
        submitted = sum(control.changed for control in controls)
        message = _("%(action)s: requested for %(submitted)s of %(count)s VMs.") % {
            "action": BULK_ACTIONS[action].title,
            "submitted": submitted,
            "count": len(ids),
        }
        messages.success(request, message)
        if skipped := len(ids) - count - submitted:
            message = _("%(others)s skipped: already in the requested state, or a task is in progress.")
            messages.success(request, message % {"others": skipped})
    show_refusals(request, refused)
