"""Decisions of staff about a stuck or failed job, from its page and from the admin."""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _

from api.domain_errors import DomainError, InvalidError
from api.page_addresses import require_POST
from tenants.scoping import Role, Scope, has_staff_permission

from ..models import Job
from ..services import DECIDE_PERMISSION, cancel_job, decide_job

MAX_REASON_LENGTH = 1000


@login_required
@require_POST
def decide_job_page(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Resume, end or retry a job, as the pressed button says, and show the job that goes on."""
    if not has_staff_permission(request.user, DECIDE_PERMISSION):
        raise PermissionDenied
    job = make_decision(request, pk)
    return redirect("job-page", pk=job.pk if job is not None else pk)


def make_decision(request: HttpRequest, pk: UUID) -> Job | None:
    """Carry out the decision of a form. Return the job that goes on; None, with a message, when it was refused."""
    scope = Scope(cast("Any", request.user), None, Role.ADMIN, granted_role=Role.ADMIN)
    decision, reason = request.POST.get("decision", ""), request.POST.get("reason", "").strip()
    try:
        if decision == "cancel":
            job = cancel_job(scope=scope, job_id=pk)
        elif not reason or len(reason) > MAX_REASON_LENGTH:
            raise InvalidError(
                "invalid", _("Enter a reason of at most 1000 characters; it is stored in the task log.")
            )
        else:
            undo = decision == "undo"
            job = decide_job(
                scope=scope, job_id=pk, decision="end" if undo else decision, reason=reason, undo=undo
            )
    except DomainError as error:
        messages.error(request, error.detail)
        return None
    messages.success(request, _("Done. Recorded in the task log."))
    return job
