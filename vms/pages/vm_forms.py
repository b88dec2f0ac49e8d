"""What all forms on a VM's page have in common."""

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

Act = Callable[..., None]


def vm_form_page(form: str, needed: Role) -> Callable[[Act], Callable[..., HttpResponse]]:
    """Make a page of a function that does what a form on a VM's page asks for.

    The order of refusals is the API's: not visible (404), role, and only then what is wrong with the form. What is
    refused is shown on the VM's page with what was entered; what is accepted leads to the page anew, so that reloading
    it does not ask again.
    """

    def page_of(act: Act) -> Callable[..., HttpResponse]:
        @login_required
        @never_cache
        @require_POST
        @wraps(act)
        def page(request: PageRequest, pk: UUID, **more: Any) -> HttpResponse:
            scope: Scope = page_scope(request)
            vm = get_object_or_404(VirtualMachine.objects.within(scope).shown(), pk=pk)
            try:
                scope.require(needed, VirtualMachine)
                act(request, scope, vm, **more)
            except DomainError as refused:
                return render_vm_page(request, scope, vm, form=form, refused=refused)
            return redirect("vm-detail-page", pk)

        return page

    return page_of
