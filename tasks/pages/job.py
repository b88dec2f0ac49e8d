"""The page of a job: it shows the steps, and follows them until the job has ended."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_GET

from api.domain_errors import DomainError
from api.form_errors import show_error
from api.page_addresses import page_fragment, require_POST
from pages.panels import render_messages, render_page
from tenants.response_access import ResponseAccess
from tenants.scoped_pages import PageRequest, page_scope
from tenants.scoping import has_staff_permission

from ..engine import allowed_decisions
from ..events import event_stream
from ..models import Job, JobStatus
from ..serializers import JobSerializer
from ..services import DECIDE_PERMISSION, cancel_job, may_cancel
from ..views import JOBS

LINES_SHOWN = 50


@login_required
@require_GET
def job_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Show a job with its steps, its children and its log."""
    scope = page_scope(request)
    job: Any = get_object_or_404(JOBS.within(scope), pk=pk)
    may_decide = has_staff_permission(request.user, DECIDE_PERMISSION)
    context = {
        "scope": scope,
        "job": JobSerializer(job).data,
        "tenant": job.tenant if scope.tenant is None else None,
        "has_ended": job.has_ended,
        "is_busy": not job.has_ended and job.status != JobStatus.STUCK,
        "lines": list(job.lines.order_by("-pk")[:LINES_SHOWN])[::-1],
        "may_cancel": may_cancel(scope, job.kind),
        "decisions": allowed_decisions(job) if may_decide else [],
    }
    return render_page(request, "tasks/job_page.html", context, panels={"job": "tasks/job_panel.html"})


@login_required
@require_POST
def cancel_job_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Cancel a job. An error is shown above the job, with the API's message."""
    try:
        cancel_job(scope=page_scope(request), job_id=pk)
    except DomainError as error:
        show_error(request, error)
    return render_messages(request) if request.htmx else redirect("job-page", pk=pk)


@page_fragment
@login_required
@require_GET
def job_page_events(request: PageRequest, pk: UUID) -> StreamingHttpResponse:
    """Stream the same events as the API, in the scope of the page: a browser cannot send the tenant in this request."""
    scope = page_scope(request)
    job = get_object_or_404(Job.objects.within(scope), pk=pk)
    return event_stream(request, job, ResponseAccess(request, scope))
