"""Lists of deployments with their filters, and the chart of their outcomes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any

from django.db.models import Count, Q, QuerySet
from django.db.models.functions import TruncDate
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.translation import gettext as _

from pages.charts import Chart, Series, draw_bars
from pages.lists import Filter, read_list_query
from tenants.scoped_pages import PageRequest

from ..models import Deployment
from .deployment_status import OUTCOME_LABELS, annotate_counts, annotate_outcome, summarize_deployment

CHART_DAYS = 30
# The outcomes as they stand on each other in the chart, with their tones.
CHART_TONES = {"succeeded": "good", "failed": "bad", "cancelled": "warning", "running": "busy"}
ORDERINGS = frozenset({"created_at", "ended_at"})


def list_deployments(
    request: PageRequest, deployments: QuerySet[Deployment], *filters: Filter, with_chart: bool
) -> dict[str, Any]:
    """Return the context of a list: a page of deployments with their outcomes, the query, and the chart of all that match."""
    own_filters = [
        *filters,
        Filter("outcome", _("Result"), _("All results"), list(OUTCOME_LABELS.items())),
        Filter("action", _("Action"), _("All actions"), Deployment.Action.choices),
    ]
    query = read_list_query(
        request, own_filters, orderings=ORDERINGS, ordering="-created_at", kept=["instance"]
    )
    matching = annotate_outcome(deployments) if "outcome" in query.values else deployments
    matching = matching.filter(**query.values)
    if query.search:
        matching = matching.filter(
            Q(service__name__icontains=query.search)
            | Q(from_version__label__icontains=query.search)
            | Q(to_version__label__icontains=query.search)
            | Q(operator__username__icontains=query.search)
        )
    page = query.paginate(annotate_counts(matching).order_by(query.ordering, "-created_at", "id"))
    rows = [(deployment, summarize_deployment(deployment)) for deployment in page.object_list]
    return {
        "page": page,
        "rows": rows,
        "query": query,
        "ordering": query.ordering,
        "is_busy": any(not outcome.is_over for _deployment, outcome in rows),
        "outcomes": summarize_outcomes(matching) if with_chart else None,
    }


@dataclass(frozen=True, slots=True)
class OutcomeSummary:
    """The chart of the last days' outcomes, and the figures of all of them together, each with its label."""

    chart: Chart
    figures: list[tuple[str, str]]


def summarize_outcomes(deployments: QuerySet[Deployment]) -> OutcomeSummary:
    """Count deployments by outcome for each of the last days, in one query. The days are those of the reader."""
    zone = timezone.get_current_timezone()
    today = timezone.localdate()
    days = [today - timedelta(days=number) for number in range(CHART_DAYS - 1, -1, -1)]
    begin = datetime.combine(days[0], time.min, zone)
    counted = (
        annotate_outcome(deployments.filter(created_at__gte=begin))
        .order_by()
        .annotate(day=TruncDate("created_at", tzinfo=zone))
        .values_list("day", "outcome")
        .annotate(count=Count("pk", distinct=True))
    )
    counts = Counter({(day, outcome): count for day, outcome, count in counted})
    series = {outcome: [counts[day, outcome] for day in days] for outcome in CHART_TONES}
    chart = draw_bars(
        _("Deployments by outcome"),
        [datetime.combine(day, time.min, zone) for day in days],
        [Series(str(OUTCOME_LABELS[name]), values, CHART_TONES[name]) for name, values in series.items()],
        subtitle=_("by day, last 30 days"),
    )
    totals = {name: sum(values) for name, values in series.items()}
    ended = sum(totals.values()) - totals["running"]
    rate = f"{totals['succeeded'] / ended:.0%}" if ended else "—"
    return OutcomeSummary(
        chart,
        [
            (_("Deployments"), number_format(sum(totals.values()), 0, force_grouping=True)),
            (_("Succeeded"), rate),
            (_("Failed"), number_format(totals["failed"], 0, force_grouping=True)),
            (_("In progress"), number_format(totals["running"], 0, force_grouping=True)),
        ],
    )
