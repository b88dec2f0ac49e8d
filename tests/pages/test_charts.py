"""Charts: what they draw and say, and odd data."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from datetime import UTC, datetime, timedelta

import pytest

from pages.charts import MAX_BARS, Series, draw_bars, draw_donut, draw_lines, draw_sparkline

START = datetime(2026, 3, 1, tzinfo=UTC)


def hours(count):
    return [START + timedelta(hours=number) for number in range(count)]


def parse(chart):
    return ET.fromstring(str(chart.svg))  # noqa: S314 - drawn by the portal itself.


@pytest.mark.parametrize(
    "values",
    [
        [],
        [None],
        [5.0],
        [0.0, 0.0],
        [None, 1.0, None],
        [0.001, 0.002],
        [1e12, 3e12],
        [1.0, None, None, 4.0],
    ],
)
@pytest.mark.parametrize("draw", ["lines", "stacked", "bars"])
def test_any_values_are_drawn_within_the_frame(values, draw):
    series = [Series("a <b>", values), Series("c", values, "bad")]
    times = hours(len(values))

    chart = (
        draw_bars("t", times, series)
        if draw == "bars"
        else draw_lines("t", times, series, is_stacked=draw == "stacked")
    )

    drawing = parse(chart)
    _left, _top, width, height = map(float, drawing.attrib["viewBox"].split())
    for rect in drawing.iter("rect"):
        x, y, w, h = (float(rect.attrib[name]) for name in ("x", "y", "width", "height"))
        assert x >= 0 and x + w <= width + 30
        assert y >= 0 and y + h <= height
    assert chart.is_empty is not any(value is not None for value in values)
    assert len(chart.rows) == sum(value is not None for value in values)


def test_the_table_and_the_tooltips_have_the_figures_with_their_unit():
    chart = draw_lines("Memory", hours(2), [Series("used", [1024.0, 2.5])], unit="GiB", limit=4096)

    assert chart.heads[1:] == ["used"]
    assert [row[1] for row in chart.rows] == ["1,024 GiB", "2.5 GiB"]
    assert chart.legend[0].value == "2.5 GiB"
    titles = [title.text for title in parse(chart).iter("title")]
    assert "Limit: 4,096 GiB" in titles
    assert any("used: 2.5 GiB" in title for title in titles)


def test_a_gap_is_no_line():
    chart = draw_lines("t", hours(5), [Series("a", [1.0, 2.0, None, 3.0, 4.0])])

    assert str(chart.svg).count('class="line series-1"') == 2


def test_many_bars_are_added_up():
    counts = [1.0] * 600

    chart = draw_bars("t", hours(600), [Series("a", counts)])

    assert len(chart.rows) <= MAX_BARS
    assert sum(float(row[1]) for row in chart.rows) == 600


def test_each_bar_is_drawn_with_its_parts_on_each_other():
    chart = draw_bars("t", hours(2), [Series("a", [1.0, 2.0], "good"), Series("b", [3.0, 0.0], "bad")])

    bars = [rect for rect in parse(chart).iter("rect") if "bar" in rect.attrib["class"]]

    assert [rect.attrib["class"] for rect in bars] == ["bar series-good", "bar series-bad", "bar series-good"]
    assert float(bars[1].attrib["y"]) + float(bars[1].attrib["height"]) == pytest.approx(
        float(bars[0].attrib["y"])
    )


def test_a_whole_ring_is_drawn_and_an_empty_one_says_zero():
    whole, empty = draw_donut("t", [("a", 3, "good"), ("b", 0, "")]), draw_donut("t", [("a", 0, "good")])

    assert str(whole.svg).count("<path") == 1
    assert whole.rows == [["a", "3"], ["b", "0"]]
    assert ">0<" in str(empty.svg)
    assert (whole.is_empty, empty.is_empty) == (False, True)


def test_names_are_escaped():
    for chart in (
        draw_donut("<t>", [("<script>", 1, "")]),
        draw_bars("<t>", hours(1), [Series("<script>", [1.0])]),
    ):
        assert "<script>" not in str(chart.svg)


def test_a_spark_line_needs_two_points():
    assert draw_sparkline([1.0], "t") == ""
    assert "<polyline" in draw_sparkline([1.0, None, 0.0], "t")
