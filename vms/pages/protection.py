"""Buttons of a VM that keep it: restore it from the bin, and turn its deletion protection on or off."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _

from api.domain_errors import DomainError
from api.form_errors import show_error
from api.page_addresses import require_POST
from pages.panels import render_messages
from tenants.scoped_pages import PageRequest, page_scope

from ..services import change_vm, restore_vm


@login_required
@require_POST
def restore_vm_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Restore the VM from the bin, from the list or from its own page."""
    try:
        restored = restore_vm(scope=page_scope(request), vm_id=pk)
        messages.success(request, _("Restoring VM %(name)s.") % {"name": restored.vm})
    except DomainError as refused:
        show_error(request, refused)
    return _answer(request, pk)


@login_required
@require_POST
def protect_vm_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Turn the deletion protection of the VM on or off."""
    is_on = request.POST.get("deletion_protection") == "true"
    fields = {"deletion_protection": is_on}
    try:
        change_vm(scope=page_scope(request), vm_id=pk, fields=fields, if_match=None)
        messages.success(
            request,
            _("Deletion protection turned on.") if is_on else _("Deletion protection turned off."),
        )
    except DomainError as refused:
        show_error(request, refused)
    return _answer(request, pk)


def _answer(request: PageRequest, pk: UUID) -> HttpResponse:
    if request.htmx:
        return render_messages(request)
    return redirect("vm-detail-page", pk) if request.POST.get("page") == "detail" else redirect("vm-page")
