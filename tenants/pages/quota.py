"""The quota of a tenant: what is used of each resource, and by which application."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from pages.panels import render_page

from ..models import Tenant
from ..quotas import METER_LABELS, measure_usage, measure_usage_by_system
from ..scoped_pages import PageRequest, page_scope
from ..scoping import Role


@login_required
@require_GET
def quota_page(request: PageRequest) -> HttpResponse:
    """Show the meters of the tenant's quotas, and the use by application."""
    scope = page_scope(request)
    context: dict[str, object] = {"scope": scope, "may_request": scope.allows(Role.ADMIN, Tenant)}
    if scope.tenant is not None:
        scope.require(Role.VIEWER)
        usage = measure_usage(scope.tenant)
        context |= {
            "lines": [
                {
                    "label": label,
                    "unit": unit,
                    "used": usage[name]["used"] or 0,
                    "total": usage[name]["total"],
                    "left": _left(usage[name]["used"] or 0, usage[name]["total"]),
                }
                for name, (label, unit) in METER_LABELS.items()
            ],
            "systems": measure_usage_by_system(scope.tenant),
            "unlimited": _("Unlimited"),
        }
    return render_page(request, "tenants/quota.html", context, panels={"quota": "tenants/quota_panel.html"})


def _left(used: int, total: int | None) -> int | None:
    return None if total is None else max(0, total - used)
