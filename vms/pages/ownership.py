"""The forms that move a VM to another information system, and that release it from the portal."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from api.form_errors import filled_fields, validate_form
from tenants.page_forms import Outcome, require_typed_name, run_form
from tenants.scoped_pages import PageRequest, page_scope
from tenants.scoping import Role, Scope, get_visible_row

from ..models import VirtualMachine
from ..serializers import MoveSerializer
from ..services.moves import list_move_targets, move_vm
from ..services.release import release_vm

VMS = VirtualMachine.objects.select_related("information_system__tenant", "account")


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def move_vm_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Move the VM to another application of its tenant, or of another tenant that the user administers as well."""
    scope = page_scope(request)
    vm: VirtualMachine = get_visible_row(VMS, scope, pk, Role.OPERATOR)

    def handle() -> Outcome:
        params = validate_form(MoveSerializer(data=filled_fields(request.POST, "information_system")))
        moved, _is_moved = move_vm(scope=scope, vm_id=pk, system_id=params["information_system"])
        system = moved.information_system
        message = _("%(vm)s now belongs to %(system)s.") % {"vm": moved.name, "system": system.name}
        is_visible = scope.tenant is None or system.tenant_id == scope.tenant.pk
        return message, reverse("vm-detail-page", args=[pk]) if is_visible else ""

    return _run(request, "vms/move_form.html", vm, handle, {"targets": list_target_choices(scope, vm)})


def list_target_choices(scope: Scope, vm: VirtualMachine | None = None) -> list[tuple[str, str]]:
    """Return what `list_move_targets` returns as choices; the name of an application of another tenant begins with the tenant's."""
    tenant_id = scope.tenant.pk if scope.tenant is not None else None
    own = vm.information_system.tenant_id if vm is not None else tenant_id
    return [
        (str(one.pk), one.name if one.tenant_id == own else f"{one.tenant.name} / {one.name}")
        for one in list_move_targets(scope, vm)
    ]


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def release_vm_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Release the VM if the form repeats its name: the portal forgets it, and the cloud keeps it."""
    scope = page_scope(request)
    vm: VirtualMachine = get_visible_row(VMS, scope, pk, Role.ADMIN)

    def handle() -> Outcome:
        require_typed_name(request, vm.name)
        release_vm(scope=scope, vm_id=pk)
        return _("%(vm)s was released. The cloud keeps it.") % {"vm": vm.name}, ""

    return _run(request, "vms/release_form.html", vm, handle, {"volume_count": vm.volumes.count()})


def _run(
    request: PageRequest, template: str, vm: VirtualMachine, handle: Any, context: dict[str, Any]
) -> HttpResponse:
    """Show one of the forms, or carry it out."""
    return run_form(
        request,
        template,
        {"scope": page_scope(request), "row": vm, "title": str(vm), **context},
        handle,
        list_page="vm-page",
        fields=("information_system",),
    )
