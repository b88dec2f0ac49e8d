"""The console of a VM: requested by a click, then polled until the job has read it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from api.domain_errors import DomainError
from api.form_errors import filled_fields, show_error, validate_form
from api.page_addresses import page_fragment, require_POST
from tasks.models import Job, JobStatus
from tasks.serializers import JobSerializer
from tenants.scoped_pages import PageRequest, page_scope
from tenants.scoping import Role, Scope

from ..models import VirtualMachine
from ..serializers import ReadConsoleSerializer
from ..services import read_console
from ..services.console import last_console

# The page polls once a second; after this many polls the user has to reload it.
MAX_POLLS = 20


@login_required
@never_cache
@require_POST
def read_console_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Request the console URL, or the last lines of the console log, from the cloud."""
    scope = page_scope(request)
    vm = get_object_or_404(VirtualMachine.objects.within(scope), pk=pk)
    try:
        scope.require(Role.OPERATOR, VirtualMachine)
        params = validate_form(ReadConsoleSerializer(data=filled_fields(request.POST, "reading", "lines")))
        _vm, job = read_console(scope=scope, vm_id=pk, **params)
    except DomainError as refused:
        if request.htmx:
            return _render_console(request, scope, vm, refusal=refused.detail)
        show_error(request, refused)
        return redirect("vm-detail-page", pk)
    if request.htmx:
        return _render_console(request, scope, vm, job=job, poll=1)
    messages.success(request, _("The console log is being fetched. Reload the page in a moment."))
    return redirect(f"{reverse('vm-detail-page', args=[pk])}#console")


@page_fragment
@login_required
@never_cache
@require_GET
def console_fragment(request: PageRequest, pk: UUID) -> HttpResponse:
    """Render the console texts that were last read for this user, and poll while a job is reading."""
    scope = page_scope(request)
    vm = get_object_or_404(VirtualMachine.objects.within(scope), pk=pk)
    try:
        scope.require(Role.OPERATOR, VirtualMachine)
    except DomainError as refused:
        return _render_console(request, scope, vm, refusal=refused.detail)
    try:
        job_id: UUID | None = UUID(request.GET.get("job", ""))
    except ValueError:
        job_id = None
    job = Job.objects.within(scope).filter(pk=job_id, entity_id=str(pk)).first()
    poll = request.GET.get("poll", "")
    return _render_console(
        request, scope, vm, job=job, poll=int(poll) + 1 if poll.isascii() and poll.isdigit() else MAX_POLLS
    )


def _render_console(
    request: PageRequest,
    scope: Scope,
    vm: VirtualMachine,
    *,
    job: Job | None = None,
    poll: int = 0,
    refusal: str = "",
) -> HttpResponse:
    is_running = job is not None and not job.has_ended and job.status != JobStatus.STUCK
    context: dict[str, Any] = {
        "vm": {"id": vm.pk, "status": vm.status},
        "may_control": scope.allows(Role.OPERATOR, VirtualMachine),
        "job": job,
        "refusal": refusal,
        "poll": poll,
        "follow": is_running and poll < MAX_POLLS,
        "is_late": is_running and poll >= MAX_POLLS,
        "console": last_console(scope=scope, vm=vm) if scope.allows(Role.OPERATOR, VirtualMachine) else None,
    }
    if job is not None and job.has_ended and job.status != JobStatus.SUCCEEDED:
        context["refusal"] = job.outcome_message
    if job is not None:
        context["job"] = JobSerializer(job).data
    return render(request, "vms/console.html", context)
