"""A deployment while it runs and after it: its batches as columns, its hosts as cells, and the log of one host."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.core.paginator import Page, Paginator
from django.db.models import Case, IntegerField, QuerySet, Value, When
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.utils.functional import Promise
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from api.page_addresses import page_fragment
from pages.panels import render_page
from tasks.models import JobStatus
from tenants.scoped_pages import PageRequest, page_scope
from tenants.scoping import Role, Scope

from ..models import Deployment, DeploymentItem
from .batch_pauses import BatchPause, find_pause
from .deployment_cells import UNFINISHED_RESULTS, Column, build_columns
from .deployment_status import (
    RESULT_LABELS,
    DeploymentStatus,
    annotate_counts,
    find_result_status,
    summarize_deployment,
)
from .stored_messages import Explanation, explain_result

# More cells on one page would be slow; from that many on, each is one line.
CELLS_AT_ONCE, MAX_LARGE_CELLS = 500, 60
MAX_REASONS = 3
_RESULT = DeploymentItem.Result
FAILED_RESULTS = (_RESULT.FAILED, _RESULT.REVERTED)
# The log that is shown first: that of a failure, then of what is in progress, then of what has ended.
_ORDER_OF_INTEREST = Case(
    When(result__in=FAILED_RESULTS, then=Value(0)),
    When(result=_RESULT.RUNNING, then=Value(1)),
    When(result=_RESULT.SUCCEEDED, then=Value(2)),
    default=Value(3),
    output_field=IntegerField(),
)


@dataclass(frozen=True, slots=True)
class Chosen:
    """The host whose log is shown."""

    item: DeploymentItem
    status: str
    label: str | Promise
    explanation: Explanation
    is_over: bool


class DeploymentBoard:
    """What the page of a deployment shows. Each part is read when the template asks for it: a panel needs only its own.

    The deployment was read before its items, so an ended deployment never shows an item in progress.
    """

    def __init__(self, request: PageRequest, scope: Scope, deployment: Any) -> None:
        self.deployment = deployment
        self.outcome: DeploymentStatus = summarize_deployment(deployment)
        self.may_control = scope.allows(Role.OPERATOR, Deployment)
        self.sent = request.GET

    @property
    def items(self) -> QuerySet[DeploymentItem]:
        """Return the items of the deployment, without their logs."""
        return DeploymentItem.objects.filter(deployment=self.deployment).defer("log").order_by("batch", "pk")

    @cached_property
    def pause(self) -> BatchPause | None:
        """Return the current pause between two batches."""
        return find_pause(self.deployment)

    @cached_property
    def page(self) -> Page[Any]:
        """Return the cells of the page."""
        return Paginator(self.items, CELLS_AT_ONCE).get_page(self.sent.get("page"))

    @cached_property
    def columns(self) -> list[Column]:
        """Return the batches, with the hosts of the page."""
        return build_columns(
            self.page.object_list,
            chosen=self.chosen.item.pk if self.chosen else None,
            pause=self.pause,
            is_compact=self.is_compact,
            query=f"&page={self.page.number}" if self.page.number > 1 else "",
        )

    @property
    def is_compact(self) -> bool:
        """Return whether there are so many hosts that each has one line."""
        return self.outcome.all > MAX_LARGE_CELLS

    @cached_property
    def chosen(self) -> Chosen | None:
        """Return the host of the address, else the one that is of most interest. None if there are no hosts."""
        items = DeploymentItem.objects.filter(deployment=self.deployment).select_related("from_version")
        wanted = self.sent.get("item", "")
        item = (
            items.filter(pk=int(wanted)).first()
            if wanted.isascii() and wanted.isdigit() and len(wanted) < 19
            else None
        )
        item = item or items.order_by(_ORDER_OF_INTEREST, "batch", "pk").first()
        if item is None:
            return None
        return Chosen(
            item,
            find_result_status(item.result),
            RESULT_LABELS[item.result],
            explain_result(item),
            item.result not in UNFINISHED_RESULTS,
        )

    @cached_property
    def failures(self) -> list[tuple[DeploymentItem, Explanation]]:
        """Return the first failures with their reasons."""
        if not self.outcome.failed:
            return []
        failed = self.items.filter(result__in=FAILED_RESULTS)[:MAX_REASONS]
        return [(item, explain_result(item)) for item in failed]

    @property
    def task_message(self) -> str:
        """Return what the task says of its end, unless the hosts say it better."""
        job = self.deployment.job
        if job is None or self.outcome.failed or self.outcome.status == JobStatus.CANCELLED:
            return ""
        message: str = job.outcome_message
        return message

    @property
    def may_cancel(self) -> bool:
        """Return whether the caller may cancel it now."""
        job = self.deployment.job
        return self.may_control and job is not None and job.can_cancel

    @property
    def may_retry(self) -> bool:
        """Return whether the caller may retry it now."""
        has_ended = self.deployment.ended_at is not None
        return self.may_control and has_ended and self.outcome.succeeded < self.outcome.all

    @cached_property
    def retries(self) -> list[Deployment]:
        """Return the deployments that have retried it."""
        return list(Deployment.objects.filter(retry_of=self.deployment).order_by("created_at"))


@login_required
@never_cache
@require_GET
def deployment_detail_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Show a deployment batch by batch, with the log of one host."""
    scope = page_scope(request)
    deployment = get_object_or_404(annotate_counts(Deployment.objects.within(scope)), pk=pk)
    board = DeploymentBoard(request, scope, deployment)
    context = {
        "scope": scope,
        "deployment": deployment,
        "outcome": board.outcome,
        "board": board,
        "is_busy": not board.outcome.is_over,
    }
    return render_page(
        request,
        "deploys/deployment.html",
        context,
        panels={
            "state": "deploys/deployment_state.html",
            "board": "deploys/deployment_board.html",
            "log": "deploys/deployment_log.html",
        },
    )


@page_fragment
@login_required
@never_cache
@require_GET
def item_log_download(request: PageRequest, pk: UUID, item_pk: int) -> HttpResponse:
    """Return the log of one host as a text file."""
    deployments = Deployment.objects.within(page_scope(request))
    item = get_object_or_404(DeploymentItem, pk=item_pk, deployment__in=deployments.filter(pk=pk))
    name = "".join(letter if letter.isalnum() or letter in "-._" else "-" for letter in item.host_name)
    headers = {
        "Content-Disposition": f'attachment; filename="{name.encode("ascii", "replace").decode()}.log"'
    }
    return HttpResponse(item.log, content_type="text/plain; charset=utf-8", headers=headers)
