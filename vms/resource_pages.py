"""The page of the VM that a server of the cloud inventory is."""

from __future__ import annotations

from django.urls import reverse

from cloudaccounts.models import CloudResource
from tenants.scoping import Scope

from .models import VirtualMachine


def find_vm_page(scope: Scope, resource: CloudResource) -> str:
    """Return the address of a server's VM; "" if the scope has no such VM."""
    vms = VirtualMachine.objects.within(scope).filter(
        openstack_id=resource.cloud_id, account=resource.account_id, region=resource.region
    )
    pk = vms.values_list("pk", flat=True).first()
    return reverse("vm-detail-page", args=[pk]) if pk is not None else ""
