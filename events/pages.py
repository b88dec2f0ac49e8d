"""The page of the audit log."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any
from urllib.parse import urlencode

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import HttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_GET

from api.domain_errors import ForbiddenError
from api.pagination import CappedPaginator
from pages.lists import Filter, read_list_query
from pages.panels import render_page
from pages.tables import declare_table
from tenants.scoped_pages import PageRequest, page_scope

from .access import require_event_access
from .filters import match_outcome
from .labels import OBJECT_LABELS, find_outcome, label_event, list_differences
from .models import Event

MAX_SHOWN_LENGTH = 300

declare_table(
    "audit",
    [
        ("event", gettext_lazy("Event")),
        ("object", gettext_lazy("Object")),
        ("actor", gettext_lazy("Actor")),
        ("address", gettext_lazy("Address")),
        ("result", gettext_lazy("Result")),
        ("detail", gettext_lazy("Detail")),
    ],
)


@login_required
@require_GET
def audit_page(request: PageRequest) -> HttpResponse:
    """Show the events of the tenant, the newest first; for staff without a tenant, all events."""
    scope = page_scope(request)
    try:
        require_event_access(scope)
    except ForbiddenError as refused:
        raise PermissionDenied(refused.detail) from refused
    results = [("done", _("succeeded")), ("failed", _("failed")), ("refused", _("refused"))]
    query = read_list_query(
        request,
        [
            Filter("object_type", _("Object"), _("All objects"), list(OBJECT_LABELS.items())),
            Filter("outcome", _("Result"), _("All results"), results),
            Filter("period", _("Period"), _("Any time"), _list_periods()),
        ],
    )
    events = Event.objects.within(scope)
    if query.search:
        columns = ("object_name", "actor_name", "code", "object_id", "request_id", "address")
        found = Q()
        for column in columns:
            found |= Q(**{f"{column}__icontains": query.search})
        events = events.filter(found)
    if object_type := query.values.get("object_type"):
        events = events.filter(object_type=object_type)
    if outcome := query.values.get("outcome"):
        events = events.filter(match_outcome(outcome))
    # The export has the filters of the API, which takes a time in place of a period.
    exported = {**query.values, **({"search": query.search} if query.search else {})}
    if period := exported.pop("period", ""):
        began = timezone.now() - timedelta(days=int(period))
        events = events.filter(at__gte=began)
        exported["after"] = began.isoformat()
    page = query.paginate(events.order_by("-id"), partial(CappedPaginator))
    context = {
        "export_query": urlencode(exported),
        "scope": scope,
        "page": page,
        "query": query,
        "events": [_show(event) for event in page.object_list],
    }
    return render_page(request, "events/audit.html", context, panels={"audit": "events/audit_panel.html"})


def _list_periods() -> list[tuple[str, str]]:
    """Return the periods to choose from, by their number of days."""
    later = [
        (str(days), ngettext("Last %(days)s day", "Last %(days)s days", days) % {"days": days})
        for days in (7, 30, 90)
    ]
    return [("1", _("Last 24 hours")), *later]


def _show(event: Event) -> dict[str, Any]:
    """Return what the row of an event shows."""
    return {
        "event": event,
        "label": label_event(event),
        "outcome": find_outcome(event),
        "differences": [
            (name, _format_value(before), _format_value(after))
            for name, before, after in list_differences(event)
        ],
        "parameters": [(name, _format_value(value)) for name, value in event.parameters.items()],
    }


def _format_value(value: Any) -> str:
    text = "—" if value in (None, "", [], {}) else str(value)
    return text if len(text) <= MAX_SHOWN_LENGTH else f"{text[:MAX_SHOWN_LENGTH]}…"
