"""Limit the rows of each kind that a tenant may have, so that no tenant fills the shared tables.

VMs and volumes have quotas instead (`quotas.py`). These limits are settings (`TENANT_ROWS_AT_MOST`), the same for all
tenants, and far above what one needs.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from api.domain_errors import ConflictError

from .models import Tenant

# The name of each kind in the error message.
KIND_LABELS = {
    "information_systems": _("information systems"),
    "cloud_accounts": _("cloud accounts"),
    "hosts": _("hosts"),
    "services": _("services"),
    "versions": _("versions"),
    "instances": _("instances"),
    "vm_snapshots": _("snapshots of VMs"),
    "volume_snapshots": _("snapshots of volumes"),
    "ssh_keys": _("SSH keys"),
    "user_data_templates": _("user data templates"),
    "security_groups": _("security groups"),
    "floating_ips": _("floating IPs"),
    "server_groups": _("server groups"),
    "webhooks": _("webhooks"),
    "subscriptions": _("subscriptions"),
    "approval_policies": _("approval policies"),
    "approval_delegations": _("delegations"),
    "approval_requests": _("requests that wait for approval"),
    "service_accounts": _("service accounts"),
}


def require_row_limit(tenant: Tenant, kind: str, rows: QuerySet[Any], adding: int = 1) -> None:
    """Refuse rows beyond the limit of their kind: 409 `limit_reached`, with the figures.

    `rows` are those that the tenant has. Call it in the transaction that adds rows, before they are written. Safe beside
    other requests: the tenant's row is locked, so each request counts the rows of the one before. The count stops at the
    limit.
    """
    total = settings.TENANT_ROWS_AT_MOST.get(kind)
    if total is None:
        return
    # Without the key: rows that only refer to the tenant do not wait for this lock.
    Tenant.objects.select_for_update(no_key=True).get(pk=tenant.pk)
    used = rows.order_by()[: total + 1].count()
    if used + adding > total:
        raise ConflictError(
            "limit_reached",
            _("%(tenant)s has %(used)s %(what)s. The limit is %(total)s. Delete some that are not needed.")
            % {"tenant": tenant.name, "used": used, "what": KIND_LABELS[kind], "total": total},
            limit={"kind": kind, "needed": adding, "left": max(0, total - used), "total": total},
        )
