"""The pages of the sync history: the list, one sync with its log, and the log as a file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from django.contrib.auth.decorators import login_required
from django.db.models import QuerySet
from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime
from django.utils.translation import get_language, gettext_lazy
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from api.messages import read_in_language
from api.page_addresses import page_fragment
from api.replica.reads import reads_list
from api.row_batches import iterate_rows
from pages.lists import MAX_SHOWN_LENGTH, Chip, Filter, ListQuery, read_list_query
from pages.panels import is_panel_request, render_page
from pages.tables import declare_table
from tenants.scoped_pages import PageRequest, page_scope
from tenants.scoping import Scope

from ..log_lines import format_line
from ..models import CloudAccount, SyncLog, SyncLogLine
from ..registry import list_providers, type_label
from ..serializers import SyncLogSerializer
from .accounts import list_allowed_actions
from .resources import list_type_choices
from .sync_charts import draw_sync_charts

MAX_LINES = 1000
LOGS = SyncLog.objects.select_related("account", "asked_by")

declare_table(
    "sync_logs",
    [
        ("started_at", gettext_lazy("Started")),
        ("account", gettext_lazy("Cloud account")),
        ("type", gettext_lazy("Resource type")),
        ("result", gettext_lazy("Result")),
        ("started_by", gettext_lazy("Started by")),
        ("new", gettext_lazy("New")),
        ("modified", gettext_lazy("Modified")),
        ("unchanged", gettext_lazy("Unchanged")),
        ("missing", gettext_lazy("Missing")),
        ("deleted", gettext_lazy("Deleted")),
        ("message", gettext_lazy("Message")),
    ],
)


@login_required
@never_cache
@require_GET
@reads_list
def sync_log_page(request: PageRequest) -> HttpResponse:
    """Show the syncs of the accounts that the scope owns, newest first."""
    scope = page_scope(request)
    query = read_list_query(request, _build_filters(scope))
    logs = _filter_logs(LOGS.within(scope), query, _read_dates(request, query))
    page = query.paginate(logs.order_by("-id"))
    shown_logs = SyncLogSerializer(list(page.object_list), many=True).data
    context: dict[str, Any] = {
        "scope": scope,
        "page": page,
        "logs": shown_logs,
        "is_busy": any(shown["state"] == SyncLog.State.RUNNING for shown in shown_logs),
        "query": query,
        "started_after": request.GET.get("started_after", "")[:10],
        "started_before": request.GET.get("started_before", "")[:10],
    }
    # The syncs of every tenant together would be too many to add up for a page.
    if not is_panel_request(request) and (scope.tenant is not None or "account" in query.values):
        context["charts"] = draw_sync_charts(_filter_logs(SyncLog.objects.within(scope), query, {}))
    return render_page(
        request,
        "cloudaccounts/sync_logs.html",
        context,
        panels={"logs": "cloudaccounts/sync_logs_table.html"},
    )


@login_required
@never_cache
@require_GET
def sync_log_detail_page(request: PageRequest, pk: int) -> HttpResponse:
    """Show a sync with its counts, its regions and its log."""
    scope = page_scope(request)
    log = get_object_or_404(LOGS.within(scope), pk=pk)
    # The newest lines. The log was read before its lines: of one that had ended, every line is there.
    newest = list(log.lines.order_by("-pk")[: MAX_LINES + 1])
    has_more = len(newest) > MAX_LINES
    context = {
        "scope": scope,
        "log": log,
        "type": type_label(log.account.provider, log.type),
        "is_busy": log.state == SyncLog.State.RUNNING,
        "is_waiting": log.state == SyncLog.State.RUNNING and not log.owner,
        "regions": sorted(log.regions.items()),
        "log_text": "".join(_format_lines(reversed(newest[:MAX_LINES]))),
        "max_lines": MAX_LINES if has_more else None,
        "may_accept": list_allowed_actions(scope)["may_administer"] and _awaits_confirmation(log),
    }
    return render_page(
        request, "cloudaccounts/sync_log.html", context, panels={"log": "cloudaccounts/sync_log_panel.html"}
    )


@page_fragment
@login_required
@never_cache
@require_GET
def sync_log_text(request: PageRequest, pk: int) -> HttpResponseBase:
    """Return all lines of a sync's log as a text file."""
    log = get_object_or_404(LOGS.within(page_scope(request)), pk=pk)
    lines = iterate_rows(log.lines.order_by("pk"), per_fetch=2000)
    texts = read_in_language(_format_lines(lines), get_language())
    response = StreamingHttpResponse(texts, content_type="text/plain; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="sync-{log.pk}.txt"'
    return response


def _format_lines(lines: Iterable[SyncLogLine]) -> Iterator[str]:
    for line in lines:
        level = "" if line.level == SyncLogLine.Level.INFO else f" [{line.get_level_display()}]"
        yield f"{timezone.localtime(line.at):%Y-%m-%d %H:%M:%S %Z}{level} {format_line(line)}\n"


def _build_filters(scope: Scope) -> list[Filter]:
    accounts = CloudAccount.objects.within(scope).order_by("name", "pk")
    return [
        Filter(
            "account",
            _("Cloud account"),
            _("All cloud accounts"),
            [(str(account.pk), account.name) for account in accounts if account.is_owned_by(scope)],
        ),
        Filter(
            "provider",
            _("Cloud type"),
            _("All cloud types"),
            [(provider.code, provider.label) for provider in list_providers()],
        ),
        Filter("type", _("Resource type"), _("All resource types"), list_type_choices()),
        Filter("state", _("Result"), _("All results"), SyncLog.State.choices),
    ]


def _read_dates(request: PageRequest, query: ListQuery) -> dict[str, datetime]:
    """Read the period of the list, and add it to the chips; a date that cannot be read is refused in words."""
    dates = {}
    for name, label in (("started_after", _("Started from")), ("started_before", _("Started before"))):
        text = request.GET.get(name, "").replace("\x00", "").strip()
        if not text:
            continue
        at = _parse_time(text)
        if at is None:
            query.refused.append(
                _("“%(value)s” is not a date such as 2026-01-31; the filter “%(filter)s” is not applied.")
                % {"value": text[:MAX_SHOWN_LENGTH], "filter": label}
            )
            continue
        dates[name] = at
        rest = request.GET.copy()
        rest.pop(name)
        rest.pop("page", None)
        query.chips.append(
            Chip(f"{label}: {at:%Y-%m-%d %H:%M %Z}".replace(" 00:00", ""), f"?{rest.urlencode()}")
        )
    return dates


def _parse_time(text: str) -> datetime | None:
    """Return the time that a text names in the active time zone: a date counts from its midnight. None if it names none."""
    try:
        at = parse_datetime(text)
        if at is None and (day := parse_date(text)) is not None:
            at = datetime(day.year, day.month, day.day)  # noqa: DTZ001 - the zone follows.
        # Also checks that the time can be converted to that of the database.
        return at and (timezone.make_aware(at) if timezone.is_naive(at) else at).astimezone(
            timezone.get_current_timezone()
        )
    except (ValueError, OverflowError):
        return None


def _filter_logs(logs: QuerySet[SyncLog], query: ListQuery, dates: dict[str, datetime]) -> QuerySet[SyncLog]:
    values: dict[str, Any] = dict(query.values)
    if provider := values.pop("provider", ""):
        values["account__provider"] = provider
    for name, condition in (("started_after", "started_at__gte"), ("started_before", "started_at__lt")):
        if name in dates:
            values[condition] = dates[name]
    return logs.filter(**values)


def _awaits_confirmation(log: SyncLog) -> bool:
    """Return whether deletions wait for a person's confirmation: only those of the last sync of the type."""
    if not log.held_back or log.ended_at is None:
        return False
    later = SyncLog.objects.filter(account=log.account_id, type=log.type, pk__gt=log.pk)
    return not later.exists()
