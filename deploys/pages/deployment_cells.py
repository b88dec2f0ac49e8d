"""The board of a deployment: a column for each batch, and in it a cell for each host.

Cells are drawn by a function, as the badges of tables are: with 500 hosts, a template for each takes a fifth of a second,
and the board is drawn anew each second while something moves.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from pages.badges import find_tone
from pages.templatetags.components import badge, duration, timestamp

from ..models import DeploymentItem
from .batch_pauses import BatchPause
from .deployment_status import RESULT_LABELS, find_result_status

_RESULT = DeploymentItem.Result
UNFINISHED_RESULTS = (_RESULT.WAITING, _RESULT.RUNNING)


@dataclass(frozen=True, slots=True)
class Column:
    """A batch, counted from 1: its drawn cells, how many of its hosts have ended, and its pause, if it waits."""

    number: int
    cells: SafeString
    ended: int
    all: int
    pause: BatchPause | None = None


def build_columns(
    items: Iterable[DeploymentItem],
    *,
    chosen: int | None,
    pause: BatchPause | None,
    is_compact: bool,
    query: str = "",
) -> list[Column]:
    """Return the batches of items that are sorted by batch. `query` is added to the address of each cell."""
    columns = []
    for number, group in groupby(items, lambda item: item.batch):
        batch = list(group)
        cells = format_html_join(
            "", "<li>{}</li>", ((_draw_cell(one, chosen, query, is_compact=is_compact),) for one in batch)
        )
        ended = sum(one.result not in UNFINISHED_RESULTS for one in batch)
        is_waiting = pause is not None and pause.batch == number
        columns.append(Column(number + 1, cells, ended, len(batch), pause if is_waiting else None))
    return columns


def _draw_cell(item: DeploymentItem, chosen: int | None, query: str, *, is_compact: bool) -> SafeString:
    """Draw a host: its name, its state, and how long it took or since when it runs."""
    name, _colon, address = item.host_name.partition(":")
    status, label = find_result_status(item.result), str(RESULT_LABELS[item.result])
    return format_html(
        '<a class="cell {}" id="item-{}" href="?item={}{}"{} title="{} {}: {}"><strong>{}</strong>{} <small>{}</small></a>',
        find_tone(status, "task"),
        item.pk,
        item.pk,
        query,
        mark_safe(' aria-current="true"') if item.pk == chosen else "",
        name,
        address,
        label,
        name,
        format_html('<span class="unseen">{}</span>', label) if is_compact else badge(status, label, "task"),
        _draw_time(item),
    )


def _draw_time(item: DeploymentItem) -> str:
    if item.result == _RESULT.RUNNING:
        return timestamp(item.started_at)
    if item.started_at and item.ended_at:
        return duration((item.ended_at - item.started_at).total_seconds())
    return ""
