"""The job page: its steps, followed live until it has ended."""

from __future__ import annotations

from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_GET

from portal.api.scoped_pages import PageRequest, page_scope

from .events import event_stream
from .models import Job
from .serializers import JobSerializer
from .views import JOBS

LINES_SHOWN = 50


@login_required
@require_GET
def job_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """A job with its steps; asked by its own script, only the part that changes."""
    job = get_object_or_404(JOBS.within(page_scope(request)), pk=pk)
    template = "tasks/job.html" if request.htmx else "tasks/page.html"
    lines = list(job.lines.order_by("-pk")[:LINES_SHOWN])[::-1]
    shown = {"job": JobSerializer(job).data, "has_ended": job.has_ended, "lines": lines}
    return render(request, template, shown)


@login_required
@require_GET
def job_page_events(request: PageRequest, pk: UUID) -> StreamingHttpResponse:
    """The same events as the API's, for the page: a browser cannot name a tenant when it asks for them."""
    return event_stream(request, get_object_or_404(Job.objects.within(page_scope(request)), pk=pk))
