"""The charts of syncs by day, on the page of an account and on that of the sync history."""

from __future__ import annotations

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from pages.charts import Chart, Series, draw_bars, draw_lines

from ..models import SyncLog
from ..services.daily_syncs import DAYS, measure_daily_syncs


def draw_sync_charts(logs: QuerySet[SyncLog]) -> list[Chart]:
    """Draw how long some syncs took and how they ended, by day; no charts if none has ended."""
    measured = measure_daily_syncs(logs)
    if not any(one.succeeded or one.failed for one in measured):
        return []
    days, subtitle = [one.day for one in measured], _("last %(days)s days") % {"days": DAYS}
    durations = [
        Series(_("Mean"), [_round(one.mean) for one in measured]),
        Series(_("Longest"), [_round(one.longest) for one in measured]),
    ]
    results = [
        Series(_("Success"), [one.succeeded for one in measured], "good"),
        Series(_("Failed"), [one.failed for one in measured], "bad"),
    ]
    charts = [
        draw_lines(_("Sync duration"), days, durations, unit=_("s"), subtitle=subtitle),
        draw_bars(_("Syncs by result"), days, results, subtitle=subtitle),
    ]
    return [chart for chart in charts if not chart.is_empty]


def _round(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)
