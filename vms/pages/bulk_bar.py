"""The bar below the list of VMs, and the forms of the actions that it requests on the selected ones."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _

from api.domain_errors import DomainError, ForbiddenError, InvalidError, InvalidFieldsError
from api.errors import status_of
from api.form_errors import filled_fields, show_error, validate_form
from api.page_addresses import require_POST
from pages.dialogs import render_dialog
from pages.key_values import parse_key_values
from tenants.page_forms import split_errors
from tenants.scoped_pages import PageRequest, page_scope
from tenants.scoping import Role, Scope

from ..actions import ACTIONS
from ..models import VirtualMachine
from ..serializers import BulkActionSerializer
from ..services import BULK_ACTIONS, ControlResult, control_many
from ..services.bulk_actions import BulkActionKind
from ..services.control import build_unknown_action_error
from .ownership import list_target_choices
from .refusals import show_refusals

# Start is requested by the button itself; a rescue is for one VM, and chosen with its image.
LEFT_OUT = frozenset({"start", "rescue"})
# What has a button of its own in the bar. The other actions are in its menu, in this order.
BUTTONS = ("stop", "restart", "tag", "remove")
MENU = ("resize", "snapshot", "move", "protect", "unprotect", *ACTIONS)
# The actions that end what runs on a VM, or stop it for a while.
INTERRUPTING = frozenset({"stop", "restart", "pause", "suspend", "shelve", "unrescue"})
# The parameters of the list's address to return to.
LIST_PARAMETERS = ("search", "status", "information_system", "tag", "group", "in_bin")
# The fields of the forms, beside which their errors are shown.
FIELDS = (
    "cpu_cores",
    "memory_gb",
    "disk_gb",
    "name",
    "information_system",
    "add_tags",
    "remove_tags",
    "confirm_count",
)
MAX_NAMED = 10


def build_bulk_context(scope: Scope, *, in_bin: bool) -> dict[str, Any]:
    """Return the actions of the bar on VMs of the list; those in the bin can be restored or deleted."""
    if in_bin:
        return {}
    allowed = [name for name, kind in BULK_ACTIONS.items() if scope.allows(kind.role, VirtualMachine)]
    return {
        "bulk_buttons": [(name, BULK_ACTIONS[name].title) for name in BUTTONS if name in allowed],
        "bulk_menu": [
            (name, BULK_ACTIONS[name].title)
            for name in MENU
            if name in allowed and name not in {*BUTTONS, *LEFT_OUT}
        ],
    }


@login_required
@require_POST
def bulk_form_page(request: PageRequest) -> HttpResponse:
    """Show the form of an action on the selected VMs. It is a POST, because the ids of a page are too long for an address."""
    scope = page_scope(request)
    try:
        kind = _find_kind(request.POST.get("action", ""))
        scope.require(kind.role, VirtualMachine)
        selected = _list_selected(scope, request.POST)
        if not selected:
            raise InvalidError("invalid", _("Select at least one VM."))
    except DomainError as refused:
        show_error(request, refused)
        return _return_to_list(request)
    return _render_form(request, scope, kind, selected)


@login_required
@require_POST
def control_vms_page(request: PageRequest) -> HttpResponse:
    """Request an action on the selected VMs, and report the number of requests and the reasons against the others.

    A form that is refused is shown again with its errors, and with what was typed.
    """
    scope = page_scope(request)
    form = request.POST
    action, ids = form.get("action", ""), form.getlist("ids")
    try:
        scope.require(Role.OPERATOR, VirtualMachine)
        if not ids:
            raise InvalidError("invalid", _("Select at least one VM."))
        params = _read_form(form, action, ids)
        vm_ids, mode = params.pop("ids"), params.pop("mode")
        params.pop("dry_run")
        controls = control_many(
            scope=scope, vm_ids=vm_ids, action=params.pop("action"), fields=params, mode=mode
        )
        _report_results(request, vm_ids, action, controls, needs_all=mode == "all")
    except DomainError as refused:
        has_form = action in {*BUTTONS, *MENU} - LEFT_OUT and not isinstance(refused, ForbiddenError)
        if has_form and (selected := _list_selected(scope, form)):
            return _render_form(request, scope, BULK_ACTIONS[action], selected, refused)
        show_error(request, refused)
    return _return_to_list(request)


def _return_to_list(request: PageRequest) -> HttpResponse:
    return redirect(f"{reverse('vm-page')}?{_read_list_query(request)}")


def _read_list_query(request: PageRequest) -> str:
    """Return the parameters of the list that the bar belongs to."""
    query = QueryDict(mutable=True)
    query.update({name: request.GET[name] for name in LIST_PARAMETERS if request.GET.get(name)})
    return query.urlencode()


def _find_kind(action: str) -> BulkActionKind:
    """Return the kind of an action. Raises 400 `unknown_action`."""
    kind = BULK_ACTIONS.get(action)
    if kind is None:
        raise build_unknown_action_error(action, BULK_ACTIONS)
    return kind


def _list_selected(scope: Scope, form: QueryDict) -> list[tuple[UUID, str]]:
    """Return the ids and names of the selected VMs that the user sees. A text that is no id is left out, as no VM has it."""
    ids = set()
    for text in form.getlist("ids"):
        with suppress(ValueError):
            ids.add(UUID(text))
    rows = VirtualMachine.objects.within(scope).filter(pk__in=ids).order_by("name", "pk")
    return list(rows.values_list("pk", "name"))


def _render_form(
    request: PageRequest,
    scope: Scope,
    kind: BulkActionKind,
    selected: Sequence[tuple[UUID, str]],
    refused: DomainError | None = None,
) -> HttpResponse:
    """Show the form of an action on VMs, with what was entered and the errors of a refusal."""
    form = request.POST
    action = form["action"]
    is_permanent = action == "remove" and _is_permanent(form)
    context = {
        "action": action,
        "title": _("Delete permanently") if is_permanent else kind.title,
        "selected": selected,
        "named": [name for _pk, name in selected[:MAX_NAMED]],
        "unnamed_count": max(0, len(selected) - MAX_NAMED),
        "is_permanent": is_permanent,
        "in_bin": bool(form.get("permanent")),
        "is_interrupting": action in INTERRUPTING,
        "is_destructive": action in INTERRUPTING | {"remove", "unprotect"},
        "bin_days": settings.BIN_DAYS,
        "move_targets": list_target_choices(scope) if action == "move" else [],
        "list_query": _read_list_query(request),
        "entered": {name: form.get(name, "") for name in (*FIELDS, "mode", "volumes")},
        **split_errors(refused, FIELDS),
    }
    return render_dialog(
        request, "vms/bulk_form.html", context, status=status_of(refused) if refused else 200
    )


def _is_permanent(form: QueryDict) -> bool:
    """Return whether a deletion loses data at once: from the bin, or because there is none."""
    return bool(form.get("permanent")) or not settings.BIN_DAYS


def _read_form(form: QueryDict, action: str, ids: Sequence[str]) -> dict[str, Any]:
    """Return the valid parameters of the action. Fields of other actions' dialogs, which the form has too, are left out.

    Raises `InvalidFieldsError`, and 400 `unknown_action`.
    """
    kind = _find_kind(action)
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
    if action == "remove" and _is_permanent(form):
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
