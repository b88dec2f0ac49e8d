"""The applications that a page offers, to filter a list or to select one in a form."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpRequest
from django.utils.translation import gettext as _

from pages.lists import Filter
from pages.panels import is_panel_request

from .models import InformationSystem, Tenant
from .scoping import Scope


def list_application_choices(
    scope: Scope, *, tenant: Tenant | None = None, named: str | None = None, limit: int | None = None
) -> list[tuple[str, str]]:
    """Return the ids of the scope's applications, or of one tenant's, with their names, at most `limit` of them.

    With `named`, return the one with this id alone; none for a text that is no id.

    To someone who sees several tenants, the name begins with the tenant's: two tenants may have applications of one name.
    """
    systems = InformationSystem.objects.within(scope).order_by("name", "pk")
    if tenant is not None:
        systems = systems.filter(tenant=tenant)
    if named is not None:
        try:
            systems = systems.filter(pk=UUID(named))
        except ValueError:
            return []
    return [
        (str(pk), name if scope.tenant else f"{tenant_name} / {name}")
        for pk, name, tenant_name in systems.values_list("pk", "name", "tenant__name")[:limit]
    ]


def build_application_filter(request: HttpRequest, scope: Scope) -> Filter:
    """Return the filter of a list by application. It has every application: the page of each links to such lists.

    A panel shows no filters, and is read every few seconds: it needs the selected application alone.
    """
    named = request.GET.get("information_system", "") if is_panel_request(request) else None
    choices = list_application_choices(scope, named=named)
    return Filter("information_system", _("Application"), _("All applications"), choices)
