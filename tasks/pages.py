"""The page of a job: it shows the steps, and follows them until the job has ended."""

from __future__ import annotations

from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET

from api.domain_errors import DomainError
from api.form_errors import show_error
from api.page_addresses import page_fragment, require_POST
from tenants.response_access import ResponseAccess
from tenants.scoped_pages import PageRequest, page_scope
from tenants.scoping import Role

from .events import event_stream
from .models import Job
from .serializers import JobSerializer
from .services import cancel_job
from .views import JOBS

LINES_SHOWN = 50


@login_required
@require_GET
def job_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Show a job with its steps; for the page's own script, only the part that changes."""
    scope = page_scope(request)
    job = get_object_or_404(JOBS.within(scope), pk=pk)
    template = "tasks/job.html" if request.htmx else "tasks/page.html"
    lines = list(job.lines.order_by("-pk")[:LINES_SHOWN])[::-1]
    context = {
        "job": JobSerializer(job).data,
        "has_ended": job.has_ended,
        "lines": lines,
        "may_cancel": scope.allows(Role.OPERATOR, Job),
    }
    return render(request, template, context)


@login_required
@require_POST
def cancel_job_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Cancel a job. An error is shown above the job, with the API's message."""
    try:
        cancel_job(scope=page_scope(request), job_id=pk)
    except DomainError as error:
        show_error(request, error)
    return redirect("job-page", pk=pk)


@page_fragment
@login_required
@require_GET
def job_page_events(request: PageRequest, pk: UUID) -> StreamingHttpResponse:
    """Stream the same events as the API, in the scope of the page: a browser cannot send the tenant in this request."""
    scope = page_scope(request)
    job = get_object_or_404(Job.objects.within(scope), pk=pk)
    return event_stream(request, job, ResponseAccess(request, scope))
