"""An upgrade or a revert: the form, the plan that it would come to, and having it done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from portal.api.errors import Refused
from portal.api.page_refusals import errors_by_field, tell
from portal.api.scoped_pages import PageRequest, page_scope
from portal.api.scoping import Role, Scope

from ..models import Deployment, MicroServiceInstance, MicroServiceVersion
from ..services import Candidate, Plan, candidates, deploy, version_of
from ..services.deploying import Action
from .entries import MOST_HOSTS, MOST_SECONDS, Entered

# Beside which field a refusal stands that the service gives no field for.
FIELD_OF = {
    "not_built": "dest_version",
    "wrong_side": "dest_version",
    "locked": "hosts",
    "under_maintenance": "hosts",
}
FIELDS = ("dest_version", "hosts", "batch", "pause", "max_failures")


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def change_version_page(request: PageRequest, pk: UUID, version_pk: UUID, action: str) -> HttpResponse:
    """Show the form; on POST, deploy (or say what would be done), or show all that is wrong with what was entered.

    Who may only read sees it without its buttons; what he posts all the same, the service refuses.
    """
    if action not in Deployment.Action.values:
        raise Http404
    scope, action = page_scope(request), cast("Action", action)
    current = version_of(scope, pk, version_pk)
    choices = candidates(scope=scope, service_id=pk, version_id=version_pk, action=action)
    if request.method != "POST":
        return _form(request, scope, current, action, choices)
    entered = Entered.of(request.POST)
    try:
        scope.require(Role.OPERATOR)
        wish = entered.wish(choices, dry_run="dry_run" in request.POST)
        plan = deploy(scope=scope, service_id=pk, version_id=version_pk, action=action, wish=wish)
    except Refused as refused:
        return _form(request, scope, current, action, choices, entered=entered, refused=refused)
    if wish.dry_run:
        return _form(request, scope, current, action, choices, entered=entered, plan=plan)
    return redirect("deployment-detail-page", plan.deployment.pk)


def _form(
    request: PageRequest,
    scope: Scope,
    current: MicroServiceVersion,
    action: Action,
    choices: Sequence[Candidate],
    *,
    entered: Entered | None = None,
    refused: Refused | None = None,
    plan: Plan | None = None,
) -> HttpResponse:
    """The form. Its hosts are read now, so that after a refusal it says who holds them."""
    instances = list(
        MicroServiceInstance.objects.within(scope)
        .filter(version=current)
        .select_related("host", "locked_by__operator")
        .order_by("host__hostname", "pk")
    )
    entered = entered or Entered.at_first(choices, instances)
    errors = _errors(refused)
    if refused is not None and refused.code not in FIELD_OF:
        tell(request, refused, shown_beside=FIELDS)
    context: dict[str, Any] = {
        "scope": scope,
        "service": current.service,
        "current": current,
        "action": action,
        "choices": choices,
        "can_go": any(choice.enabled for choice in choices),
        "instances": [(one, str(one.host_id) in entered.hosts) for one in instances],
        "entered": entered,
        "errors": errors,
        "plan": plan,
        "most_seconds": MOST_SECONDS,
        "most_hosts": MOST_HOSTS,
        "may_control": scope.role.covers(Role.OPERATOR),
    }
    return render(request, "deploys/change.html", context, status=refused.status_code if refused else 200)


def _errors(refused: Refused | None) -> dict[str, list[str]]:
    """What is wrong, by the field that it stands beside. Of hosts that are held, each is named."""
    if refused is None:
        return {}
    if (field := FIELD_OF.get(refused.code)) is None:
        return errors_by_field(refused)
    named = [str(one["detail"]) for one in refused.extra.get("instances", [])]
    return {field: named or [str(refused.detail)]}
