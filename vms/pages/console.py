"""The console of a VM: requested by a click, then shown when a job has read it."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache

from api.domain_errors import DomainError
from api.form_errors import filled_fields, show_error, validate_form
from api.page_addresses import require_POST
from tasks.models import Job, JobStatus
from tasks.serializers import JobSerializer
from tenants.scoped_pages import PageRequest, page_scope
from tenants.scoping import Role, Scope

from ..models import VirtualMachine
from ..serializers import ReadConsoleSerializer
from ..services import read_console
from ..services.console import last_console

# After this time the page says that the cloud is slow.
LATE_SECONDS = 20


@login_required
@never_cache
@require_POST
def read_console_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Request the console URL, or the last lines of the console log, from the cloud."""
    scope = page_scope(request)
    get_object_or_404(VirtualMachine.objects.within(scope), pk=pk)
    address = f"{reverse('vm-detail-page', args=[pk])}?tab=console"
    try:
        scope.require(Role.OPERATOR, VirtualMachine)
        params = validate_form(ReadConsoleSerializer(data=filled_fields(request.POST, "reading", "lines")))
        _vm, job = read_console(scope=scope, vm_id=pk, **params)
    except DomainError as refused:
        show_error(request, refused)
        return redirect(address)
    return redirect(f"{address}&job={job.pk}")


def build_console_context(request: PageRequest, scope: Scope, vm: VirtualMachine) -> dict[str, Any]:
    """Return the console texts that were last read for this user, and the job that reads them anew."""
    if not scope.allows(Role.OPERATOR, VirtualMachine):
        return {}
    console = last_console(scope=scope, vm=vm)
    context: dict[str, Any] = {"console": console, "console_origin": _find_origin(console.url or "")}
    job = _find_job(request, scope, vm)
    if job is None:
        return context
    if not job.has_ended and job.status != JobStatus.STUCK:
        age = (timezone.now() - job.created_at).total_seconds()
        return context | {
            "console_job": JobSerializer(job).data,
            "console_reading": job.params.get("reading"),
            "console_is_late": age > LATE_SECONDS,
            "is_busy": True,
        }
    if job.status != JobStatus.SUCCEEDED:
        context["console_refusal"] = job.outcome_message
    return context


def _find_job(request: PageRequest, scope: Scope, vm: VirtualMachine) -> Job | None:
    try:
        job_id = UUID(request.GET.get("job", ""))
    except ValueError:
        return None
    job: Job | None = Job.objects.within(scope).filter(pk=job_id, entity_id=str(vm.pk)).first()
    return job


def _find_origin(url: str) -> str:
    """Return the origin of a console URL for the frame's policy; empty for one that no frame can show."""
    split = urlsplit(url)
    if split.scheme not in {"http", "https"} or not split.hostname or split.username is not None:
        return ""
    # What ends or extends a directive must not get into the header.
    origin = f"{split.scheme}://{split.netloc}"
    return origin if all(character.isalnum() or character in ".:-[]/" for character in origin) else ""
