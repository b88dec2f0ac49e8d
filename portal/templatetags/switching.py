"""The tenant that a page which was not found belongs to, if the user may switch to it."""

from __future__ import annotations

from typing import Any

from django import template

from cloudaccounts.models import CloudAccount, CloudResource
from deploys.models import Deployment, Host, MicroService
from networks.models import SecurityGroup
from tasks.models import Job
from tenants.models import Tenant
from tenants.scoping import TenantScopedQuerySet
from vms.models import VirtualMachine

register = template.Library()

# The object of each page that shows one, by the name of its address.
OBJECTS: dict[str, Any] = {
    "vm-detail-page": VirtualMachine,
    "service-detail-page": MicroService,
    "deployment-detail-page": Deployment,
    "host-detail-page": Host,
    "account-detail-page": CloudAccount,
    "resource-detail-page": CloudResource,
    "job-page": Job,
    "security-group-detail-page": SecurityGroup,
}
MAX_TENANTS = 20


@register.simple_tag(takes_context=True)
def other_tenant(context: dict[str, Any]) -> Tenant | None:
    """Return the user's own tenant that the object of the address belongs to; None for any other address.

    It tells nothing that the user may not see: only tenants that the user is a member of are asked.
    """
    request = context.get("request")
    match = getattr(request, "resolver_match", None)
    user = getattr(request, "user", None)
    model = OBJECTS.get(match.url_name or "") if match else None
    if model is None or match is None or user is None or not user.is_authenticated:
        return None
    for membership in user.active_memberships()[:MAX_TENANTS]:
        rows: TenantScopedQuerySet = model.objects.for_tenant(membership.tenant)
        if rows.filter(pk=match.kwargs.get("pk")).exists():
            tenant: Tenant = membership.tenant
            return tenant
    return None
