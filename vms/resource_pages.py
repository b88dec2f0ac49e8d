"""The pages of the room about a server or volume of the cloud inventory: its VM, or the form that adopts it."""

from __future__ import annotations

from django.urls import reverse

from cloudaccounts.models import CloudResource
from tenants.scoping import Scope

from .models import VirtualMachine
from .services.unmanaged import may_adopt, select_unmanaged


def find_vm_page(scope: Scope, resource: CloudResource) -> str:
    """Return the address of a server's VM; "" if the scope has no such VM."""
    vms = VirtualMachine.objects.within(scope).filter(
        openstack_id=resource.cloud_id, account=resource.account_id, region=resource.region
    )
    pk = vms.values_list("pk", flat=True).first()
    return reverse("vm-detail-page", args=[pk]) if pk is not None else ""


def find_adopt_form(scope: Scope, resource: CloudResource) -> str:
    """Return the address of the form that adopts a server or volume; "" for a managed one, and for a scope that may not."""
    if not may_adopt(scope, resource.account) or not resource.account.active:
        return ""
    if not select_unmanaged(resource.account).filter(pk=resource.pk).exists():
        return ""
    return f"{reverse('account-adopt-page', args=[resource.account_id])}?ids={resource.type}:{resource.pk}"
