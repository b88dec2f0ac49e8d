"""Template tags for the small components, of which a table has hundreds.

The larger components are templates in `pages/templates/cotton/`. These are functions, because a page renders them for
each cell, and a template for each cell would take longer than the query.
"""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import Any

from django import template
from django.http import HttpRequest
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import capfirst
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from pages.badges import find_tone
from pages.cloud_statuses import label_cloud_status
from pages.tables import TENANT_COLUMN, Table, find_table

register = template.Library()

NOTHING = mark_safe('<span class="nothing">—</span>')
GIB_PER_TIB = 1024


@register.simple_tag
def badge(status: str | None, label: object = "", kind: str = "", title: str = "") -> SafeString:
    """Return the badge of a status: a dot, or a spinner while something is going on, and the label in sentence case.

    `kind` is "task" for tasks and their steps. `title` is shown while the pointer rests on the badge, as for a fault or for
    the cloud's own word.
    """
    return _render_badge(str(status or ""), str(label or status or _("unknown")), kind, title)


# A list has hundreds of badges, but few different ones. `typed` tells a text that is escaped from one that is not.
@lru_cache(maxsize=1024, typed=True)
def _render_badge(status: str, label: str, kind: str, title: str) -> SafeString:
    # The status is a class too, for tests and for the user's own style sheets.
    return format_html(
        '<span class="badge {} {}"{}>{}</span>',
        find_tone(status, kind),
        status.replace(" ", "-"),
        format_html(' title="{}"', title) if title else "",
        capfirst(label),
    )


@register.simple_tag
def cloud_badge(status: str | None) -> SafeString:
    """Return the badge of a status of OpenStack, in the reader's language; the cloud's own word is shown by the pointer."""
    return badge(status, label_cloud_status(status or ""), title=status or "") if status else NOTHING


@register.simple_tag
def timestamp(value: datetime | None, missing: str = "") -> SafeString:
    """Return a time in the active time zone, with the zone's name. The page's script adds how long ago it was.

    `missing` is shown instead of a dash when there is no time, as "never".
    """
    if value is None or value == "":
        return format_html('<span class="nothing">{}</span>', missing) if missing else NOTHING
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    local = timezone.localtime(value)
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        value.astimezone(timezone.get_default_timezone()).isoformat(timespec="seconds"),
        local.strftime("%Y-%m-%d %H:%M:%S %Z"),
        local.strftime("%Y-%m-%d %H:%M %Z"),
    )


@register.simple_tag
def meter(used: float, total: float | None, label: str, unit: str = "") -> SafeString:
    """Return a bar of what is used of a total, in words and as a drawing. `total` is None without a limit."""
    words = (
        format_amount(used, unit)
        if total is None
        else f"{format_amount(used, unit)} / {format_amount(total, unit)}"
    )
    if total is None:
        return format_html(
            '<div class="meter"><span>{}</span> <strong>{}</strong> <small>{}</small></div>',
            label,
            words,
            _("Unlimited"),
        )
    share = min(100, round(100 * used / total)) if total else 100
    tone = "bad" if used >= total else "warning" if share >= 80 else "good"
    return format_html(
        '<div class="meter"><span>{}</span> <strong>{}</strong>'
        '<svg class="{}" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true" focusable="false">'
        '<rect class="track" width="100" height="4"/><rect width="{}" height="4"/></svg></div>',
        label,
        words,
        tone,
        share,
    )


@register.filter
def amount(value: float, unit: str = "") -> str:
    """Return a number with its unit, as the meters do."""
    return format_amount(value, unit)


def format_amount(value: float, unit: str) -> str:
    """Return a number with separators of thousands and its unit; from 1,024 GiB on in TiB."""
    return _format_amount(value, unit, get_language())


@lru_cache(maxsize=1024)
def _format_amount(value: float, unit: str, _language: str | None) -> str:
    """Return the amount in the active language, which is an argument so that each language has results of its own."""
    if unit == "GiB" and value >= GIB_PER_TIB:
        value, unit = value / GIB_PER_TIB, "TiB"
    decimals = 0 if value == int(value) else 1
    # Django's own function cuts decimals off.
    return f"{number_format(round(value, decimals), decimals, force_grouping=True)} {unit}".strip()


@register.simple_tag
def duration(seconds: float | None) -> str:
    """Return a length of time in its two largest units: "2 min 5 s"."""
    if seconds is None:
        return "—"
    if seconds < 10:
        return _("%(count)s s") % {"count": number_format(round(seconds, 1), 1)}
    whole = round(seconds)
    units = [(_("d"), 86_400), (_("h"), 3600), (_("min"), 60), (_("s"), 1)]
    texts: list[str] = []
    for name, length in units:
        count, whole = divmod(whole, length)
        if count or texts:
            texts.append(f"{count} {name}")
    return " ".join(text for text in texts[:2] if not text.startswith("0 "))


@register.simple_tag
def elapsed(start: datetime | str | None, end: datetime | str | None) -> str:
    """Return the length of time between two times, which may be texts of the API."""
    if not start or not end:
        return "—"
    times = [datetime.fromisoformat(value) if isinstance(value, str) else value for value in (start, end)]
    return duration(max(0.0, (times[1] - times[0]).total_seconds()))


@register.simple_tag(takes_context=True)
def column(context: dict[str, Any], name: str, label: str, css_class: str = "") -> SafeString:
    """Return the head of a column by which the table can be sorted. The view passes the current order as `ordering`.

    A press on the column that the table is sorted by turns the order round.
    """
    ordering = str(context.get("ordering", ""))
    is_current = ordering.lstrip("-") == name
    target = f"-{name}" if ordering == name else name
    request: HttpRequest = context["request"]
    query = request.GET.copy()
    query["ordering"] = target
    query.pop("page", None)
    direction = ("descending" if ordering.startswith("-") else "ascending") if is_current else ""
    return format_html(
        '<th scope="col" class="{}"{}><a class="sort" href="?{}">{}</a></th>',
        css_class,
        format_html(' aria-sort="{}"', direction) if direction else "",
        query.urlencode(),
        label,
    )


@register.simple_tag(takes_context=True)
def hidden_columns(context: dict[str, Any], name: str) -> str:
    """Return the class of a table that hides the columns which the user has hidden: "hide-3 hide-5"."""
    table, hidden = _read_hidden_columns(context, name)
    positions = enumerate((one for one in table.columns if _is_present(context, one[0])), start=2)
    return " ".join(f"hide-{number}" for number, (column_name, _label) in positions if column_name in hidden)


@register.simple_tag(takes_context=True)
def column_choices(context: dict[str, Any], name: str) -> list[tuple[str, Any, bool, bool]]:
    """Return the columns of a table that can be hidden: name, label, whether it is shown, and whether the page has it.

    The choice for a column that the page does not have is sent along unchanged.
    """
    table, hidden = _read_hidden_columns(context, name)
    return [
        (column_name, label, column_name not in hidden, _is_present(context, column_name))
        for column_name, label in table.columns
    ]


def _is_present(context: dict[str, Any], column_name: str) -> bool:
    """Return whether the page has a column: that of the tenant is left out where all rows are of one tenant."""
    return column_name != TENANT_COLUMN or not getattr(context.get("scope"), "tenant", None)


def _read_hidden_columns(context: dict[str, Any], name: str) -> tuple[Table, list[str]]:
    """Return a table and its hidden columns. Raises LookupError for a table that was not declared."""
    table = find_table(name)
    if table is None:
        raise LookupError(f"No table {name!r} was declared (pages/tables.py).")
    return table, table.list_hidden(getattr(context["request"].user, "hidden_columns", None))


@register.simple_tag
def described(field_id: str, errors: object = None, hint: object = "") -> SafeString:
    """Return the attributes by which a control names its hint and its errors (`<c-field>`) to screen readers."""
    names = [f"{field_id}-hint"] if hint else []
    if errors:
        names.append(f"{field_id}-error")
    text = format_html(' aria-describedby="{}"', " ".join(names)) if names else mark_safe("")
    return text + mark_safe(' aria-invalid="true"') if errors else text
