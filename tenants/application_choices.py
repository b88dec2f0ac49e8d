"""The applications that a page offers, to filter a list or to select one in a form."""

from __future__ import annotations

from django.utils.translation import gettext as _

from pages.lists import Filter

from .models import InformationSystem, Tenant
from .scoping import Scope


def list_application_choices(
    scope: Scope, *, tenant: Tenant | None = None, limit: int | None = None
) -> list[tuple[str, str]]:
    """Return the ids of the scope's applications, or of one tenant's, with their names, at most `limit` of them.

    To someone who sees several tenants, the name begins with the tenant's: two tenants may have applications of one name.
    """
    systems = InformationSystem.objects.within(scope).order_by("name", "pk")
    if tenant is not None:
        systems = systems.filter(tenant=tenant)
    return [
        (str(pk), name if scope.tenant else f"{tenant_name} / {name}")
        for pk, name, tenant_name in systems.values_list("pk", "name", "tenant__name")[:limit]
    ]


def build_application_filter(scope: Scope) -> Filter:
    """Return the filter of a list by application. It has every application: the page of each links to such lists."""
    choices = list_application_choices(scope)
    return Filter("information_system", _("Application"), _("All applications"), choices)
