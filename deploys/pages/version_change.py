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
from .change_form import AVAILABLE, SELECTED, ChangeForm
from .last_failures import find_last_failures

# The form field at which an error is shown, for errors that the service raises without a field.
FIELDS_BY_ERROR_CODE = {
    "not_built": "dest_version",
    "wrong_side": "dest_version",
    "locked": "hosts",
    "under_maintenance": "hosts",
}
FORM_FIELDS = ("dest_version", "hosts", "batch", "pause", "max_failures", "strategy")
MAX_EXCLUDED_SHOWN = 5


def report_too_many_fields(page: Callable[..., HttpResponse]) -> Callable[..., HttpResponseBase]:
    """Make a page report a form with too many fields, for which Django answers a bare 400.

    Django parses the form when it checks the CSRF token, before any view. So this wrapper parses the form first, and
    checks the token inside: the page itself is as protected as any other.
    """
    protected = csrf_protect(page)

    @csrf_exempt
    @wraps(page)
    def handle_request(request: PageRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            _sent = request.POST
        except TooManyFieldsSent:
            values = {"most": settings.DATA_UPLOAD_MAX_NUMBER_FIELDS}
            text = _(
                "Nothing was deployed: more than %(most)s hosts were selected. Select all available hosts, or fewer."
            )
            messages.error(request, text % values)
            return redirect(request.get_full_path())
        return run_form_once(request, lambda: protected(request, *args, **kwargs))

    return handle_request


@report_too_many_fields
@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def change_version_page(request: PageRequest, pk: UUID, version_pk: UUID, action: str) -> HttpResponse:
    """Show the form; on POST, start the deployment, or show its plan (`dry_run`), or show the form with all errors.

    Viewers see the form without its buttons, and the service refuses their requests.
    """
    if action not in Deployment.Action.values:
        raise Http404
    scope, action = page_scope(request), cast("Action", action)
    current = find_version(scope, pk, version_pk)
    candidates = list_candidates(scope=scope, service_id=pk, version_id=version_pk, action=action)
    if request.method != "POST":
        return _render_form(request, scope, current, action, candidates)
    form = ChangeForm.from_post(request.POST)
    try:
        scope.require(Role.OPERATOR, Deployment)
        params = form.to_params(candidates, dry_run="dry_run" in request.POST)
        plan = deploy(scope=scope, service_id=pk, version_id=version_pk, action=action, params=params)
    except DomainError as refusal:
        return _render_form(request, scope, current, action, candidates, form=form, refusal=refusal)
    if params.dry_run:
        return _render_form(request, scope, current, action, candidates, form=form, plan=plan)
    report_excluded_hosts(request, plan)
    return redirect("deployment-detail-page", plan.deployment.pk)


def report_excluded_hosts(request: PageRequest, plan: Plan) -> None:
    """Show a message that names the excluded hosts: one of "all available hosts" may have become unavailable."""
    if not plan.left_out:
        return
    details = " ".join(one["detail"] for one in plan.left_out[:MAX_EXCLUDED_SHOWN])
    count = len(plan.left_out)
    text = ngettext("%(count)s host was left out: %(why)s", "%(count)s hosts were left out: %(why)s", count)
    messages.warning(
        request, text % {"count": count, "why": details + (" …" if count > MAX_EXCLUDED_SHOWN else "")}
    )


def _render_form(
    request: PageRequest,
    scope: Scope,
    current: MicroServiceVersion,
    action: Action,
    candidates: Sequence[Candidate],
    *,
    form: ChangeForm | None = None,
    refusal: DomainError | None = None,
    plan: Plan | None = None,
) -> HttpResponse:
    """Render the form. The hosts are read again, so that after an error they show which deployment holds them."""
    instances = list(
        MicroServiceInstance.objects.within(scope)
        .filter(version=current)
        .select_related("host", "locked_by__operator")
        .order_by("host__hostname", "pk")
    )
    last_failures = find_last_failures([candidate.version for candidate in candidates])
    form = form or ChangeForm.propose(candidates, last_failures)
    errors = _collect_errors(refusal)
    if refusal is not None and refusal.code not in FIELDS_BY_ERROR_CODE and "host" not in refusal.details:
        show_error(request, refusal, shown_beside=FORM_FIELDS)
    title = (
        _("Upgrade %(name)s from %(version)s")
        if action == "upgrade"
        else _("Revert %(name)s from %(version)s")
    )
    context: dict[str, Any] = {
        "scope": scope,
        "title": title % {"name": current.service.name, "version": current.label},
        "service": current.service,
        "current": current,
        "action": action,
        "choices": [(candidate, last_failures.get(candidate.version.pk)) for candidate in candidates],
        "can_deploy": any(candidate.enabled for candidate in candidates),
        "instances": [(one, str(one.host_id) in form.hosts) for one in instances],
        "free_count": sum(not (one.locked or one.is_maintain) for one in instances),
        "which": {"free": AVAILABLE, "ticked": SELECTED},
        "entered": form,
        "errors": errors,
        "plan": plan,
        "max_pause": MAX_PAUSE,
        "max_hosts": MAX_HOSTS,
        "may_control": scope.allows(Role.OPERATOR, Deployment),
    }
    return render(request, "deploys/change.html", context, status=status_of(refusal) if refusal else 200)


def _collect_errors(refusal: DomainError | None) -> dict[str, list[str]]:
    """Return the errors by form field. Each unavailable host is named."""
    if refusal is None:
        return {}
    if host := refusal.details.get("host"):
        return {"hosts": [f"{host}: {refusal.detail}"]}
    if (field := FIELDS_BY_ERROR_CODE.get(refusal.code)) is None:
        errors = dict(refusal.errors or {})
        # The form shows each field of the strategy separately.
        strategy_errors = errors.pop("strategy", {})
        return {name: error_texts(one) for name, one in {**errors, **strategy_errors}.items()}
    details = [str(one["detail"]) for one in refusal.details.get("instances", [])]
    return {field: details or [refusal.detail]}
