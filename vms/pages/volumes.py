"""The forms for volumes on a VM's page."""

from __future__ import annotations

from uuid import UUID

from django.utils.translation import gettext as _

from api.domain_errors import InvalidFieldsError
from api.form_errors import filled_fields, validate_form
from tenants.scoped_pages import PageRequest
from tenants.scoping import Role, Scope

from ..models import VirtualMachine
from ..serializers import AttachVolumeSerializer
from ..services import attach_volume, detach_volume
from .vm_forms import vm_form_page


@vm_form_page("attach", Role.OPERATOR)
def attach_volume_page(request: PageRequest, scope: Scope, vm: VirtualMachine) -> None:
    """Attach one of the tenant's free volumes."""
    params = validate_form(AttachVolumeSerializer(data=filled_fields(request.POST, "volume")))
    if "volume" not in params:
        raise InvalidFieldsError({"volume": [_("Select a volume.")]})
    attach_volume(scope=scope, vm_id=vm.pk, volume_id=params["volume"])


@vm_form_page("new_volume", Role.ADMIN)
def attach_new_volume_page(request: PageRequest, scope: Scope, vm: VirtualMachine) -> None:
    """Create a volume and attach it."""
    params = validate_form(
        AttachVolumeSerializer(data=filled_fields(request.POST, "size_gb", "name", "type"))
    )
    if "size_gb" not in params:
        raise InvalidFieldsError({"size_gb": [_("Enter a size.")]})
    attach_volume(
        scope=scope,
        vm_id=vm.pk,
        size_gb=params["size_gb"],
        name=params.get("name", ""),
        volume_type=params.get("type", ""),
    )


@vm_form_page("detach", Role.OPERATOR)
def detach_volume_page(request: PageRequest, scope: Scope, vm: VirtualMachine, volume_pk: UUID) -> None:
    """Detach a volume; the tenant keeps it."""
    detach_volume(scope=scope, vm_id=vm.pk, volume_id=volume_pk)
