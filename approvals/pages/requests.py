"""The list of requests, the page of one, and the forms that decide about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import Q
from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from api.domain_errors import InvalidFieldsError
from api.form_errors import validate_form
from api.page_addresses import require_POST
from pages.lists import Filter, read_list_query
from pages.panels import render_page
from pages.tables import declare_table
from tenants.page_forms import Outcome
from tenants.row_forms import RowForm, row_form_page
from tenants.scoped_pages import PageRequest, page_scope
from tenants.scoping import Role, Scope, get_visible_row, has_staff_permission

from .. import services
from ..bulk_decisions import decide_many
from ..models import ApprovalDelegation, ApprovalRequest, RequestStatus
from ..serializers import (
    BreakGlassSerializer,
    BulkDecisionSerializer,
    CommentSerializer,
    NewCommentSerializer,
    request_title,
)
from ..services import ApprovalResult
from .plan_view import MAX_SHOWN_COMMANDS, show_difference, show_levels, show_plan

ORDERINGS = frozenset({"created_at", "expires_at"})
# The tone of the badge of each status; a request that is approved shows its job.
TONES = {
    RequestStatus.PENDING: "warning",
    RequestStatus.APPROVED: "success",
    RequestStatus.REJECTED: "failed",
    RequestStatus.WITHDRAWN: "withdrawn",
    RequestStatus.EXPIRED: "expired",
}
declare_table(
    "requests",
    [
        ("requested_by", gettext_lazy("Requested by")),
        ("tenant", gettext_lazy("Tenant")),
        ("created_at", gettext_lazy("Requested")),
        ("status", gettext_lazy("Status")),
        ("expires_at", gettext_lazy("Expires")),
    ],
)


@login_required
@require_GET
def request_page(request: PageRequest) -> HttpResponse:
    """Show the requests, the newest first: those that wait for the user, the user's own, or all."""
    scope = page_scope(request)
    requests = ApprovalRequest.objects.within(scope)
    views = [("waiting", _("Waiting for me")), ("mine", _("Requested by me"))]
    query = read_list_query(
        request,
        [
            Filter("view", _("Requests"), _("All requests"), views),
            Filter("status", _("Status"), _("All statuses"), RequestStatus.choices),
        ],
        orderings=ORDERINGS,
        ordering="-created_at",
    )
    waiting = services.select_waiting_for(requests, scope.user)
    rows = {"waiting": waiting, "mine": requests.filter(requested_by=scope.user)}.get(
        query.values.get("view", ""), requests
    )
    if status := query.values.get("status"):
        rows = rows.filter(status=status)
    if query.search:
        rows = rows.filter(
            Q(subject__icontains=query.search) | Q(requested_by__username__icontains=query.search)
        )
    rows = rows.select_related("requested_by", "tenant", "job")
    page = query.paginate(rows.order_by(query.ordering, "pk"))
    context = {
        "scope": scope,
        "page": page,
        "query": query,
        "ordering": query.ordering,
        "waiting_count": waiting.count(),
        # Only what waits for the user can be decided together.
        "may_choose": query.values.get("view") == "waiting" and page.paginator.count > 0,
        "rows": [_show_row(one) for one in page.object_list],
        "is_busy": any(one.job and not one.job.has_ended for one in page.object_list),
        "delegations": _list_delegations(scope),
    }
    return render_page(
        request, "approvals/requests.html", context, panels={"requests": "approvals/request_table.html"}
    )


def _show_row(row: ApprovalRequest) -> dict[str, Any]:
    return {"request_row": row, "title": request_title(row), "tone": TONES[RequestStatus(row.status)]}


def _list_delegations(scope: Scope) -> list[ApprovalDelegation]:
    """Return the user's own delegations, and those to the user, as far as they are not over."""
    rows = ApprovalDelegation.objects.within(scope).select_related("user", "delegate", "tenant")
    own = rows.filter(Q(user=scope.user) | Q(delegate=scope.user))
    return list(own.not_over().order_by("starts_at", "pk")[:20])


@login_required
@never_cache
@require_GET
def request_detail_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Show a request: the plan, what has changed in it, the decisions, and what the user may do about it."""
    scope = page_scope(request)
    found: ApprovalRequest = get_visible_row(ApprovalRequest.objects.for_display(), scope, pk)
    is_pending = found.status == RequestStatus.PENDING
    waits = services.select_waiting_for(ApprovalRequest.objects.filter(pk=pk), scope.user).exists()
    is_own = found.requested_by_id == scope.user.pk
    context = {
        "scope": scope,
        **_show_row(found),
        "plan": show_plan(found),
        "more_commands": max(0, len(found.plan["commands"]) - MAX_SHOWN_COMMANDS),
        "difference": show_difference(found),
        "levels": show_levels(found),
        "decisions": list(found.decisions.all()),
        "may_decide": waits,
        "may_withdraw": is_pending and is_own,
        "may_break_glass": is_pending and has_staff_permission(scope.user, services.DECIDE_PERMISSION),
        "may_comment": is_own or scope.allows(Role.OPERATOR, ApprovalRequest),
        "is_busy": bool(found.job and not found.job.has_ended) or is_pending,
    }
    return render_page(
        request, "approvals/request.html", context, panels={"request": "approvals/request_panel.html"}
    )


@login_required
@never_cache
@require_POST
def decide_many_page(request: PageRequest) -> HttpResponse:
    """Approve or reject the selected requests, each by itself, and say how many were decided."""
    scope = page_scope(request)
    scope.require(Role.VIEWER, ApprovalRequest)
    body = {
        "ids": request.POST.getlist("ids"),
        "decision": request.POST.get("decision", ""),
        "comment": request.POST.get("comment", ""),
    }
    try:
        results = decide_many(scope=scope, **validate_form(BulkDecisionSerializer(data=body)))
    except InvalidFieldsError:
        messages.warning(request, _("Select at least one request."))
        return redirect(f"{reverse('request-page')}?view=waiting")
    decided = sum(result["refusal"] is None for result in results)
    if decided:
        text = ngettext("%(count)s request was decided.", "%(count)s requests were decided.", decided)
        messages.success(request, text % {"count": decided})
    for detail in dict.fromkeys(result["refusal"]["detail"] for result in results if result["refusal"]):
        messages.error(request, detail)
    return redirect(f"{reverse('request-page')}?view=waiting")


def _describe_result(result: ApprovalResult) -> str:
    if result.request.status == RequestStatus.APPROVED:
        return _("Approved. The task has started.") if result.jobs else _("Approved.")
    if any(decision.is_void for decision in result.request.decisions.all()):
        return _("Something has changed since it was requested. Check the differences, and approve again.")
    return _("Approved. It waits for the next level.")


def _build_form(
    url_name: str,
    title: str | Promise,
    confirm: str | Promise,
    *,
    field: str = "comment",
    tone: str = "primary",
    text: str | Promise = "",
) -> RowForm:
    def describe(row: Any) -> dict[str, Any]:
        return {
            "url": reverse(url_name, args=[row.pk]),
            "back": reverse("request-detail-page", args=[row.pk]),
            "heading": title,
            "confirm": confirm,
            "text": text,
            "field": field,
            "is_required": field == "reason" or url_name == "request-comment",
            "tone": tone,
            "request_title": request_title(row),
        }

    return RowForm(
        "approvals/decision_form.html",
        ApprovalRequest.objects.select_related("tenant"),
        Role.VIEWER,
        "request-page",
        fields=(field,),
        context=describe,
    )


def _read(serializer: Callable[..., Any], request: PageRequest, field: str) -> str:
    return str(validate_form(serializer(data={field: request.POST.get(field, "")}))[field])


def _go_back(pk: UUID, message: str) -> Outcome:
    return message, reverse("request-detail-page", args=[pk])


@row_form_page(_build_form("request-approve", gettext_lazy("Approve request"), gettext_lazy("Approve")))
def approve_page(request: PageRequest, scope: Scope, row: ApprovalRequest) -> Outcome:
    """Ask for a comment; on POST, approve the request."""
    comment = _read(CommentSerializer, request, "comment")
    result = services.approve_request(scope=scope, request_id=row.pk, comment=comment)
    return _go_back(row.pk, _describe_result(result))


@row_form_page(
    _build_form("request-reject", gettext_lazy("Reject request"), gettext_lazy("Reject"), tone="danger")
)
def reject_page(request: PageRequest, scope: Scope, row: ApprovalRequest) -> Outcome:
    """Ask for a comment; on POST, reject the request."""
    comment = _read(CommentSerializer, request, "comment")
    services.reject_request(scope=scope, request_id=row.pk, comment=comment)
    return _go_back(row.pk, _("Rejected."))


@row_form_page(_build_form("request-withdraw", gettext_lazy("Withdraw request"), gettext_lazy("Withdraw")))
def withdraw_page(request: PageRequest, scope: Scope, row: ApprovalRequest) -> Outcome:
    """Ask for a comment; on POST, withdraw the request."""
    comment = _read(CommentSerializer, request, "comment")
    services.withdraw_request(scope=scope, request_id=row.pk, comment=comment)
    return _go_back(row.pk, _("Withdrawn."))


@row_form_page(
    _build_form("request-comment", gettext_lazy("Comment on request"), gettext_lazy("Add comment"))
)
def comment_page(request: PageRequest, scope: Scope, row: ApprovalRequest) -> Outcome:
    """Ask for a comment; on POST, add it."""
    comment = _read(NewCommentSerializer, request, "comment")
    services.comment_on_request(scope=scope, request_id=row.pk, comment=comment)
    return _go_back(row.pk, _("Comment added."))


@row_form_page(
    _build_form(
        "request-break-glass",
        gettext_lazy("Carry out without approval"),
        gettext_lazy("Carry out now"),
        field="reason",
        tone="danger",
        text=gettext_lazy("For emergencies. The reason is recorded, and shown to the approvers."),
    )
)
def break_glass_page(request: PageRequest, scope: Scope, row: ApprovalRequest) -> Outcome:
    """Ask for the reason; on POST, carry the request out without approval."""
    reason = _read(BreakGlassSerializer, request, "reason")
    services.break_glass(scope=scope, request_id=row.pk, reason=reason)
    return _go_back(row.pk, _("Carried out without approval."))
