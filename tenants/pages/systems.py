"""The applications (information systems) of a tenant: the list, and the forms that create, change and delete one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import Count, Q
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods

from api.domain_errors import InvalidFieldsError, OutdatedError
from api.form_errors import validate_form
from api.replica.reads import reads_list
from pages.lists import read_list_query
from pages.panels import render_page
from pages.tables import declare_table

from .. import services
from ..models import InformationSystem
from ..page_forms import Outcome, read_version, require_typed_name, run_form
from ..scoped_pages import PageRequest, page_scope
from ..scoping import Role, Scope, get_visible_row
from ..serializers import InformationSystemSerializer

SYSTEMS = InformationSystem.objects.select_related("tenant", "default_account")
FIELDS = ("name", "owner", "description", "default_account", "default_network")
ORDERINGS = frozenset({"name", "owner", "created_at"})
declare_table(
    "systems",
    [
        ("tenant", gettext_lazy("Tenant")),
        ("owner", gettext_lazy("Owner")),
        ("description", gettext_lazy("Description")),
        ("vms", gettext_lazy("Virtual machines")),
        ("volumes", gettext_lazy("Volumes")),
        ("services", gettext_lazy("Services")),
        ("default_account", gettext_lazy("Default cloud account")),
        ("created_at", gettext_lazy("Created")),
    ],
)
# What is counted in the list, by the name of the relation.
COUNTED = ("vms", "volumes", "services")


@login_required
@require_GET
@reads_list
def system_page(request: PageRequest) -> HttpResponse:
    """Show the applications with the number of their resources."""
    scope = page_scope(request)
    query = read_list_query(request, orderings=ORDERINGS, ordering="name")
    systems = SYSTEMS.within(scope)
    if query.search:
        systems = systems.filter(
            Q(name__icontains=query.search)
            | Q(owner__icontains=query.search)
            | Q(description__icontains=query.search)
        )
    page = query.paginate(systems.order_by(query.ordering, "pk"))
    listed = list(page.object_list)
    counts = _count_resources(listed)
    context = {
        "scope": scope,
        "page": page,
        "rows": [
            {"system": system, **{name: counts[name].get(system.pk, 0) for name in COUNTED}}
            for system in listed
        ],
        "query": query,
        "ordering": query.ordering,
        "may_administer": scope.allows(Role.ADMIN, InformationSystem),
        "may_create": scope.tenant is not None and scope.allows(Role.ADMIN, InformationSystem),
    }
    return render_page(
        request, "tenants/systems.html", context, panels={"systems": "tenants/system_table.html"}
    )


def _count_resources(systems: Sequence[InformationSystem]) -> dict[str, dict[UUID, int]]:
    """Count the resources of the systems of a page: a query for each kind, since a join of all would multiply the rows."""
    ids = [system.pk for system in systems]
    found = InformationSystem.objects.filter(pk__in=ids).order_by()
    return {name: dict(found.values_list("pk").annotate(count=Count(name))) for name in COUNTED}


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def new_system_page(request: PageRequest) -> HttpResponse:
    """Show the form; on POST, create an application."""
    scope = page_scope(request)
    scope.require(Role.ADMIN, InformationSystem)
    if scope.tenant is None:
        messages.warning(request, _("Select a tenant first. An application belongs to one tenant."))
        return redirect("system-page")

    def create() -> Outcome:
        fields = validate_form(_build_serializer(request, scope, None))
        system = services.create_information_system(scope=scope, fields=fields)
        return _("Application %(name)s was created.") % {"name": system.name}, ""

    context = {"scope": scope, "title": _("Create application"), **_build_choices(scope)}
    return run_form(
        request, "tenants/system_form.html", context, create, list_page="system-page", fields=FIELDS
    )


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def edit_system_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Show the form with the application's values; on POST, save them, unless somebody else has changed them since."""
    scope = page_scope(request)
    system = get_visible_row(SYSTEMS, scope, pk, Role.ADMIN)

    def change() -> Outcome:
        fields = validate_form(_build_serializer(request, scope, system))
        try:
            changed = services.change_information_system(
                scope=scope, system_id=pk, fields=fields, if_match=read_version(request)
            )
        except OutdatedError as outdated:
            # The form then has the present version, so sending it again overwrites the other changes knowingly.
            outdated.detail = _("Someone else changed this application. Save again to overwrite the changes.")
            raise
        return _("Application %(name)s was changed.") % {"name": changed.name}, ""

    context = {
        "scope": scope,
        "title": _("Edit application %(name)s") % {"name": system.name},
        "system": system,
        **_build_choices(scope),
    }
    initial = {
        "name": system.name,
        "owner": system.owner,
        "description": system.description,
        "default_account": str(system.default_account_id or ""),
        "default_network": system.default_network,
    }
    return run_form(
        request,
        "tenants/system_form.html",
        context,
        change,
        list_page="system-page",
        initial=initial,
        fields=FIELDS,
    )


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def remove_system_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Ask whether an application is to be deleted, or tell what it still owns; on POST, delete it."""
    scope = page_scope(request)
    system = get_visible_row(SYSTEMS, scope, pk, Role.ADMIN)

    def remove() -> Outcome:
        require_typed_name(request, system.name)
        services.remove_information_system(scope=scope, system_id=pk, if_match=None)
        return _("Application %(name)s was deleted.") % {"name": system.name}, ""

    context = {
        "scope": scope,
        "title": _("Delete application %(name)s") % {"name": system.name},
        "system": system,
        "owned": services.list_owned_resources(system),
    }
    return run_form(request, "tenants/system_remove.html", context, remove, list_page="system-page")


def _build_serializer(request: PageRequest, scope: Scope, system: InformationSystem | None) -> Any:
    """Return the serializer of REST for the fields of the form; an empty selection is no account."""
    data: dict[str, Any] = {name: request.POST.get(name, "") for name in FIELDS}
    if not data["default_account"]:
        data["default_account"] = None
    elif not (data["default_account"].isascii() and data["default_account"].isdigit()):
        raise InvalidFieldsError({"default_account": [_("Select a cloud account.")]})
    return InformationSystemSerializer(system, data=data, context={"scope": scope})


def _build_choices(scope: Scope) -> Mapping[str, Any]:
    accounts: Any = InformationSystem._meta.get_field("default_account").related_model  # noqa: SLF001
    return {"accounts": accounts.objects.within(scope).order_by("name")}
