"""The report of a soak as one HTML page, with the charts of the portal's own pages, and as Markdown for docs/soak.md."""

from __future__ import annotations

import html
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from bench.figures import percentile
from tests.faults.framework.report import Report
from tests.faults.storm.answers import Answer

from .sampling import Sample
from .trends import MemoryTrend

# A chart has no more points than this.
MAX_POINTS = 160
# Tables whose rows are drawn.
DRAWN_TABLES = 6
STYLE = """
body { font: 14px/1.5 system-ui, sans-serif; max-width: 66rem; margin: 2rem auto; padding: 0 1rem; }
svg { width: 100%; max-height: 22rem; } .axis { stroke: #d0d4da; fill: none; } text { font-size: 10px; fill: #555; }
text.count { text-anchor: end; } text.time { text-anchor: middle; } .line { fill: none; stroke-width: 1.3; }
.limit { stroke: #b00; stroke-dasharray: 4 3; } .hover { fill: transparent; }
.series-1 { stroke: #1f6feb; } .series-2 { stroke: #d9730d; } .series-3 { stroke: #2a9d5c; }
.series-4 { stroke: #a44bc9; } .series-5 { stroke: #c0392b; } .series-6 { stroke: #5d6d7e; }
.hover { stroke: none; } table { border-collapse: collapse; } td, th { padding: .15rem .8rem .15rem 0; text-align: left; }
li.series-1::marker { color: #1f6feb; } li.series-2::marker { color: #d9730d; } li.series-3::marker { color: #2a9d5c; }
li.series-4::marker { color: #a44bc9; } li.series-5::marker { color: #c0392b; } li.series-6::marker { color: #5d6d7e; }
ul { list-style: square; columns: 3; } .broken { color: #b00; font-weight: bold; }
"""


@dataclass(frozen=True, slots=True)
class Minute:
    """The answers of one minute: quantiles in milliseconds, and how many had no answer or a status from 500 on."""

    at: float
    count: int
    p50: float
    p95: float
    failed: int


def summarize_minutes(answers: Sequence[Answer], began: float) -> list[Minute]:
    """Return the answers by the minute in which the requests were sent."""
    by_minute: dict[int, list[Answer]] = defaultdict(list)
    for answer in answers:
        by_minute[int((answer.at - began) // 60)].append(answer)
    minutes = []
    for number, found in sorted(by_minute.items()):
        taken = [answer.seconds * 1000 for answer in found if answer.status]
        if taken:
            failed = sum(not answer.status or answer.status >= 500 for answer in found)
            minutes.append(
                Minute(number * 60, len(found), percentile(taken, 0.5), percentile(taken, 0.95), failed)
            )
    return minutes


def write_markdown(report: Report, trends: Sequence[MemoryTrend], command: str) -> str:
    """Return the figures and the invariants as Markdown."""
    day = datetime.now(UTC)
    lines = [
        f"`{command}`, {day:%Y-%m-%d %H:%M} UTC",
        "",
        "| process | MB at first | MB at last | MB an hour |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {one.process} | {one.first_mb:.1f} | {one.last_mb:.1f} | {one.slope_mb_per_hour:+.2f} |"
        for one in trends
    ]
    for title, figures in report.sections.items():
        lines += [
            "",
            f"| {title} | |",
            "|---|---|",
            *(f"| {name} | {value} |" for name, value in figures.items()),
        ]
    lines += ["", "| invariant | checked | |", "|---|---|---|"]
    for invariant in report.invariants:
        verdict = f"**broken {len(invariant.violations)} times**" if invariant.violations else "holds"
        lines.append(
            f"| {invariant.statement} | {'' if invariant.checked is None else invariant.checked} | {verdict} |"
        )
    return "\n".join([*lines, ""])


def write_html(
    report: Report,
    samples: Sequence[Sample],
    minutes: Sequence[Minute],
    trends: Sequence[MemoryTrend],
    command: str,
) -> str:
    """Return the report as one page without scripts or other files."""
    charts = [_write_chart(*chart) for chart in _list_charts(samples, minutes)]
    sections: dict[str, Mapping[str, object]] = {
        "Memory of processes, MB an hour": {
            one.process: f"{one.slope_mb_per_hour:+.2f} ({one.first_mb:.1f} to {one.last_mb:.1f} MB)"
            for one in trends
        },
        **report.sections,
    }
    tables = [
        f"<h2>{html.escape(title)}</h2><table>"
        + "".join(
            f"<tr><td>{html.escape(str(name))}<td>{html.escape(str(value))}"
            for name, value in figures.items()
        )
        + "</table>"
        for title, figures in sections.items()
    ]
    invariants = "".join(
        f"<tr><td>{html.escape(one.statement)}<td>{one.checked if one.checked is not None else ''}"
        + (
            f"<td class=broken>broken {len(one.violations)} times<br>{'<br>'.join(html.escape(v) for v in one.violations[:8])}"
            if one.violations
            else "<td>holds"
        )
        for one in report.invariants
    )
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>Soak</title><style>{STYLE}</style>"
        f"<h1>Soak, seed {report.seed}</h1><p><code>{html.escape(command)}</code>, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
        f"<h2>Invariants</h2><table>{invariants}</table>{''.join(charts)}{''.join(tables)}</html>\n"
    )


def _list_charts(
    samples: Sequence[Sample], minutes: Sequence[Minute]
) -> list[tuple[str, list[float], dict[str, list[float | None]], str]]:
    """Return title, times, series and unit of each chart."""
    thinned = samples[:: max(1, len(samples) // MAX_POINTS)]
    times = [sample.at for sample in thinned]
    programs = sorted({process.program for sample in samples for process in sample.processes})
    memory: dict[str, list[float | None]] = {
        name: [
            _sum(process.memory_mb for process in sample.processes if process.program == name)
            for sample in thinned
        ]
        for name in programs
    }
    descriptors: dict[str, list[float | None]] = {
        name: [
            _sum(process.descriptors for process in sample.processes if process.program == name)
            for sample in thinned
        ]
        for name in programs
    }
    full = [sample for sample in samples if sample.rows]
    last, first = (full[-1].rows, full[0].rows) if full else ({}, {})
    grown = sorted(last, key=lambda table: first.get(table, 0) - last[table])[:DRAWN_TABLES]
    return [
        ("Memory of programs with their processes", times, memory, "MB"),
        (
            "Memory of servers",
            [sample.at for sample in full],
            {
                name: [sample.server_memory_mb.get(name) for sample in full]
                for name in ("postgres", "valkey", "simulator")
            },
            "MB",
        ),
        ("Descriptors", times, descriptors, ""),
        (
            "Connections",
            times,
            {
                "PostgreSQL": [sample.postgres_connections for sample in thinned],
                "Valkey": [sample.valkey_connections for sample in thinned],
            },
            "",
        ),
        (
            "Age of the oldest work in a queue",
            times,
            {
                "without faults": [sample.queue_age if sample.is_quiet else None for sample in thinned],
                "with faults": [None if sample.is_quiet else sample.queue_age for sample in thinned],
            },
            "s",
        ),
        (
            "Answers",
            [minute.at for minute in minutes],
            {"p50": [minute.p50 for minute in minutes], "p95": [minute.p95 for minute in minutes]},
            "ms",
        ),
        (
            "Rows of the tables that grow the most",
            [sample.at for sample in full],
            {table: [sample.rows.get(table) for sample in full] for table in grown},
            "",
        ),
    ]


def _write_chart(title: str, times: list[float], series: dict[str, list[float | None]], unit: str) -> str:
    from pages.charts import Series, draw_lines

    begin = datetime(2000, 1, 1, tzinfo=UTC)
    chart: Any = draw_lines(
        title,
        [begin + timedelta(seconds=at) for at in times],
        [Series(name, values) for name, values in series.items()],
        unit=unit,
    )
    legend = "".join(
        f"<li class=series-{entry.number}>{html.escape(entry.label)} {html.escape(entry.value)}"
        for entry in chart.legend
    )
    return f"<h2>{html.escape(title)}{f', {unit}' if unit else ''}</h2>{chart.svg}<ul>{legend}</ul>"


def _sum(values: Any) -> float | None:
    found = list(values)
    return round(sum(found), 2) if found else None
