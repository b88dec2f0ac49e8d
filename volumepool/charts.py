"""The chart of a pool's history: a stepped line of its stock, and below it bars of the claims.

The page of a pool and the admin show the same chart; their template makes SVG of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from math import ceil
from typing import ClassVar

from django.utils import timezone

from .services.stock import History, Point

# Coordinates in the SVG's units.
LEFT, RIGHT = 44, 792
STOCK_TOP, STOCK_BOTTOM = 10, 170
BARS_TOP, BARS_BOTTOM = 192, 252
HOUR = 3600
# The possible distances between two lines of the grid: in seconds on the time axis, and in spares on the other one.
TIME_STEPS = [3 * HOUR, 6 * HOUR, 12 * HOUR, 24 * HOUR, 48 * HOUR, 120 * HOUR, 240 * HOUR, 480 * HOUR]
COUNT_STEPS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]
MAX_TIME_MARKS, MAX_COUNT_MARKS = 9, 5
# A bar for each point would be too thin to point at.
POINTS_PER_BAR = 4

Coordinates = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Mark:
    """A line of the grid: its coordinate, and its label."""

    place: int
    text: str


@dataclass(frozen=True, slots=True)
class Bar:
    """The claims of a period: volumes served from the pool, and above them volumes created on demand."""

    at: datetime
    hits: int
    misses: int
    left: int
    width: int
    hits_top: int
    hits_height: int
    misses_top: int
    misses_height: int


@dataclass(frozen=True, slots=True)
class Plot:
    """The data that the template draws and describes."""

    width: ClassVar[int] = 800
    height: ClassVar[int] = 276
    left: ClassVar[int] = LEFT
    right: ClassVar[int] = RIGHT
    stock_top: ClassVar[int] = STOCK_TOP
    stock_bottom: ClassVar[int] = STOCK_BOTTOM
    bars_top: ClassVar[int] = BARS_TOP
    bars_bottom: ClassVar[int] = BARS_BOTTOM
    time_marks: list[Mark]
    count_marks: list[Mark]
    # The claimed volumes of the highest bar.
    max_claimed: int
    # SVG paths; empty without recorded stock.
    area: str
    available: str
    lowest: str
    desired: str
    bars: list[Bar]
    # Figures for the text alternative of the chart.
    min_available: int | None
    max_available: int | None
    last_desired: int | None
    hits: int
    misses: int


def build_plot(history: History) -> Plot:
    """Return the chart of a history."""
    points = history.points
    recorded = [point for point in points if point.desired is not None]
    highest = max(
        [1, *(point.desired or 0 for point in recorded), *(point.available_avg or 0 for point in recorded)]
    )
    step = _choose_count_step(highest)
    top = ceil(highest / step) * step

    def map_height(value: float) -> int:
        return STOCK_BOTTOM - round(value / top * (STOCK_BOTTOM - STOCK_TOP))

    def build_line(value_of: Callable[[Point], float | None]) -> str:
        return "".join(_build_path(run) for run in _split_runs(points, value_of, map_height))

    bars, max_claimed = _build_bars(points)
    return Plot(
        time_marks=_build_time_marks(history),
        count_marks=[Mark(map_height(value), str(value)) for value in range(0, top + 1, step)],
        max_claimed=max_claimed,
        area="".join(
            f"{_build_path(run)}V{STOCK_BOTTOM}H{run[0][0]}Z"
            for run in _split_runs(points, lambda point: point.available_avg, map_height)
        ),
        available=build_line(lambda point: point.available_avg),
        lowest=build_line(lambda point: point.available_min),
        desired=build_line(lambda point: point.desired),
        bars=bars,
        min_available=min((point.available_min or 0 for point in recorded), default=None),
        max_available=round(max((point.available_avg or 0 for point in recorded), default=0))
        if recorded
        else None,
        last_desired=recorded[-1].desired if recorded else None,
        hits=sum(point.hits for point in points),
        misses=sum(point.misses for point in points),
    )


def _choose_count_step(highest: float) -> int:
    """Return the smallest step that gives at most `MAX_COUNT_MARKS` lines up to the highest value."""
    return next((step for step in COUNT_STEPS if ceil(highest / step) <= MAX_COUNT_MARKS), COUNT_STEPS[-1])


def _map_horizontally(number: float, count: int) -> int:
    return LEFT + round(number / count * (RIGHT - LEFT))


def _split_runs(
    points: list[Point], value_of: Callable[[Point], float | None], map_height: Callable[[float], int]
) -> Iterator[list[Coordinates]]:
    """Yield the runs of consecutive points with a value, each point as left, right and height; the rest are gaps."""
    numbered = list(enumerate(points))
    for is_recorded, run in groupby(numbered, lambda pair: value_of(pair[1]) is not None):
        if is_recorded:
            yield [
                (
                    _map_horizontally(number, len(points)),
                    _map_horizontally(number + 1, len(points)),
                    map_height(value_of(point) or 0),
                )
                for number, point in run
            ]


def _build_path(run: list[Coordinates]) -> str:
    """Return the SVG path of a stepped line; consecutive points of one height are one line."""
    path = f"M{run[0][0]} {run[0][2]}"
    for height, level in groupby(run, lambda coordinates: coordinates[2]):
        path += f"V{height}H{list(level)[-1][1]}"
    return path


def _build_time_marks(history: History) -> list[Mark]:
    """Return the marks of hours or days in the active time zone, also on days on which its clocks change."""
    since, until = int(history.since.timestamp()), int(history.until.timestamp())
    step = next((step for step in TIME_STEPS if (until - since) / step <= MAX_TIME_MARKS), TIME_STEPS[-1])
    time_format = "%H:%M" if step < 24 * HOUR else "%m-%d"
    midnight = timezone.localtime(history.since).replace(hour=0, minute=0, second=0, microsecond=0)
    marks = []
    # Adding to a local time adds to what its clock shows. A day may have 25 hours.
    for number in range((until - since) // step + 48 * HOUR // step + 1):
        at = midnight + timedelta(seconds=number * step)
        if since <= (second := int(at.timestamp())) < until:
            marks.append(Mark(_map_horizontally(second - since, until - since), at.strftime(time_format)))
    return marks


def _build_bars(points: list[Point]) -> tuple[list[Bar], int]:
    """Return the bars of periods with claims, and the number of claimed volumes of the highest one."""
    groups = [points[start : start + POINTS_PER_BAR] for start in range(0, len(points), POINTS_PER_BAR)]
    claimed = [(sum(point.hits for point in group), sum(point.misses for point in group)) for group in groups]
    max_claimed = max((hits + misses for hits, misses in claimed), default=0)
    bars = []
    for number, (hits, misses) in enumerate(claimed):
        if not hits + misses:
            continue
        left, right = _map_horizontally(number, len(groups)), _map_horizontally(number + 1, len(groups))
        # Rounded up, so that one of a thousand is still visible.
        hits_height, misses_height = (
            ceil(count / max_claimed * (BARS_BOTTOM - BARS_TOP)) for count in (hits, misses)
        )
        bars.append(
            Bar(
                at=groups[number][0].at,
                hits=hits,
                misses=misses,
                left=left,
                width=max(2, right - left - 2),
                hits_top=BARS_BOTTOM - hits_height,
                hits_height=hits_height,
                misses_top=BARS_BOTTOM - hits_height - misses_height,
                misses_height=misses_height,
            )
        )
    return bars, max_claimed
