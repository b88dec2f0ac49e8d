"""The job page: its steps, followed live until it has ended."""

from __future__ import annotations

from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_GET

from portal.api.scoped_pages import PageRequest, page_scope

from .serializers import JobSerializer
from .views import JOBS


@login_required
@require_GET
def job_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """A job with its steps; asked by its own script, only the part that changes."""
    job = get_object_or_404(JOBS.within(page_scope(request)), pk=pk)
    template = "tasks/job.html" if request.htmx else "tasks/page.html"
    return render(request, template, {"job": JobSerializer(job).data, "has_ended": job.has_ended})
