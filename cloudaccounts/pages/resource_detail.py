"""A resource's own page: what the cloud says of it, what changed about it, and how it hangs together with others."""

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
from ..services.topology import DEEPEST
from .topology_diagram import draw

CHANGES_SHOWN = 20
DEPTH = 2
# What lies deeper in attributes is junk, and is not taken apart.
DEEPEST_ATTRIBUTE = 12
OWN = "attributes."


@login_required
@require_GET
def resource_detail_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """A resource, with its changes and its neighbourhood."""
    scope = page_scope(request)
    resource = get_object_or_404(CloudResource.objects.within(scope).select_related("account"), pk=pk)
    asked = TopologyQuerySerializer(data={"depth": request.GET.get("depth", DEPTH)})
    depth = asked.validated_data["depth"] if asked.is_valid() else DEPTH
    changes = Paginator(
        ResourceChange.objects.filter(resource=resource).order_by("-id"), CHANGES_SHOWN
    ).get_page(request.GET.get("page"))
    context = {
        "scope": scope,
        "resource": resource,
        "type": type_label(resource.account.provider, resource.type),
        "owned": resource.account.is_owned_by(scope),
        "attributes": [(name, indented(value)) for name, value in sorted(resource.attributes.items())],
        "page": changes,
        "changes": [(change, _told(change.fields)) for change in changes.object_list],
        "query": f"depth={depth}",
        "depth": depth,
        "depths": range(1, DEEPEST + 1),
        "drawing": draw(build_topology(scope=scope, root=resource, depth=depth)),
    }
    return render(request, "cloudaccounts/resource.html", context)


def _told(fields: dict[str, Any]) -> list[dict[str, str]]:
    """A change as people read it: that it expired or came back in a word, the rest as field, before and after."""
    names = {"name": _("Name"), "status": _("Status"), "addresses": _("Addresses"), "links": _("Links")}
    told: list[dict[str, str]] = []
    for name, (was, is_now) in sorted(fields.items()):
        if name == "expired":
            told.insert(0, {"word": _("expired") if is_now else _("came back")})
        else:
            label = names.get(name, name.removeprefix(OWN))
            told.append({"field": label, "was": indented(was), "is_now": indented(is_now)})
    return told


def indented(value: Any) -> str:
    """A value of JSON as text; what is in it stands below it, further in."""
    if _is_nested(value):
        return "\n".join(_lines(value, 0))
    return _text(value)


def _lines(value: dict[str, Any] | list[Any], level: int) -> Iterator[str]:
    margin = "  " * level
    if level > DEEPEST_ATTRIBUTE:
        yield f"{margin}…"
        return
    heads = [(f"{name}:", one) for name, one in sorted(value.items())] if isinstance(value, dict) else None
    for head, one in heads or [("-", one) for one in value]:
        if isinstance(value, list) and isinstance(one, list) and not any(map(_is_nested, one)):
            yield f"{margin}- {', '.join(map(_text, one))}"
        elif _is_nested(one):
            yield f"{margin}{head}"
            yield from _lines(one, level + 1)
        else:
            yield f"{margin}{head} {_text(one)}"


def _is_nested(value: Any) -> bool:
    return isinstance(value, dict | list) and bool(value)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    return "-" if value is None or value in ("", [], {}) else str(value)
