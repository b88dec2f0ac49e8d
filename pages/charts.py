"""Charts as SVG, drawn on the server: lines, stacked areas, bars, donuts and spark lines.

A chart needs no script: its points and bars have tooltips of the browser (`<title>`), and its figures are in a table for
those who do not see it. Colors come from the style sheet, by the number of the series (`series-1` to `series-6`) or by its
tone. A value of None is a gap: nothing is known of that time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from math import ceil, cos, pi, sin

from django.utils import timezone
from django.utils.formats import number_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _

from .chart_axes import choose_step, list_time_marks

# Coordinates are those of the drawing's viewBox; the style sheet scales it to the width of its card.
WIDTH, HEIGHT = 480, 190
LEFT, RIGHT, TOP, BOTTOM = 46, 470, 10, 160
# More bars could not be pointed at.
MAX_BARS = 60

Value = float | None


@dataclass(frozen=True, slots=True)
class Series:
    """The values of one line or of one part of each bar. `tone` is one of the badges' tones; without one it is colored by its number."""

    label: str
    values: Sequence[Value]
    tone: str = ""


@dataclass(frozen=True, slots=True)
class LegendEntry:
    """The name of a series and its latest value; `number` or its tone selects the color."""

    label: str
    number: str
    value: str = ""


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing with its title, its legend, and its figures as a table."""

    title: str
    svg: SafeString
    subtitle: str = ""
    legend: list[LegendEntry] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    is_empty: bool = False


def draw_lines(
    title: str,
    times: Sequence[datetime],
    series: Sequence[Series],
    *,
    unit: str = "",
    limit: float | None = None,
    is_stacked: bool = False,
    subtitle: str = "",
) -> Chart:
    """Draw values over time as lines, or as areas that stand on each other. `limit` is drawn as a dashed line, as for a quota."""
    paint = _draw_areas if is_stacked else _draw_line_paths
    return _draw_over_time(title, times, series, paint, unit=unit, limit=limit, subtitle=subtitle)


def draw_bars(
    title: str, times: Sequence[datetime], series: Sequence[Series], *, unit: str = "", subtitle: str = ""
) -> Chart:
    """Draw counts over time as bars whose parts stand on each other. Neighbors are added up when there are too many bars."""
    width = ceil(len(times) / MAX_BARS) or 1
    if width > 1:
        times = times[::width]
        series = [
            Series(
                one.label,
                [_add(one.values[start : start + width]) for start in range(0, len(one.values), width)],
                one.tone,
            )
            for one in series
        ]
    return _draw_over_time(title, times, series, _draw_bar_rects, unit=unit, limit=None, subtitle=subtitle)


def draw_donut(title: str, parts: Sequence[tuple[str, float, str]], *, subtitle: str = "") -> Chart:
    """Draw shares of a whole as a ring. A part is a label, a value and a tone, which may be empty."""
    total = sum(value for _label, value, _tone in parts)
    paths, angle = [], 0.0
    for number, (label, value, tone) in enumerate(parts, 1):
        if not value:
            continue
        share = value / total
        paths.append(
            (
                _color(number, tone),
                _draw_arc(angle, angle + share),
                f"{label}: {_number(value)} ({share:.0%})",
            )
        )
        angle += share
    svg = format_html(
        '<svg viewBox="0 0 120 120" class="donut" role="img" aria-label="{}">{}'
        '<text x="60" y="60" class="total">{}</text></svg>',
        title,
        format_html_join("", '<path class="{}" d="{}"><title>{}</title></path>', paths)
        or mark_safe('<circle cx="60" cy="60" r="46" class="track"/>'),
        _number(total),
    )
    return Chart(
        title=title,
        subtitle=subtitle,
        svg=svg,
        legend=[
            LegendEntry(label, _color(number, tone).removeprefix("series-"), _number(value))
            for number, (label, value, tone) in enumerate(parts, 1)
        ],
        heads=["", _("Count")],
        rows=[[label, _number(value)] for label, value, _tone in parts],
        is_empty=not total,
    )


def draw_sparkline(values: Sequence[Value], title: str) -> SafeString:
    """Draw a small line without axes, for a cell of a table."""
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return mark_safe("")
    highest = max(known) or 1
    points = " ".join(
        f"{round(number / (len(values) - 1) * 100)},{round(22 - value / highest * 20)}"
        for number, value in enumerate(values)
        if value is not None
    )
    return format_html(
        '<svg class="sparkline" viewBox="0 0 100 24" preserveAspectRatio="none" role="img" aria-label="{}">'
        '<polyline points="{}"/></svg>',
        title,
        points,
    )


# --- Inside ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Plot:
    """What is drawn over time, and its scale: `top` is the value at the upper edge, `slots` the steps between the edges."""

    times: Sequence[datetime]
    series: Sequence[Series]
    unit: str
    top: float
    slots: int

    def x(self, number: float) -> float:
        """Return where a time stands, by its number."""
        return round(LEFT + number / max(self.slots, 1) * (RIGHT - LEFT), 1)

    def y(self, value: float) -> float:
        """Return how high a value stands."""
        return round(BOTTOM - value / self.top * (BOTTOM - TOP), 1)


Painter = Callable[[_Plot], SafeString]


def _draw_over_time(
    title: str,
    times: Sequence[datetime],
    series: Sequence[Series],
    paint: Painter,
    *,
    unit: str,
    limit: float | None,
    subtitle: str,
) -> Chart:
    is_summed = paint is not _draw_line_paths
    totals = [
        sum(one.values[number] or 0 for one in series)
        if is_summed
        else max((one.values[number] or 0 for one in series), default=0)
        for number in range(len(times))
    ]
    highest = max([*totals, limit or 0, 0])
    step = choose_step(highest)
    top = max(step, ceil(highest / step) * step)
    slots = len(times) if paint is _draw_bar_rects else max(len(times) - 1, 1)
    plot = _Plot(times, series, unit, top, slots)
    marks = [number * step for number in range(round(top / step) + 1)]
    grid = format_html_join(
        "",
        '<path class="axis" d="M{} {}H{}"/><text class="count" x="{}" y="{}">{}</text>',
        [(LEFT, plot.y(mark), RIGHT, LEFT - 6, plot.y(mark) + 4, _number(mark)) for mark in marks],
    )
    time_marks = format_html_join(
        "",
        '<text class="time" x="{}" y="{}">{}</text>',
        [(LEFT + share * (RIGHT - LEFT), HEIGHT - 8, text) for share, text in list_time_marks(times)],
    )
    limit_line = (
        format_html(
            '<path class="limit" d="M{} {}H{}"><title>{}: {}</title></path>',
            LEFT,
            plot.y(limit),
            RIGHT,
            _("Limit"),
            _with_unit(limit, unit),
        )
        if limit
        else ""
    )
    svg = format_html(
        '<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}{}{}{}</svg>',
        WIDTH,
        HEIGHT,
        f"{title} {subtitle}".strip(),
        grid,
        time_marks,
        paint(plot),
        limit_line,
    )
    return Chart(
        title=title,
        subtitle=subtitle,
        svg=svg,
        legend=[
            LegendEntry(
                one.label,
                _color(number, one.tone).removeprefix("series-"),
                ""
                if is_summed
                else _with_unit(
                    next((value for value in reversed(one.values) if value is not None), None), unit
                ),
            )
            for number, one in enumerate(series, 1)
        ],
        heads=[_("Time"), *(one.label for one in series)],
        rows=[
            [_time_text(at), *(_with_unit(one.values[number], unit) for one in series)]
            for number, at in enumerate(times)
            if any(one.values[number] is not None for one in series)
        ],
        is_empty=not any(value is not None for one in series for value in one.values),
    )


def _draw_line_paths(plot: _Plot) -> SafeString:
    paths = []
    for number, one in enumerate(plot.series, 1):
        for is_known, run in groupby(enumerate(one.values), lambda pair: pair[1] is not None):
            if is_known:
                points = [f"{plot.x(index)} {plot.y(value or 0)}" for index, value in run]
                # A value that stands alone is drawn as a dot: a line of one point is not visible.
                path = f"M{points[0]}h.1" if len(points) == 1 else "M" + "L".join(points)
                paths.append((_color(number, one.tone), path))
    lines = format_html_join("", '<path class="line {}" d="{}"/>', paths)
    return lines + _draw_tooltips(plot)


def _draw_areas(plot: _Plot) -> SafeString:
    below = [0.0] * len(plot.times)
    paths = []
    for number, one in enumerate(plot.series, 1):
        above = [base + (value or 0) for base, value in zip(below, one.values, strict=True)]
        upper = "L".join(f"{plot.x(index)} {plot.y(value)}" for index, value in enumerate(above))
        lower = "L".join(
            f"{plot.x(index)} {plot.y(value)}" for index, value in reversed(list(enumerate(below)))
        )
        if plot.times:
            paths.append((_color(number, one.tone), f"M{upper}L{lower}Z"))
        below = above
    areas = format_html_join("", '<path class="area {}" d="{}"/>', paths)
    return areas + _draw_tooltips(plot)


def _draw_tooltips(plot: _Plot) -> SafeString:
    """Draw an unseen column for each time, which shows the values of all series while the pointer rests on it."""
    half = (RIGHT - LEFT) / max(len(plot.times) - 1, 1) / 2
    columns = []
    for number in range(len(plot.times)):
        left, right = max(LEFT, plot.x(number) - half), min(RIGHT, plot.x(number) + half)
        size = (round(left, 1), TOP, round(right - left, 1), BOTTOM - TOP)
        columns.append((*size, _tooltip(plot, number)))
    return format_html_join(
        "", '<rect class="hover" x="{}" y="{}" width="{}" height="{}"><title>{}</title></rect>', columns
    )


def _draw_bar_rects(plot: _Plot) -> SafeString:
    bars: list[SafeString] = []
    for index in range(len(plot.times)):
        base = 0.0
        rects = []
        for number, one in enumerate(plot.series, 1):
            value = one.values[index] or 0
            if value:
                # One of a thousand is still visible.
                tall = max(1.5, plot.y(base) - plot.y(base + value))
                rects.append(
                    (
                        _color(number, one.tone),
                        plot.x(index) + 1,
                        plot.y(base) - tall,
                        max(1.5, plot.x(index + 1) - plot.x(index) - 2),
                        tall,
                    )
                )
            base += value
        if rects:
            bars.append(
                format_html(
                    "<g>{}<title>{}</title></g>",
                    format_html_join(
                        "", '<rect class="bar {}" x="{}" y="{}" width="{}" height="{}"/>', rects
                    ),
                    _tooltip(plot, index),
                )
            )
    return format_html_join("", "{}", ((bar,) for bar in bars))


def _draw_arc(start: float, end: float) -> str:
    """Return the path of a ring's part; a whole ring is two halves, as an arc cannot end where it begins."""
    if end - start > 0.999:
        return "M60 14A46 46 0 1 1 60 106A46 46 0 1 1 60 14"
    x1, y1, x2, y2 = (
        round(60 + 46 * function(2 * pi * share - pi / 2), 2)
        for share in (start, end)
        for function in (cos, sin)
    )
    return f"M{x1} {y1}A46 46 0 {int(end - start > 0.5)} 1 {x2} {y2}"


def _tooltip(plot: _Plot, number: int) -> str:
    values = (
        f"{one.label}: {_with_unit(one.values[number], plot.unit)}"
        for one in plot.series
        if one.values[number] is not None
    )
    return "\n".join([_time_text(plot.times[number]), *values])


def _color(number: int, tone: str) -> str:
    return f"series-{tone or (number - 1) % 6 + 1}"


def _add(values: Sequence[Value]) -> Value:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _time_text(at: datetime) -> str:
    return timezone.localtime(at).strftime("%Y-%m-%d %H:%M %Z")


def _number(value: float) -> str:
    decimals = 0 if value == int(value) else 1 if value >= 1 else 2
    return number_format(round(value, decimals), decimals, force_grouping=True)


def _with_unit(value: Value, unit: str) -> str:
    return "—" if value is None else f"{_number(value)} {unit}".strip()
