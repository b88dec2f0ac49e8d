"""The overview: what a tenant uses, what needs attention, and what is going on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from math import ceil
from typing import Any

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET

from api.replica.reads import reads_list
from cloudaccounts.models import CloudAccount
from pages.charts import Chart, Series, draw_donut, draw_lines
from pages.panels import is_panel_request, render_page
from tasks.models import IN_FLIGHT, Job, JobStatus
from tasks.serializers import JobBriefSerializer
from tenants.models import Invitation
from tenants.quotas import read_usage
from tenants.scoped_pages import PageRequest, page_scope
from tenants.scoping import Role, Scope
from vms.models import VirtualMachine, VMOperationLog, VMStatus
from vms.pages.listing import build_quota_lines
from vms.services.usage import count_vms_by_status, list_usage

CHART_DAYS = 14
MAX_POINTS = 84
RECENT_HOURS = 24
ENDING_DAYS = 14
MAX_ROWS = 8

STATUS_TONES = {
    VMStatus.RUNNING: "good",
    VMStatus.STOPPED: "neutral",
    VMStatus.ERROR: "bad",
    VMStatus.BUILDING: "busy",
}


@dataclass(frozen=True, slots=True)
class Concern:
    """Something that needs attention: a sentence, the page about it, and its tone."""

    text: str
    url: str
    tone: str


@login_required
@require_GET
@reads_list
def overview_page(request: PageRequest) -> HttpResponse:
    """Show the overview of the scope. A user without a tenant is shown their invitations instead."""
    try:
        scope = page_scope(request)
    except PermissionDenied:
        return redirect("membership-page")
    by_status = count_vms_by_status(scope)
    running = Job.objects.within(scope).filter(parent=None, status__in=IN_FLIGHT).order_by("-created_at")
    context: dict[str, Any] = {
        "scope": scope,
        "concerns": _list_concerns(scope, by_status),
        "running": JobBriefSerializer(running[:MAX_ROWS], many=True).data,
        "changes": VMOperationLog.objects.within(scope).order_by("-id")[:MAX_ROWS],
        "by_status": _draw_vms_by_status(by_status),
        "usage": build_quota_lines(read_usage(scope.tenant))
        if scope.tenant and scope.allows(Role.VIEWER)
        else [],
    }
    context["is_busy"] = bool(context["running"])
    if not is_panel_request(request):
        context["charts"] = _draw_usage(scope)
    return render_page(
        request, "portal/overview.html", context, panels={"overview": "portal/overview_panel.html"}
    )


def _draw_vms_by_status(counts: Mapping[str, int]) -> Chart:
    parts = [
        (
            str(VMStatus(status).label).capitalize(),
            float(count),
            STATUS_TONES.get(VMStatus(status), "warning"),
        )
        for status, count in counts.items()
    ]
    return draw_donut(_("VMs by status"), parts)


def _draw_usage(scope: Scope) -> list[Chart]:
    """Draw the use of each quota, and the VMs by status, over the last days."""
    if scope.tenant is None:
        return []
    samples = list_usage(scope, CHART_DAYS)
    # Every hour would make the page several times as large, and nobody could point at one.
    samples = samples[:: -max(1, ceil(len(samples) / MAX_POINTS))][::-1]
    times = [sample.at for sample in samples]
    subtitle = ngettext("last day", "last %(days)s days", CHART_DAYS) % {"days": CHART_DAYS}

    def series(label: str, name: str, tone: str = "") -> Series:
        return Series(label, [float(getattr(sample, name)) for sample in samples], tone)

    charts = [
        draw_lines(
            title,
            times,
            [series(title, name)],
            unit=unit,
            limit=getattr(scope.tenant, f"quota_{name}"),
            subtitle=subtitle,
        )
        for title, name, unit in [
            (_("vCPUs"), "cpu_cores", ""),
            (_("Memory"), "memory_gb", "GiB"),
            (_("Disk"), "disk_gb", "GiB"),
        ]
    ]
    statuses = [
        series(_("Running"), "running", "good"),
        series(_("Stopped"), "stopped", "neutral"),
        series(_("Error"), "error", "bad"),
    ]
    return [draw_lines(_("VMs by status"), times, statuses, is_stacked=True, subtitle=subtitle), *charts]


def _list_concerns(scope: Scope, by_status: Mapping[str, int]) -> list[Concern]:
    """Return what needs attention, the most urgent first. A fixed number of queries."""
    return [concern for concern in _find_concerns(scope, by_status) if concern is not None]


def _find_concerns(scope: Scope, by_status: Mapping[str, int]) -> Iterable[Concern | None]:
    now = timezone.now()
    jobs = Job.objects.within(scope).filter(parent=None)
    failed = jobs.filter(
        status__in=[JobStatus.FAILED, JobStatus.ERRORED],
        created_at__gte=now - timedelta(hours=RECENT_HOURS),
    ).count()
    yield _concern(
        failed,
        ngettext(
            "%(count)s task failed in the last 24 hours",
            "%(count)s tasks failed in the last 24 hours",
            failed,
        ),
        f"{reverse('task-page')}?status=failed",
        "bad",
    )
    stuck = jobs.filter(status=JobStatus.STUCK).count()
    yield _concern(
        stuck,
        ngettext("%(count)s task needs a decision", "%(count)s tasks need a decision", stuck),
        f"{reverse('task-page')}?status=stuck",
        "bad",
    )
    broken = by_status.get(VMStatus.ERROR, 0)
    yield _concern(
        broken,
        ngettext("%(count)s VM is in error", "%(count)s VMs are in error", broken),
        f"{reverse('vm-page')}?status=error",
        "bad",
    )
    refused = CloudAccount.objects.within(scope).filter(active=True).exclude(last_error="").count()
    yield _concern(
        refused,
        ngettext(
            "%(count)s cloud account refuses to sign in",
            "%(count)s cloud accounts refuse to sign in",
            refused,
        ),
        reverse("account-page"),
        "bad",
    )
    today = timezone.localdate()
    last_day = today + timedelta(days=ENDING_DAYS)
    vms = VirtualMachine.objects.within(scope).outside_bin()
    ending = vms.filter(runtime_end__gte=today, runtime_end__lte=last_day).count()
    yield _concern(
        ending,
        ngettext(
            "%(count)s VM reaches its end date within two weeks",
            "%(count)s VMs reach their end date within two weeks",
            ending,
        ),
        f"{reverse('vm-page')}?ordering=runtime_end",
        "warning",
    )
    invited = Invitation.objects.of_invited(scope.user).count()
    yield _concern(
        invited,
        ngettext("%(count)s invitation waits for you", "%(count)s invitations wait for you", invited),
        reverse("membership-page"),
        "busy",
    )


def _concern(count: int, text: str, url: str, tone: str) -> Concern | None:
    return Concern(text % {"count": count}, url, tone) if count else None
