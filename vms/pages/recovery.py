"""The forms that rescue and rebuild a VM, and those by which staff move a VM to another host."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
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
from tenants.scoping import Role, get_visible_row, require_staff_permission
from volumepool.models import Volume

from ..models import VirtualMachine
from ..serializers import EvacuationSerializer, MigrationSerializer, RebuildSerializer, RescueSerializer
from ..services import abort_migration, evacuate_vm, migrate_vm, rebuild_vm, rescue_vm
from ..services.migration import STAFF_PERMISSION, list_target_hosts
from ..services.recovery import list_images

VMS = VirtualMachine.objects.select_related("information_system__tenant", "account")


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def rescue_vm_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Boot the VM from a rescue image."""
    scope = page_scope(request)
    vm: VirtualMachine = get_visible_row(VMS, scope, pk, Role.OPERATOR)

    def handle() -> str:
        params = validate_form(RescueSerializer(data=filled_fields(request.POST, "image")))
        rescue_vm(scope=scope, vm_id=pk, **params)
        return _("Rescuing VM %(name)s.")

    return _run(request, "vms/rescue_form.html", vm, handle, _build_image_context(vm), fields=("image",))


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def rebuild_vm_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Rebuild the VM if the form repeats its name: what is on its root disk is lost."""
    scope = page_scope(request)
    vm: VirtualMachine = get_visible_row(VMS, scope, pk, Role.ADMIN)

    def handle() -> str:
        require_typed_name(request, vm.name)
        kept = {name: request.POST.get(name) == "true" for name in ("keep_key", "keep_user_data")}
        params = validate_form(RebuildSerializer(data={**filled_fields(request.POST, "image"), **kept}))
        rebuild_vm(scope=scope, vm_id=pk, **params)
        return _("Rebuilding VM %(name)s.")

    return _run(
        request,
        "vms/rebuild_form.html",
        vm,
        handle,
        _build_image_context(vm),
        initial={"keep_key": "true", "keep_user_data": "true"},
        fields=("image", "keep_key", "keep_user_data"),
    )


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def migrate_vm_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Move the VM to another host. For staff."""
    scope = page_scope(request)
    vm: VirtualMachine = get_visible_row(VMS, scope, pk, Role.OPERATOR)
    require_staff_permission(scope.user, STAFF_PERMISSION)

    def handle() -> str:
        params = validate_form(MigrationSerializer(data=filled_fields(request.POST, "kind", "host")))
        migrate_vm(scope=scope, vm_id=pk, **params)
        return _("Migrating VM %(name)s.")

    initial = {"kind": "cold" if vm.status == "stopped" else "live"}
    return _run(
        request,
        "vms/migrate_form.html",
        vm,
        handle,
        {"hosts": list_target_hosts(vm)},
        initial=initial,
        fields=("kind", "host"),
    )


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def evacuate_vm_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Evacuate the VM from a dead host if the form repeats its name: its local disk may be lost. For staff."""
    scope = page_scope(request)
    vm: VirtualMachine = get_visible_row(VMS, scope, pk, Role.OPERATOR)
    require_staff_permission(scope.user, STAFF_PERMISSION)

    def handle() -> str:
        require_typed_name(request, vm.name)
        params = validate_form(EvacuationSerializer(data=filled_fields(request.POST, "host")))
        evacuate_vm(scope=scope, vm_id=pk, **params)
        return _("Evacuating VM %(name)s.")

    context = {"hosts": list_target_hosts(vm)}
    return _run(request, "vms/evacuate_form.html", vm, handle, context, fields=("host",))


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def abort_migration_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Abort the live migration of the VM. For staff."""
    scope = page_scope(request)
    vm: VirtualMachine = get_visible_row(VMS, scope, pk, Role.OPERATOR)
    require_staff_permission(scope.user, STAFF_PERMISSION)

    def handle() -> str:
        abort_migration(scope=scope, vm_id=pk)
        return _("Aborting the live migration of VM %(name)s.")

    return _run(request, "vms/abort_migration_form.html", vm, handle, {})


def _build_image_context(vm: VirtualMachine) -> dict[str, Any]:
    return {
        "images": [(image.cloud_id, image.name) for image in list_images(vm)],
        "needs_image": Volume.objects.filter(vm=vm, is_boot=True).exists(),
    }


def _run(
    request: PageRequest,
    template: str,
    vm: VirtualMachine,
    handle: Callable[[], str],
    context: Mapping[str, Any],
    *,
    initial: Mapping[str, Any] | None = None,
    fields: Collection[str] = (),
) -> HttpResponse:
    """Show one of the forms, or carry it out and go to the VM with the message of `handle`."""

    def handle_form() -> Outcome:
        return handle() % {"name": vm.name}, reverse("vm-detail-page", args=[vm.pk])

    shown = {"scope": page_scope(request), "row": vm, "title": str(vm), **context}
    return run_form(
        request, template, shown, handle_form, list_page="vm-page", initial=initial, fields=fields
    )
