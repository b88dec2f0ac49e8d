"""The forms for interfaces, security groups and floating IPs of VMs."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from api.domain_errors import InvalidFieldsError
from api.form_errors import filled_fields, validate_form
from networks.models import FloatingIp
from tenants.page_forms import Outcome, run_form
from tenants.row_forms import RowForm, row_form_page
from tenants.scoped_pages import PageRequest, page_scope
from tenants.scoping import Role, Scope, get_visible_row

from ..models import VirtualMachine
from ..serializers.networks import (
    AttachFloatingIpSerializer,
    NewInterfaceSerializer,
    SetSecurityGroupsSerializer,
)
from ..services.addresses import attach_floating_ip, detach_floating_ip
from ..services.interfaces import attach_interface, detach_interface, set_security_groups
from .vm_forms import vm_form_page

ADDRESSES = FloatingIp.objects.select_related("tenant", "account", "vm")
MAX_VMS = 500


@vm_form_page("interface", Role.ADMIN)
def attach_interface_page(request: PageRequest, scope: Scope, vm: VirtualMachine) -> None:
    """Attach a further interface."""
    fields = filled_fields(request.POST, "network", "fixed_ip")
    if "network" not in fields:
        raise InvalidFieldsError({"network": [_("Select a network.")]})
    params = validate_form(NewInterfaceSerializer(data=fields))
    attach_interface(scope=scope, vm_id=vm.pk, **params)


@vm_form_page("detach_interface", Role.ADMIN)
def detach_interface_page(request: PageRequest, scope: Scope, vm: VirtualMachine, port_pk: UUID) -> None:
    """Detach an interface."""
    detach_interface(scope=scope, vm_id=vm.pk, port_id=port_pk)


@vm_form_page("groups", Role.ADMIN)
def set_security_groups_page(request: PageRequest, scope: Scope, vm: VirtualMachine) -> None:
    """Give the VM, or one of its interfaces, security groups in place of the present ones."""
    data: dict[str, Any] = {
        "security_groups": request.POST.getlist("security_groups"),
        **filled_fields(request.POST, "port"),
    }
    params = validate_form(SetSecurityGroupsSerializer(data=data))
    set_security_groups(scope=scope, vm_id=vm.pk, **params)


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def attach_floating_ip_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Let a floating IP lead to a VM of the same tenant, account and region."""
    scope = page_scope(request)
    row: FloatingIp = get_visible_row(ADDRESSES, scope, pk, Role.OPERATOR)

    def handle() -> Outcome:
        data = filled_fields(request.POST, "vm")
        if "vm" not in data:
            raise InvalidFieldsError({"vm": [_("Select a VM.")]})
        params = validate_form(AttachFloatingIpSerializer(data=data))
        attach_floating_ip(scope=scope, floating_ip_id=pk, **params)
        return _("Attaching floating IP %(address)s.") % {"address": row}, ""

    vms = (
        VirtualMachine.objects.for_tenant(row.tenant)
        .outside_bin()
        .filter(account=row.account, region=row.region, openstack_id__isnull=False)
        .order_by("name")
    )
    context = {
        "scope": scope,
        "row": row,
        "title": str(row),
        "vms": list(vms.values_list("pk", "name")[:MAX_VMS]),
    }
    return run_form(
        request,
        "vms/attach_address_form.html",
        context,
        handle,
        list_page="floating-ip-page",
        initial={"vm": ""},
        fields=("vm",),
    )


@row_form_page(RowForm("vms/detach_address_form.html", ADDRESSES, Role.OPERATOR, "floating-ip-page"))
def detach_floating_ip_page(request: PageRequest, scope: Scope, row: FloatingIp) -> Outcome:
    """Detach a floating IP; the tenant keeps it."""
    detach_floating_ip(scope=scope, floating_ip_id=row.pk)
    return _("Detaching floating IP %(address)s.") % {"address": row}, ""
