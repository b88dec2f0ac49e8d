"""A pool's history as a picture: steps of its stock, and below them bars of what it was asked for.

The page of a pool and the admin draw it alike; the template makes SVG of it.
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

LEFT, RIGHT = 44, 792
STOCK_TOP, STOCK_BOTTOM = 10, 170
BARS_TOP, BARS_BOTTOM = 192, 252
HOUR = 3600
# Lines of the grid have at least so many between them, from one to the next of these.
BETWEEN_TIMES = [3 * HOUR, 6 * HOUR, 12 * HOUR, 24 * HOUR, 48 * HOUR, 120 * HOUR, 240 * HOUR, 480 * HOUR]
ROUND = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]
MOST_TIMES, MOST_COUNTS = 9, 5
# A bar for each point would be too thin to be pointed at.
POINTS_OF_A_BAR = 4


@dataclass(frozen=True, slots=True)
class Mark:
    """A line of the grid: where it is, and what stands beside it."""

    place: int
    text: str


@dataclass(frozen=True, slots=True)
class Bar:
    """The requests of a period: those served from the pool, and above them those created on demand."""

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
    times: list[Mark]
    counts: list[Mark]
    most_wanted: int
    # Paths of SVG; empty when nothing is known.
    area: str
    available: str
    lowest: str
    desired: str
    bars: list[Bar]
    # For those who do not see it.
    fewest: int | None
    most: int | None
    last_desired: int | None
    hits: int
    misses: int


def plot(history: History) -> Plot:
    """Draw a history."""
    points = history.points
    known = [point for point in points if point.desired is not None]
    highest = max(
        [1, *(point.desired or 0 for point in known), *(point.available_avg or 0 for point in known)]
    )
    step = _step(highest)
    top = ceil(highest / step) * step

    def height_of(value: float) -> int:
        return STOCK_BOTTOM - round(value / top * (STOCK_BOTTOM - STOCK_TOP))

    def steps(value_of: Callable[[Point], float | None]) -> str:
        return "".join(_run(run) for run in _runs(points, value_of, height_of))

    bars, most_wanted = _bars(points)
    return Plot(
        times=_times(history),
        counts=[Mark(height_of(value), str(value)) for value in range(0, top + 1, step)],
        most_wanted=most_wanted,
        area="".join(
            f"{_run(run)}V{STOCK_BOTTOM}H{run[0][0]}Z"
            for run in _runs(points, lambda point: point.available_avg, height_of)
        ),
        available=steps(lambda point: point.available_avg),
        lowest=steps(lambda point: point.available_min),
        desired=steps(lambda point: point.desired),
        bars=bars,
        fewest=min((point.available_min or 0 for point in known), default=None),
        most=round(max((point.available_avg or 0 for point in known), default=0)) if known else None,
        last_desired=known[-1].desired if known else None,
        hits=sum(point.hits for point in points),
        misses=sum(point.misses for point in points),
    )


def _step(highest: float) -> int:
    """The roundest number that leaves few lines below the highest value."""
    return next((step for step in ROUND if ceil(highest / step) <= MOST_COUNTS), ROUND[-1])


def _across(number: float, count: int) -> int:
    return LEFT + round(number / count * (RIGHT - LEFT))


def _runs(
    points: list[Point], value_of: Callable[[Point], float | None], height_of: Callable[[float], int]
) -> Iterator[list[tuple[int, int, int]]]:
    """Points that follow each other and are known, as left, right and height: what is not known is a gap."""
    numbered = list(enumerate(points))
    for is_known, run in groupby(numbered, lambda pair: value_of(pair[1]) is not None):
        if is_known:
            yield [
                (
                    _across(number, len(points)),
                    _across(number + 1, len(points)),
                    height_of(value_of(point) or 0),
                )
                for number, point in run
            ]


def _run(run: list[tuple[int, int, int]]) -> str:
    """Steps from point to point; level ones are one line."""
    path = f"M{run[0][0]} {run[0][2]}"
    for height, level in groupby(run, lambda place: place[2]):
        path += f"V{height}H{list(level)[-1][1]}"
    return path


def _times(history: History) -> list[Mark]:
    """Where hours or days begin, in the zone of who looks: also on the days when its clocks change."""
    since, until = int(history.since.timestamp()), int(history.until.timestamp())
    between = next((gap for gap in BETWEEN_TIMES if (until - since) / gap <= MOST_TIMES), BETWEEN_TIMES[-1])
    shape = "%H:%M" if between < 24 * HOUR else "%m-%d"
    midnight = timezone.localtime(history.since).replace(hour=0, minute=0, second=0, microsecond=0)
    marks = []
    # What is added to a local time is added to what its clock shows. A day may have 25 hours.
    for number in range((until - since) // between + 48 * HOUR // between + 1):
        at = midnight + timedelta(seconds=number * between)
        if since <= (second := int(at.timestamp())) < until:
            marks.append(Mark(_across(second - since, until - since), at.strftime(shape)))
    return marks


def _bars(points: list[Point]) -> tuple[list[Bar], int]:
    """Bars of those times in which something was asked for, and how many the highest stands for."""
    groups = [points[start : start + POINTS_OF_A_BAR] for start in range(0, len(points), POINTS_OF_A_BAR)]
    wanted = [(sum(one.hits for one in group), sum(one.misses for one in group)) for group in groups]
    most = max((hits + misses for hits, misses in wanted), default=0)
    bars = []
    for number, (hits, misses) in enumerate(wanted):
        if not hits + misses:
            continue
        left, right = _across(number, len(groups)), _across(number + 1, len(groups))
        # One of a thousand is still to be seen.
        low, high = (ceil(count / most * (BARS_BOTTOM - BARS_TOP)) for count in (hits, misses))
        bars.append(
            Bar(
                at=groups[number][0].at,
                hits=hits,
                misses=misses,
                left=left,
                width=max(2, right - left - 2),
                hits_top=BARS_BOTTOM - low,
                hits_height=low,
                misses_top=BARS_BOTTOM - low - high,
                misses_height=high,
            )
        )
    return bars, most
