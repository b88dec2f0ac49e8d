"""The page of a cloud account's unmanaged servers and volumes, and the page that adopts them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import QuerySet
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods

from api.domain_errors import DomainError, InvalidFieldsError, NotFoundError
from api.errors import status_of
from api.form_errors import errors_by_field, filled_fields, validate_form
from api.uuids import is_uuid
from cloudaccounts.filters import search_resources
from cloudaccounts.models import CloudAccount, CloudResource
from cloudaccounts.pages.resource_labels import label_status
from pages.key_values import parse_key_values
from pages.lists import Filter, ListQuery, read_list_query
from pages.panels import render_page
from pages.tables import declare_table
from tenants.application_choices import list_application_choices
from tenants.quotas import measure_usage
from tenants.scoped_pages import PageRequest, page_scope
from tenants.scoping import Scope

from ..serializers import AdoptRequestSerializer, build_adoption_request
from ..services.adoption import AdoptionResult, adopt_resources
from ..services.adoption_checks import sum_needs
from ..services.unmanaged import (
    SERVER,
    VOLUME,
    find_attached_servers,
    get_adoptable_account,
    select_unmanaged,
)
from .listing import build_quota_lines
from .refusals import show_refusals

DEFAULT_ORDERING = "type"
ORDERINGS = frozenset({"type", "name", "status", "last_seen_at"})
declare_table(
    "unmanaged",
    [
        ("type", gettext_lazy("Type")),
        ("status", gettext_lazy("Status")),
        ("flavor", gettext_lazy("Flavor or volume type")),
        ("cpu_cores", gettext_lazy("vCPUs")),
        ("memory", gettext_lazy("Memory")),
        ("disk", gettext_lazy("Disk")),
        ("addresses", gettext_lazy("IP addresses")),
        ("region", gettext_lazy("Region")),
        ("last_seen_at", gettext_lazy("Last seen")),
    ],
)
# The fields of a rule, as the form names them.
RULE_FIELDS = ("name", "project", "metadata")


@login_required
@require_GET
def unmanaged_page(request: PageRequest, pk: int) -> HttpResponse:
    """Show what the portal does not manage in an account: the filters are those of REST."""
    scope = page_scope(request)
    account = get_adoptable_account(scope, pk)
    resources = select_unmanaged(account)
    query = _read_query(request, resources)
    page = query.paginate(_order(_filter(resources, query), query.ordering))
    rows = list(page.object_list)
    servers = find_attached_servers(rows)
    context = {
        "scope": scope,
        "account": account,
        "tab": "unmanaged",
        "owned": True,
        "may_administer": True,
        "page": page,
        "query": query,
        "ordering": query.ordering,
        "rows": [_describe(row, servers.get((row.region, row.cloud_id), "")) for row in rows],
        "applications": _list_applications(scope, account),
    }
    return render_page(
        request, "vms/unmanaged.html", context, panels={"unmanaged": "vms/unmanaged_table.html"}
    )


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def adopt_page(request: PageRequest, pk: int) -> HttpResponse:
    """Adopt selected servers and volumes, or the servers of a rule; a dry run shows what would be done.

    Whatever is refused is shown with its reason, and the form keeps its values.
    """
    scope = page_scope(request)
    account = get_adoptable_account(scope, pk)
    sent = request.POST if request.method == "POST" else request.GET
    is_dry = sent.get("dry_run") == "1"
    adoption: AdoptionResult | None = None
    refused: DomainError | None = None
    if request.method == "POST":
        try:
            params = validate_form(AdoptRequestSerializer(data=_read_form(sent)))
            adoption = adopt_resources(
                scope=scope,
                account_id=pk,
                request=build_adoption_request(params),
                mode=params["mode"],
                dry_run=is_dry,
            )
        except NotFoundError:
            raise
        except DomainError as error:
            refused = error
        if adoption is not None and adoption.is_done:
            _report(request, adoption)
            return redirect("account-unmanaged-page", pk)
    status = status_of(refused) if refused else 200 if adoption is None or is_dry else 409
    context = _build_context(scope, account, sent, adoption, refused)
    return render(request, "vms/adopt.html", context, status=status)


def _build_context(
    scope: Scope,
    account: CloudAccount,
    sent: QueryDict,
    adoption: AdoptionResult | None,
    refused: DomainError | None,
) -> dict[str, Any]:
    """Return the context of the form, with what was sent, and the results or the errors."""
    ids = _split_ids(sent.getlist("ids"))
    errors = errors_by_field(refused) if refused is not None else {}
    # A rule's errors stand at its fields, whose names are those of the form.
    beside = {name: texts for name, texts in errors.items() if name == "information_system"}
    beside |= {name: errors[f"rule.{name}"] for name in RULE_FIELDS if f"rule.{name}" in errors}
    others = [
        text
        for name, texts in errors.items()
        if name not in {*beside, *(f"rule.{n}" for n in beside)}
        for text in texts
    ]
    if refused is not None and not errors:
        others = [refused.detail]
    context: dict[str, Any] = {
        "scope": scope,
        "account": account,
        "applications": _list_applications(scope, account),
        "entered": {name: sent.get(name, "") for name in (*RULE_FIELDS, "information_system", "mode")},
        "ids": [f"{kind}:{name}" for kind, names in ids.items() for name in names],
        "errors": beside,
        "refused": others,
    }
    if adoption is None:
        return context
    accepted = adoption.accepted
    needs = sum_needs(accepted)
    return context | {
        "results": [
            {
                "candidate": candidate,
                "type": _label_type(candidate.type),
                "name": (candidate.resource.name if candidate.resource else "") or candidate.id,
            }
            for candidate in adoption.candidates
        ],
        "accepted_count": len(accepted),
        "refused_count": len(adoption.candidates) - len(accepted),
        "usage": build_quota_lines(measure_usage(adoption.tenant), needs),
    }


def _read_form(sent: QueryDict) -> dict[str, Any]:
    """Return the form as the API's request."""
    data: dict[str, Any] = {
        **filled_fields(sent, "information_system"),
        "mode": "valid" if sent.get("mode") == "valid" else "all",
    }
    ids = _split_ids(sent.getlist("ids"))
    if any(ids.values()):
        return data | {"servers": ids[SERVER], "volumes": ids[VOLUME]}
    rule: dict[str, Any] = filled_fields(sent, "name", "project")
    metadata, line_errors = parse_key_values(sent.get("metadata", ""))
    if line_errors:
        raise InvalidFieldsError({"rule.metadata": line_errors})
    if metadata:
        rule["metadata"] = metadata
    return data | {"rule": rule}


def _split_ids(values: Sequence[str]) -> dict[str, list[str]]:
    """Return the selected ids by type: the value of a box is `server:<id>`. Other values are left out.

    All are returned, so that too many are refused instead of adopted in part; Django limits the fields of a form.
    """
    ids: dict[str, list[str]] = {SERVER: [], VOLUME: []}
    for value in values:
        kind, _colon, name = value.partition(":")
        if kind in ids and is_uuid(name):
            ids[kind].append(name)
    return ids


def _report(request: PageRequest, adoption: AdoptionResult) -> None:
    """Show the outcome as messages: the number of adopted objects, and the reasons against the others."""
    count = len(adoption.accepted)
    message = ngettext(
        "%(count)s server or volume was adopted.", "%(count)s servers and volumes were adopted.", count
    )
    messages.success(request, message % {"count": count})
    show_refusals(
        request,
        [
            ((candidate.resource.name if candidate.resource else "") or candidate.id, candidate.refusal)
            for candidate in adoption.candidates
            if candidate.refusal is not None
        ],
    )


def _list_applications(scope: Scope, account: CloudAccount) -> list[tuple[str, str]]:
    """Return the applications that can adopt from an account: those of its tenant; all for staff in a shared one."""
    return list_application_choices(scope, tenant=account.tenant)


def _describe(resource: CloudResource, server_id: str) -> dict[str, Any]:
    """Return a row of the table."""
    attributes = resource.attributes
    memory_mb = attributes.get("memory_mb")
    return {
        "resource": resource,
        "value": f"{resource.type}:{resource.pk}",
        "type": _label_type(resource.type),
        "status_display": label_status(resource.status, resource.type),
        "flavor": attributes.get("flavor") or attributes.get("volume_type") or "",
        "vcpus": attributes.get("vcpus"),
        "memory_gb": round(memory_mb / 1024, 1) if isinstance(memory_mb, int) else None,
        "disk_gb": attributes.get("size_gb") if resource.type == VOLUME else attributes.get("disk_gb"),
        "server_id": server_id if resource.type == VOLUME else "",
    }


def _label_type(type_code: str) -> str:
    return str(_("Server") if type_code == SERVER else _("Volume"))


def _read_query(request: PageRequest, resources: QuerySet[CloudResource]) -> ListQuery:
    regions = resources.order_by("region").values_list("region", flat=True).distinct()
    statuses = resources.order_by("status").values_list("type", "status").distinct()
    filters = [
        Filter("type", _("Type"), _("All types"), [(one, _label_type(one)) for one in (SERVER, VOLUME)]),
        Filter("region", _("Region"), _("All regions"), [(region, region) for region in regions]),
        Filter(
            "status",
            _("Status"),
            _("All statuses"),
            list({status: capfirst(label_status(status, kind)) for kind, status in statuses}.items()),
        ),
    ]
    return read_list_query(request, filters, orderings=ORDERINGS, ordering=DEFAULT_ORDERING)


def _filter(resources: QuerySet[CloudResource], query: ListQuery) -> QuerySet[CloudResource]:
    return search_resources(resources, query.search).filter(**query.values)


def _order(resources: QuerySet[CloudResource], ordering: str) -> QuerySet[CloudResource]:
    if ordering == DEFAULT_ORDERING:
        return resources.order_by("type", "name", "pk")
    return resources.order_by(ordering, "name", "pk")
