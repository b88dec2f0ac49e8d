"""The page that shows every component, in development alone (`/dev/components/`)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from .badges import TONES
from .charts import Series, draw_bars, draw_donut, draw_lines, draw_sparkline
from .cloud_statuses import IMAGE_STATUSES, VOLUME_STATUSES
from .lists import Filter, read_list_query
from .tables import declare_table

declare_table(
    "example",
    [("status", "Status"), ("size", "Size"), ("use", "Use"), ("created_at", "Created")],
)


@login_required
@require_GET
def component_page(request: HttpRequest) -> HttpResponse:
    """Show every component with made-up content, long and odd texts among it."""
    query = read_list_query(
        request,
        [Filter("status", "Status", "All statuses", [("running", "running"), ("stopped", "stopped")])],
        orderings={"name"},
        ordering="name",
    )
    context: dict[str, Any] = {
        "tones": {tone: statuses.split() for tone, statuses in TONES.items()},
        "cloud_statuses": sorted({**VOLUME_STATUSES, **IMAGE_STATUSES}),
        "query": query,
        "ordering": query.ordering,
        "page": Paginator(range(120), 25).get_page(request.GET.get("page")),
        "now": timezone.now(),
        "yesterday": timezone.now() - timedelta(days=1),
        "steps": _list_steps(timezone.now()),
        "charts": _draw_charts(timezone.now()),
        "sparkline": draw_sparkline([1, 4, 2, 8, 5, 7, 3], "Use"),
        "errors": ["Enter a name."],
        "tags": [("env", "prod"), ("no-value", ""), ("long", "a value that does not fit into its chip " * 4)],
        "long_name": "a-name-of-a-virtual-machine-without-a-single-space-" * 4,
    }
    return render(request, "pages/showcase.html", context)


def _list_steps(now: datetime) -> list[dict[str, Any]]:
    """Return the steps of a task, one in each state."""
    rows = [
        ("Create boot volume", "skipped", "The VM boots from its image.", 0.3),
        ("Request server from cloud", "succeeded", "", 1.2),
        ("Wait until running", "waiting", "Waiting for the cloud to report ACTIVE.", None),
        ("Check for duplicates", "pending", "", None),
        ("A step that failed", "failed", "Nova refused the request (403 Forbidden).", 4),
    ]
    return [
        {
            "title": title,
            "status": status,
            "status_display": status,
            "message": message,
            "started_at": now if seconds else None,
            "ended_at": now + timedelta(seconds=seconds) if seconds else None,
        }
        for title, status, message, seconds in rows
    ]


def _draw_charts(now: datetime) -> list[Any]:
    times = [now - timedelta(hours=47 - number) for number in range(48)]
    used: list[float | None] = [60 + number % 12 for number in range(48)]
    used[20:25] = [None] * 5
    running: list[float | None] = [40.0 + number % 7 for number in range(48)]
    failed: list[float | None] = [float(number % 5 == 0) for number in range(48)]
    return [
        draw_lines("Memory", times, [Series("used", used)], unit="GiB", limit=96, subtitle="last 2 days"),
        draw_lines(
            "VMs by status",
            times,
            [Series("Running", running, "good"), Series("Error", failed, "bad")],
            is_stacked=True,
        ),
        draw_bars("Tasks", times, [Series("Succeeded", running, "good"), Series("Failed", failed, "bad")]),
        draw_donut(
            "VMs by status", [("Running", 80, "good"), ("Stopped", 30, "neutral"), ("Error", 4, "bad")]
        ),
    ]
