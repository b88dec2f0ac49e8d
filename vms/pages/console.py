"""A VM's console: asked for by a click, then looked for until the job has read it."""

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
from api.page_addresses import page_part, require_POST
from api.page_refusals import checked, entered_in, tell
from tasks.models import Job, JobStatus
from tasks.serializers import JobSerializer
from tenants.scoped_pages import PageRequest, page_scope
from tenants.scoping import Role, Scope

from ..models import VirtualMachine
from ..serializers import ReadConsoleSerializer
from ..services import read_console
from ..services.console import last_console

# The page looks once a second; after so many looks it leaves it to the reader.
LOOKS = 20


@login_required
@never_cache
@require_POST
def read_console_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Have the screen's address, or the last lines of text, read from the cloud."""
    scope = page_scope(request)
    vm = get_object_or_404(VirtualMachine.objects.within(scope), pk=pk)
    try:
        scope.require(Role.OPERATOR, VirtualMachine)
        asked = checked(ReadConsoleSerializer(data=entered_in(request.POST, "reading", "lines")))
        _vm, job = read_console(scope=scope, vm_id=pk, **asked)
    except DomainError as refused:
        if request.htmx:
            return _part(request, scope, vm, refusal=refused.detail)
        tell(request, refused)
        return redirect("vm-detail-page", pk)
    if request.htmx:
        return _part(request, scope, vm, job=job, look=1)
    messages.success(request, _("The console is being read; reload the page in a moment."))
    return redirect(f"{reverse('vm-detail-page', args=[pk])}#console")


@page_part
@login_required
@never_cache
@require_GET
def console_part(request: PageRequest, pk: UUID) -> HttpResponse:
    """What was last read for who asks, and whether more is to come."""
    scope = page_scope(request)
    vm = get_object_or_404(VirtualMachine.objects.within(scope), pk=pk)
    try:
        scope.require(Role.OPERATOR, VirtualMachine)
    except DomainError as refused:
        return _part(request, scope, vm, refusal=refused.detail)
    try:
        job_id: UUID | None = UUID(request.GET.get("job", ""))
    except ValueError:
        job_id = None
    job = Job.objects.within(scope).filter(pk=job_id, entity_id=str(pk)).first()
    look = request.GET.get("look", "")
    return _part(
        request, scope, vm, job=job, look=int(look) + 1 if look.isascii() and look.isdigit() else LOOKS
    )


def _part(
    request: PageRequest,
    scope: Scope,
    vm: VirtualMachine,
    *,
    job: Job | None = None,
    look: int = 0,
    refusal: str = "",
) -> HttpResponse:
    going_on = job is not None and not job.has_ended and job.status != JobStatus.STUCK
    context: dict[str, Any] = {
        "vm": {"id": vm.pk, "status": vm.status},
        "may_control": scope.allows(Role.OPERATOR, VirtualMachine),
        "job": job,
        "refusal": refusal,
        "look": look,
        "follow": going_on and look < LOOKS,
        "is_late": going_on and look >= LOOKS,
        "console": last_console(scope=scope, vm=vm) if scope.allows(Role.OPERATOR, VirtualMachine) else None,
    }
    if job is not None and job.has_ended and job.status != JobStatus.SUCCEEDED:
        context["refusal"] = job.outcome_message
    if job is not None:
        context["job"] = JobSerializer(job).data
    return render(request, "vms/console.html", context)
