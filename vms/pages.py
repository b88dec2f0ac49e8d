"""The VM page: a tenant's VMs, what may be asked of each, and what is being done."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db.models import Q
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_POST

from portal.api.errors import Refused
from portal.api.scoped_pages import PageRequest, page_scope
from portal.api.scoping import Scope

from .models import VirtualMachine, VMStatus
from .serializers import VirtualMachineSerializer
from .services import control_vm

PAGE_SIZE = 25


@login_required
@require_GET
def vm_page(request: PageRequest) -> HttpResponse:
    """The list, with search and a filter by status."""
    scope = page_scope(request)
    vms = VirtualMachine.objects.within(scope).shown().order_by("name", "pk")
    search, status = request.GET.get("search", "")[:200].replace("\x00", ""), request.GET.get("status", "")
    if search:
        vms = vms.filter(
            Q(name__icontains=search)
            | Q(ip_address__icontains=search)
            | Q(information_system__name__icontains=search)
        )
    if status in VMStatus.values:
        vms = vms.filter(status=status)
    page = Paginator(vms, PAGE_SIZE).get_page(request.GET.get("page"))
    return render(
        request,
        "vms/page.html",
        {
            "scope": scope,
            "page": page,
            "vms": VirtualMachineSerializer(list(page.object_list), many=True, context={"scope": scope}).data,
            "statuses": VMStatus.choices,
            "search": search,
            "status": status,
        },
    )


@login_required
@require_GET
def vm_row(request: PageRequest, pk: UUID) -> HttpResponse:
    """One row of the list, for the page to follow a VM that a job holds."""
    return _row(request, page_scope(request), pk)


@login_required
@require_POST
def ask_vm(request: PageRequest, pk: UUID) -> HttpResponse:
    """Ask a VM for an action. A refusal is shown above the list, in the words of the API."""
    scope = page_scope(request)
    try:
        control_vm(
            scope=scope,
            vm_id=pk,
            action=request.POST.get("action", ""),
            hard=request.POST.get("hard") == "true",
        )
    except Refused as refused:
        messages.error(request, str(refused.detail))
        if request.htmx:
            response = HttpResponse()
            response["HX-Refresh"] = "true"
            return response
    return _row(request, scope, pk) if request.htmx else redirect("vm-page")


def _row(request: PageRequest, scope: Scope, pk: UUID) -> HttpResponse:
    vm = get_object_or_404(VirtualMachine.objects.within(scope).shown(), pk=pk)
    shown: Any = VirtualMachineSerializer(vm, context={"scope": scope}).data
    return render(request, "vms/row.html", {"vm": shown})
