"""The page of a resource: its attributes, its changes, and its topology."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from tenants.scoped_pages import PageRequest, page_scope

from ..models import CloudResource, ResourceChange
from ..registry import type_label
from ..serializers import TopologyQuerySerializer
from ..services import build_topology
from ..services.topology import MAX_DEPTH
from .topology_diagram import build_diagram

CHANGES_PER_PAGE = 20
DEFAULT_DEPTH = 2
# Attributes nested deeper than this are cut.
MAX_NESTING = 12
ATTRIBUTE_PREFIX = "attributes."


@login_required
@require_GET
def resource_detail_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Show a resource with its changes and its topology."""
    scope = page_scope(request)
    resource = get_object_or_404(CloudResource.objects.within(scope).select_related("account"), pk=pk)
    query = TopologyQuerySerializer(data={"depth": request.GET.get("depth", DEFAULT_DEPTH)})
    depth = query.validated_data["depth"] if query.is_valid() else DEFAULT_DEPTH
    changes = Paginator(
        ResourceChange.objects.filter(resource=resource).order_by("-id"), CHANGES_PER_PAGE
    ).get_page(request.GET.get("page"))
    context = {
        "scope": scope,
        "resource": resource,
        "type": type_label(resource.account.provider, resource.type),
        "owned": resource.account.is_owned_by(scope),
        "attributes": [
            (name, format_json_value(value)) for name, value in sorted(resource.attributes.items())
        ],
        "page": changes,
        "changes": [(change, _describe_changed_fields(change.fields)) for change in changes.object_list],
        "query": f"depth={depth}",
        "depth": depth,
        "depths": range(1, MAX_DEPTH + 1),
        "diagram": build_diagram(build_topology(scope=scope, root=resource, depth=depth)),
    }
    return render(request, "cloudaccounts/resource.html", context)


def _describe_changed_fields(fields: dict[str, Any]) -> list[dict[str, str]]:
    """Describe the changed fields for people: `event` when the resource expired or came back, then field, before and after."""
    names = {"name": _("Name"), "status": _("Status"), "addresses": _("Addresses"), "links": _("Links")}
    descriptions: list[dict[str, str]] = []
    for name, (was, is_now) in sorted(fields.items()):
        if name == "expired":
            descriptions.insert(0, {"event": _("expired") if is_now else _("came back")})
        else:
            label = names.get(name, name.removeprefix(ATTRIBUTE_PREFIX))
            descriptions.append(
                {"field": label, "was": format_json_value(was), "is_now": format_json_value(is_now)}
            )
    return descriptions


def format_json_value(value: Any) -> str:
    """Format a JSON value as text; members of lists and objects stand on lines of their own, indented."""
    if _is_nested(value):
        return "\n".join(_format_nested(value, 0))
    return _format_scalar(value)


def _format_nested(value: dict[str, Any] | list[Any], level: int) -> Iterator[str]:
    margin = "  " * level
    if level > MAX_NESTING:
        yield f"{margin}…"
        return
    labelled = (
        [(f"{name}:", member) for name, member in sorted(value.items())] if isinstance(value, dict) else None
    )
    for label, member in labelled or [("-", member) for member in value]:
        if isinstance(value, list) and isinstance(member, list) and not any(map(_is_nested, member)):
            yield f"{margin}- {', '.join(map(_format_scalar, member))}"
        elif _is_nested(member):
            yield f"{margin}{label}"
            yield from _format_nested(member, level + 1)
        else:
            yield f"{margin}{label} {_format_scalar(member)}"


def _is_nested(value: Any) -> bool:
    return isinstance(value, dict | list) and bool(value)


def _format_scalar(value: Any) -> str:
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    return "-" if value is None or value in ("", [], {}) else str(value)
