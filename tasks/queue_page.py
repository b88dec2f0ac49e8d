"""The queue page in the admin: the data of the API's `queue/`, with buttons for schedules and jobs."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, cast

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import path, reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET
from django_celery_beat.models import PeriodicTask

from api.domain_errors import DomainError, InvalidError
from api.page_addresses import require_POST
from tenants.scoping import Role, Scope, has_staff_permission

from . import queues
from .canary import LATE_SECONDS
from .models import JobStatus
from .queue_serializers import ScheduleSerializer, SummarySerializer
from .services import DECIDE_PERMISSION, cancel_job, decide_job

VIEW_JOBS = "tasks.view_job"
VIEW_SCHEDULES = "django_celery_beat.view_periodictask"
SWITCH_SCHEDULES = "django_celery_beat.change_periodictask"


def queue_routes() -> list[Any]:
    """Return the routes of the page and its buttons, below those of the jobs in the admin."""
    return [
        path("queue/", _require_permission(VIEW_JOBS, queue_page), name="queue"),
        path(
            "queue/schedules/<int:pk>/",
            _require_permission(SWITCH_SCHEDULES, switch_schedule),
            name="queue-switch-schedule",
        ),
        path("<uuid:pk>/decide/", _require_permission(DECIDE_PERMISSION, decide_job_page), name="job-decide"),
    ]


def _require_permission(permission: str, page: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Make a page of the admin require a permission: the admin's own wrapper only checks that the user is staff."""

    @wraps(page)
    def checked_page(request: HttpRequest, **kwargs: Any) -> HttpResponse:
        if not has_staff_permission(request.user, permission):
            raise PermissionDenied
        return page(request, **kwargs)

    return admin.site.admin_view(checked_page)


@require_GET
def queue_page(request: HttpRequest) -> HttpResponse:
    """Show the queue page; for the page's own script, only the part that changes."""
    summary = queues.summarize_jobs()
    context = {
        **admin.site.each_context(request),
        "title": _("Queue"),
        "summary": SummarySerializer(summary).data,
        "statuses": dict(JobStatus.choices),
        "canary_is_late": summary.canary_seconds_ago is None or summary.canary_seconds_ago > LATE_SECONDS,
        "broker": summary.broker,
        "schedules": ScheduleSerializer(queues.list_schedules(), many=True).data
        if has_staff_permission(request.user, VIEW_SCHEDULES)
        else None,
        "may_switch": has_staff_permission(request.user, SWITCH_SCHEDULES),
    }
    return render(
        request, "tasks/queue.html" if request.headers.get("HX-Request") else "tasks/queue_page.html", context
    )


@require_POST
def switch_schedule(request: HttpRequest, pk: int) -> HttpResponse:
    """Enable or disable a schedule."""
    enabled = request.POST.get("enabled") == "true"
    try:
        schedule = queues.change_schedule(schedule_id=pk, enabled=enabled)
    except PeriodicTask.DoesNotExist:
        raise Http404 from None
    message = _("'%(name)s' was enabled.") if enabled else _("'%(name)s' was disabled.")
    messages.success(request, message % {"name": schedule.name})
    return HttpResponseRedirect(reverse("admin:queue"))


@require_POST
def decide_job_page(request: HttpRequest, pk: Any) -> HttpResponse:
    """Resume, end, retry or cancel a job, as the button on its page says."""
    scope = Scope(cast("Any", request.user), None, Role.ADMIN, granted_role=Role.ADMIN)
    decision, reason = request.POST.get("decision", ""), request.POST.get("reason", "").strip()
    try:
        if decision == "cancel":
            job = cancel_job(scope=scope, job_id=pk)
        elif not reason or len(reason) > 1000:
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
        return HttpResponseRedirect(reverse("admin:tasks_job_change", args=[pk]))
    messages.success(request, _("Done. Recorded in the task log."))
    return HttpResponseRedirect(reverse("admin:tasks_job_change", args=[job.pk]))
