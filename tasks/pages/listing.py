"""The list of tasks: the tenant's, or only those that the user has started."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext
from django.views.decorators.http import require_GET

from api.replica.reads import reads_list
from pages.lists import Filter, read_list_query
from pages.panels import render_page
from pages.tables import declare_table
from tenants.scoped_pages import PageRequest, page_scope
from tenants.scoping import Role

from ..canary import CanaryCommand
from ..command import command_title, registered_kinds
from ..models import IN_FLIGHT, Job, JobStatus
from ..serializers import JobSerializer
from ..services import may_cancel
from ..views import JOBS

ORDERINGS = frozenset({"created_at", "ended_at", "status"})
UNENDED = "open"
declare_table(
    "tasks",
    [
        ("status", gettext_lazy("Status")),
        ("created_by", gettext_lazy("Started by")),
        ("created_at", gettext_lazy("Created")),
        ("ended_at", gettext_lazy("Ended")),
        ("result", gettext_lazy("Result")),
    ],
)


@login_required
@require_GET
@reads_list
def task_page(request: PageRequest) -> HttpResponse:
    """Show the tasks of the scope, the newest first. Subtasks are on the page of their task."""
    scope = page_scope(request)
    kinds = sorted(
        ((kind, command_title(kind)) for kind in registered_kinds()), key=lambda pair: str(pair[1])
    )
    query = read_list_query(
        request,
        [
            Filter(
                "status",
                _("Status"),
                _("All statuses"),
                [(UNENDED, pgettext("tasks", "In progress")), *JobStatus.choices],
            ),
            Filter("kind", _("Operation"), _("All operations"), kinds),
            Filter("by", _("Started by"), _("Everyone"), [("me", pgettext("tasks", "Me"))]),
        ],
        orderings=ORDERINGS,
        ordering="-created_at",
    )
    jobs = JOBS.within(scope).filter(parent=None)
    if query.search:
        jobs = jobs.filter(subject__icontains=query.search)
    if status := query.values.get("status"):
        jobs = jobs.filter(status__in=IN_FLIGHT) if status == UNENDED else jobs.filter(status=status)
    if kind := query.values.get("kind"):
        jobs = jobs.filter(kind=kind)
    else:
        # The end-to-end check runs every minute, and would hide what people have started.
        jobs = jobs.exclude(kind=CanaryCommand.kind)
    if "by" in query.values:
        jobs = jobs.filter(created_by=scope.user)
    page = query.paginate(jobs.order_by(query.ordering, "-id"))
    rows = list(page.object_list)
    rendered: Any = JobSerializer(rows, many=True).data
    for row in rendered:
        row["can_cancel"] = row["can_cancel"] and may_cancel(scope, row["kind"])
    context = {
        "scope": scope,
        "page": page,
        "query": query,
        "ordering": query.ordering,
        "jobs": rendered,
        "is_busy": any(not job.has_ended and job.status != JobStatus.STUCK for job in rows),
        "may_cancel": scope.allows(Role.OPERATOR, Job),
    }
    return render_page(request, "tasks/list.html", context, panels={"tasks": "tasks/list_panel.html"})
