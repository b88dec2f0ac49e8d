"""The decorator of the forms on a VM's page."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.cache import never_cache

from api.domain_errors import DomainError
from api.page_addresses import require_POST
from tenants.scoped_pages import PageRequest, page_scope
from tenants.scoping import Role, Scope

from ..models import VirtualMachine
from .detail import render_vm_page

FormHandler = Callable[..., None]


def vm_form_page(form: str, needed: Role) -> Callable[[FormHandler], Callable[..., HttpResponse]]:
    """Turn a function that handles a form on a VM's page into a page.

    Errors come in the order of the API: 404 for a VM that is not visible, 403 for the role, then those of the form. A refused
    form is shown on the VM's page with the entered values; an accepted one redirects there, so that a reload does not
    submit it again.
    """

    def decorate(handle: FormHandler) -> Callable[..., HttpResponse]:
        @login_required
        @never_cache
        @require_POST
        @wraps(handle)
        def page(request: PageRequest, pk: UUID, **ids: Any) -> HttpResponse:
            scope: Scope = page_scope(request)
            vm = get_object_or_404(VirtualMachine.objects.within(scope).for_display(), pk=pk)
            try:
                scope.require(needed, VirtualMachine)
                handle(request, scope, vm, **ids)
            except DomainError as refused:
                return render_vm_page(request, scope, vm, form=form, refused=refused)
            return redirect("vm-detail-page", pk)

        return page

    return decorate
