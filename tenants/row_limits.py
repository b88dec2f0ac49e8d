"""How many rows of each kind a tenant may have: nobody fills the tables that all share, by accident or on purpose.

What is measured by its size (VMs, volumes) has quotas: see `quotas.py`. These limits are the installation's
(`TENANT_ROWS_AT_MOST`), the same for all tenants, and far above what one needs.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from api.domain_errors import ConflictError

from .models import Tenant

# What each kind is called, in the sentence that refuses one more.
NAMES = {
    "information_systems": _("information systems"),
    "cloud_accounts": _("cloud accounts"),
    "hosts": _("hosts"),
    "services": _("services"),
    "versions": _("versions"),
    "instances": _("instances"),
    "vm_snapshots": _("snapshots of VMs"),
    "volume_snapshots": _("snapshots of volumes"),
}


def require_room_for_rows(tenant: Tenant, kind: str, rows: QuerySet[Any], adding: int = 1) -> None:
    """Refuse rows beyond the limit of their kind: 409 `limit_reached`, with the figures.

    `rows` are those that the tenant has. In the caller's transaction, and before it writes the new ones. Safe against
    others who add at the same moment: the tenant's row is locked, so they are counted one after another, each seeing
    what the last has written. No more rows are counted than the limit.
    """
    total = settings.TENANT_ROWS_AT_MOST.get(kind)
    if total is None:
        return
    # Not against the key: rows that merely refer to the tenant need not wait for this.
    Tenant.objects.select_for_update(no_key=True).get(pk=tenant.pk)
    used = rows.order_by()[: total + 1].count()
    if used + adding > total:
        raise ConflictError(
            "limit_reached",
            _(
                "%(tenant)s has %(used)s %(what)s; a tenant may have %(total)s. Remove some that are not needed."
            )
            % {"tenant": tenant.name, "used": used, "what": NAMES[kind], "total": total},
            limit={"kind": kind, "needed": adding, "left": max(0, total - used), "total": total},
        )
