"""The page of an upgrade or a revert: the form, the plan, and its start."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, cast
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import TooManyFieldsSent
from django.http import Http404, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_http_methods

from api.domain_errors import DomainError
from api.errors import status_of
from api.form_errors import error_texts, show_error
from api.form_keys import run_form_once
from tenants.scoped_pages import PageRequest, page_scope
from tenants.scoping import Role, Scope

from ..models import Deployment, MicroServiceInstance, MicroServiceVersion
from ..services import Candidate, Plan, deploy, find_version, list_candidates
from ..services.deployments import MAX_HOSTS, MAX_PAUSE, Action
from .change_form import FREE, TICKED, ChangeForm
from .last_failures import find_last_failures

# Beside which field a refusal stands that the service gives no field for.
FIELD_OF = {
    "not_built": "dest_version",
    "wrong_side": "dest_version",
    "locked": "hosts",
    "under_maintenance": "hosts",
}
FIELDS = ("dest_version", "hosts", "batch", "pause", "max_failures", "strategy")
EXCLUDED_SHOWN = 5


def report_too_many_fields(page: Callable[..., HttpResponse]) -> Callable[..., HttpResponseBase]:
    """Make a page report a form with too many fields, for which Django answers a bare 400.

    Django finds that out when it looks for the form's token, before any view. So this looks first, and the token is
    asked for inside: what carries anything out is as protected as ever.
    """
    protected = csrf_protect(page)

    @csrf_exempt
    @wraps(page)
    def answer(request: PageRequest, *args: Any, **named: Any) -> HttpResponseBase:
        try:
            _sent = request.POST
        except TooManyFieldsSent:
            shown = {"most": settings.DATA_UPLOAD_MAX_NUMBER_FIELDS}
            text = _(
                "Nothing was deployed: more than %(most)s hosts were selected. Select all available hosts, or fewer."
            )
            messages.error(request, text % shown)
            return redirect(request.get_full_path())
        return run_form_once(request, lambda: protected(request, *args, **named))

    return answer


@report_too_many_fields
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
    current = find_version(scope, pk, version_pk)
    choices = list_candidates(scope=scope, service_id=pk, version_id=version_pk, action=action)
    if request.method != "POST":
        return _render_form(request, scope, current, action, choices)
    entered = ChangeForm.from_post(request.POST)
    try:
        scope.require(Role.OPERATOR, Deployment)
        params = entered.to_params(choices, dry_run="dry_run" in request.POST)
        plan = deploy(scope=scope, service_id=pk, version_id=version_pk, action=action, params=params)
    except DomainError as refused:
        return _render_form(request, scope, current, action, choices, entered=entered, refused=refused)
    if params.dry_run:
        return _render_form(request, scope, current, action, choices, entered=entered, plan=plan)
    report_excluded(request, plan)
    return redirect("deployment-detail-page", plan.deployment.pk)


def report_excluded(request: PageRequest, plan: Plan) -> None:
    """Name the hosts that were not available: an operator who selected all may have counted on one that was just taken."""
    if not plan.left_out:
        return
    named = " ".join(one["detail"] for one in plan.left_out[:EXCLUDED_SHOWN])
    count = len(plan.left_out)
    text = ngettext("%(count)s host was left out: %(why)s", "%(count)s hosts were left out: %(why)s", count)
    messages.warning(
        request, text % {"count": count, "why": named + (" …" if count > EXCLUDED_SHOWN else "")}
    )


def _render_form(
    request: PageRequest,
    scope: Scope,
    current: MicroServiceVersion,
    action: Action,
    choices: Sequence[Candidate],
    *,
    entered: ChangeForm | None = None,
    refused: DomainError | None = None,
    plan: Plan | None = None,
) -> HttpResponse:
    """The form. Its hosts are read now, so that after a refusal it says who holds them."""
    instances = list(
        MicroServiceInstance.objects.within(scope)
        .filter(version=current)
        .select_related("host", "locked_by__operator")
        .order_by("host__hostname", "pk")
    )
    troubles = find_last_failures([choice.version for choice in choices])
    entered = entered or ChangeForm.propose(choices, troubles)
    errors = _collect_errors(refused)
    if refused is not None and refused.code not in FIELD_OF and "host" not in refused.details:
        show_error(request, refused, shown_beside=FIELDS)
    context: dict[str, Any] = {
        "scope": scope,
        "service": current.service,
        "current": current,
        "action": action,
        "choices": [(choice, troubles.get(choice.version.pk)) for choice in choices],
        "can_go": any(choice.enabled for choice in choices),
        "instances": [(one, str(one.host_id) in entered.hosts) for one in instances],
        "free_count": sum(not (one.locked or one.is_maintain) for one in instances),
        "which": {"free": FREE, "ticked": TICKED},
        "entered": entered,
        "errors": errors,
        "plan": plan,
        "most_seconds": MAX_PAUSE,
        "most_hosts": MAX_HOSTS,
        "may_control": scope.allows(Role.OPERATOR, Deployment),
    }
    return render(request, "deploys/change.html", context, status=status_of(refused) if refused else 200)


def _collect_errors(refused: DomainError | None) -> dict[str, list[str]]:
    """Return the errors by form field. Each unavailable host is named."""
    if refused is None:
        return {}
    if host := refused.details.get("host"):
        return {"hosts": [f"{host}: {refused.detail}"]}
    if (field := FIELD_OF.get(refused.code)) is None:
        errors = dict(refused.errors or {})
        # The fields of the strategy stand in the form by themselves.
        of_strategy = errors.pop("strategy", {})
        return {name: error_texts(one) for name, one in {**errors, **of_strategy}.items()}
    named = [str(one["detail"]) for one in refused.details.get("instances", [])]
    return {field: named or [refused.detail]}
