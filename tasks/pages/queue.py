"""The queue page for staff: the data of the API's `queue/`, with the switches of the schedules."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import wraps
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.db.models import Count
from django.db.models.functions import TruncMinute
from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET
from django_celery_beat.models import PeriodicTask

from api.page_addresses import require_POST
from pages.charts import Chart, Series, draw_bars
from pages.panels import render_messages, render_page
from tenants.scoped_pages import PageRequest, page_scope
from tenants.scoping import has_staff_permission

from .. import queues
from ..canary import LATE_SECONDS
from ..models import Job, JobStatus
from ..queue_serializers import ScheduleSerializer, SummarySerializer

VIEW_JOBS = "tasks.view_job"
VIEW_SCHEDULES = "django_celery_beat.view_periodictask"
SWITCH_SCHEDULES = "django_celery_beat.change_periodictask"
CHART_MINUTES = 60

Page = Callable[..., HttpResponse]


def require_staff(permission: str) -> Callable[[Page], Page]:
    """Make a page require a permission of staff. Others get 403, and users who are not signed in the sign-in page."""

    def decorate(page: Page) -> Page:
        @login_required
        @wraps(page)
        def checked_page(request: PageRequest, **kwargs: Any) -> HttpResponse:
            if not has_staff_permission(request.user, permission):
                raise PermissionDenied
            return page(request, **kwargs)

        return checked_page

    return decorate


@require_staff(VIEW_JOBS)
@require_GET
def queue_page(request: PageRequest) -> HttpResponse:
    """Show the tasks that need attention, the active ones, the queues, the workers and the schedules."""
    summary = queues.summarize_jobs()
    data: Any = SummarySerializer(summary).data
    context = {
        "scope": page_scope(request),
        "summary": data,
        "by_status": [_split_by_age(row) for row in data["by_status"]],
        "canary_is_late": summary.canary_seconds_ago is None or summary.canary_seconds_ago > LATE_SECONDS,
        "broker": summary.broker,
        "schedules": ScheduleSerializer(queues.list_schedules(), many=True).data
        if has_staff_permission(request.user, VIEW_SCHEDULES)
        else None,
        "may_switch": has_staff_permission(request.user, SWITCH_SCHEDULES),
        "chart": _draw_jobs_by_minute(timezone.now()),
    }
    return render_page(request, "tasks/queue_page.html", context, panels={"queue": "tasks/queue_panel.html"})


@require_staff(SWITCH_SCHEDULES)
@require_POST
def switch_schedule_page(request: PageRequest, pk: int) -> HttpResponse:
    """Enable or disable a schedule."""
    enabled = request.POST.get("enabled") == "true"
    try:
        schedule = queues.change_schedule(schedule_id=pk, enabled=enabled)
    except PeriodicTask.DoesNotExist:
        raise Http404 from None
    message = _("'%(name)s' was enabled.") if enabled else _("'%(name)s' was disabled.")
    messages.success(request, message % {"name": schedule.name})
    return render_messages(request) if request.htmx else redirect("queue-page")


def _split_by_age(row: dict[str, Any]) -> dict[str, Any]:
    """Return the counts of one status by age, each job in one of them; the API's counts include the younger ones."""
    minute, ten, hour = row["under_a_minute"], row["under_ten_minutes"], row["under_an_hour"]
    return {
        **row,
        "label": JobStatus(row["status"]).label,
        "ages": [minute, ten - minute, hour - ten, row["count"] - hour],
    }


def _draw_jobs_by_minute(now: datetime) -> Chart:
    """Draw the tasks of the last hour by the minute in which they ended, and by their result. One query."""
    last = now.replace(second=0, microsecond=0)
    minutes = [last - timedelta(minutes=CHART_MINUTES - 1 - number) for number in range(CHART_MINUTES)]
    rows = (
        Job.objects.filter(created_at__gte=minutes[0] - timedelta(hours=1), ended_at__gte=minutes[0])
        .annotate(minute=TruncMinute("ended_at"))
        .values_list("minute", "status")
        .annotate(count=Count("pk"))
        .order_by()
    )
    counts = {(minute, status): count for minute, status, count in rows}

    def count_by_minute(*statuses: str) -> list[float | None]:
        return [sum(counts.get((minute, status), 0) for status in statuses) for minute in minutes]

    return draw_bars(
        _("Tasks by minute"),
        minutes,
        [
            Series(_("Succeeded"), count_by_minute(JobStatus.SUCCEEDED), "good"),
            Series(_("Failed"), count_by_minute(JobStatus.FAILED, JobStatus.ERRORED), "bad"),
            Series(_("Canceled"), count_by_minute(JobStatus.CANCELLED), "warning"),
        ],
        subtitle=_("last hour"),
    )
