"""The pages of approval policies: for administrators of a tenant, and for platform administrators without one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods

from api.domain_errors import DomainError, ForbiddenError, NotFoundError
from api.errors import status_of
from api.form_errors import validate_form
from pages.lists import read_list_query
from pages.panels import render_page
from tasks.command import command_title
from tasks.operations import list_gated_kinds
from tenants.page_forms import Outcome, split_errors
from tenants.row_forms import RowForm, row_form_page
from tenants.scoped_pages import PageRequest, page_scope
from tenants.scoping import Role, Scope, get_visible_row

from .. import services
from ..models import ApprovalPolicy, ApproverRole
from ..offers import list_data_center_types
from ..serializers import PolicyFieldsSerializer, list_approver_names

NUMBERS = {
    "min_count": gettext_lazy("from this number of objects"),
    "min_cpu_cores": gettext_lazy("from this number of CPU cores"),
    "min_memory_gb": gettext_lazy("from this memory (GB)"),
    "min_disk_gb": gettext_lazy("from this disk size (GB)"),
}
TEXTS = ("name", "applies_at", "work_begins", "work_ends", "valid_hours", "level_count")
LEVELS = (1, 2)
# The labels of the rooms of commands, by the first part of their kinds.
ROOM_LABELS = {
    "vms": gettext_lazy("Virtual machines"),
    "volumepool": gettext_lazy("Volumes"),
    "networks": gettext_lazy("Network"),
    "deploys": gettext_lazy("Deployments"),
}


def _require_administrator(request: PageRequest) -> Scope:
    scope = page_scope(request)
    try:
        scope.require(Role.ADMIN, ApprovalPolicy)
    except ForbiddenError as refused:
        raise PermissionDenied(refused.detail) from refused
    return scope


@login_required
@require_GET
def policy_page(request: PageRequest) -> HttpResponse:
    """Show the policies of the tenant; for staff without a tenant, all of them."""
    scope = _require_administrator(request)
    query = read_list_query(request)
    policies = services.POLICIES.within(scope)
    if query.search:
        policies = policies.filter(name__icontains=query.search)
    page = query.paginate(policies.order_by("name", "pk"))
    context = {
        "scope": scope,
        "page": page,
        "query": query,
        "rows": [_show_policy(policy) for policy in page.object_list],
    }
    return render_page(
        request, "approvals/policies.html", context, panels={"policies": "approvals/policy_table.html"}
    )


def _show_policy(policy: ApprovalPolicy) -> dict[str, Any]:
    """Return what the row of a policy shows."""
    conditions: list[tuple[Any, Any]] = [
        (label, getattr(policy, name)) for name, label in NUMBERS.items() if getattr(policy, name) is not None
    ]
    if policy.data_center_types:
        labels = dict(list_data_center_types())
        types = ", ".join(str(labels.get(one, one)) for one in policy.data_center_types)
        conditions.append((_("environment"), types))
    if policy.applies_at != ApprovalPolicy.AppliesAt.ALWAYS:
        conditions.append((_("applies"), policy.get_applies_at_display()))
    return {
        "policy": policy,
        "commands": [command_title(kind) for kind in policy.commands],
        "conditions": conditions,
        "levels": [_show_level(policy, number) for number in LEVELS[: policy.level_count]],
    }


def _show_level(policy: ApprovalPolicy, number: int) -> str:
    role = getattr(policy, f"level{number}_role")
    listed = list_approver_names(policy, number)
    return ", ".join([*([str(ApproverRole(role).label)] if role else []), *listed])


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def new_policy_page(request: PageRequest) -> HttpResponse:
    """Show the form; on POST, create the policy."""
    return _run_form(request, _require_administrator(request), None)


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def edit_policy_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Show the form with the policy's values; on POST, save them."""
    scope = _require_administrator(request)
    policy: ApprovalPolicy = get_visible_row(services.POLICIES, scope, pk, Role.ADMIN)
    return _run_form(request, scope, policy)


def _run_form(request: PageRequest, scope: Scope, policy: ApprovalPolicy | None) -> HttpResponse:
    refused: DomainError | None = None
    data = _read_policy(policy)
    if request.method == "POST":
        data = _read_form(request.POST)
        try:
            fields = validate_form(PolicyFieldsSerializer(data=data))
            if policy is None:
                services.create_policy(scope=scope, fields=fields)
            else:
                services.change_policy(scope=scope, policy_id=policy.pk, fields=fields)
        except NotFoundError:
            raise
        except DomainError as error:
            refused = error
        else:
            messages.success(request, _("Changes saved.") if policy else _("Policy created."))
            return redirect("approval-policy-page")
    context = {
        "scope": scope,
        "policy": policy,
        "action": reverse("approval-policy-edit", args=[policy.pk])
        if policy
        else reverse("approval-policy-new"),
        "entered": data,
        "command_groups": _group_commands(data["commands"]),
        "data_center_types": [
            (value, label, value in data["data_center_types"]) for value, label in list_data_center_types()
        ],
        "applies_at": ApprovalPolicy.AppliesAt.choices,
        "roles": ApproverRole.choices,
        **split_errors(refused, PolicyFieldsSerializer().fields.keys()),
    }
    return render(
        request, "approvals/policy_form.html", context, status=status_of(refused) if refused else 200
    )


def _group_commands(chosen: list[str]) -> list[dict[str, Any]]:
    groups: dict[str, list[tuple[str, str, bool]]] = {}
    for kind in list_gated_kinds():
        room = kind.partition(".")[0]
        groups.setdefault(room, []).append((kind, command_title(kind), kind in chosen))
    return [
        {"label": ROOM_LABELS.get(room, room), "commands": sorted(commands, key=lambda one: one[1])}
        for room, commands in sorted(
            groups.items(), key=lambda group: [*ROOM_LABELS, group[0]].index(group[0])
        )
    ]


def _read_policy(policy: ApprovalPolicy | None) -> dict[str, Any]:
    """Return the values that the form shows at first."""
    shown = policy or ApprovalPolicy()
    data: dict[str, Any] = {name: getattr(shown, name) for name in (*TEXTS, *NUMBERS)}
    data |= {name: f"{getattr(shown, name):%H:%M}" for name in ("work_begins", "work_ends")}
    data |= {"commands": shown.commands, "data_center_types": shown.data_center_types, "active": shown.active}
    for level in LEVELS:
        data[f"level{level}_role"] = getattr(shown, f"level{level}_role")
        data[f"level{level}_users"] = list_approver_names(policy, level) if policy else []
    return data


def _read_form(sent: QueryDict) -> dict[str, Any]:
    """Return the form as the body of a request of the API."""
    data: dict[str, Any] = {name: sent[name] for name in TEXTS if sent.get(name)}
    data |= {name: sent.get(name) or None for name in NUMBERS}
    data["name"] = sent.get("name", "")
    data["active"] = "active" in sent
    data["commands"] = sent.getlist("commands")
    data["data_center_types"] = sent.getlist("data_center_types")
    for level in LEVELS:
        data[f"level{level}_role"] = sent.get(f"level{level}_role", "")
        names = sent.get(f"level{level}_users", "").split(",")
        data[f"level{level}_users"] = [name.strip() for name in names if name.strip()]
    return data


def _describe_removal(policy: Any) -> Mapping[str, Any]:
    return {"policy": policy}


@row_form_page(
    RowForm(
        "approvals/policy_remove_form.html",
        services.POLICIES,
        Role.ADMIN,
        "approval-policy-page",
        context=_describe_removal,
    )
)
def remove_policy_page(request: PageRequest, scope: Scope, row: ApprovalPolicy) -> Outcome:
    """Ask whether the policy is to be deleted; on POST, delete it."""
    services.remove_policy(scope=scope, policy_id=row.pk)
    return _("Policy %(name)s was deleted.") % {"name": row.name}, ""
