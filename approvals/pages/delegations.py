"""Forms of delegations and of quota requests."""

from __future__ import annotations

from datetime import datetime, time

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from api.domain_errors import InvalidFieldsError
from api.form_errors import filled_fields, validate_form
from tenants.models import Membership, Tenant
from tenants.page_forms import Outcome, run_form
from tenants.quotas import METER_LABELS
from tenants.row_forms import RowForm, row_form_page
from tenants.scoped_pages import PageRequest, page_scope
from tenants.scoping import Role, Scope, require_tenant

from .. import services
from ..models import ApprovalDelegation
from ..quota_requests import change_quota
from ..serializers import NewDelegationSerializer, QuotaRequestSerializer

DELEGATION_FIELDS = ("delegate", "starts_on", "ends_on")


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def new_delegation_page(request: PageRequest) -> HttpResponse:
    """Show the form; on POST, let another member approve in the user's place. Both days are included."""
    scope = page_scope(request)
    tenant = require_tenant(scope)
    scope.require(Role.OPERATOR, ApprovalDelegation)

    def handle() -> Outcome:
        body = {
            "delegate": request.POST.get("delegate", ""),
            "starts_at": _read_day(request, "starts_on", time.min),
            "ends_at": _read_day(request, "ends_on", time.max),
        }
        fields = validate_form(NewDelegationSerializer(data=body))
        delegation = services.create_delegation(scope=scope, fields=fields)
        return _("%(name)s can approve in your place.") % {"name": delegation.delegate.get_username()}, ""

    members = Membership.objects.filter(tenant=tenant, user__is_active=True).exclude(user=scope.user)
    names = list(members.order_by("user__username").values_list("user__username", flat=True)[:500])
    today = timezone.localdate().isoformat()
    return run_form(
        request,
        "approvals/delegation_form.html",
        {"scope": scope, "members": names},
        handle,
        list_page="request-page",
        initial={"delegate": "", "starts_on": today, "ends_on": ""},
        fields=DELEGATION_FIELDS,
    )


def _read_day(request: PageRequest, name: str, moment: time) -> datetime:
    """Return a day of the form as a time in the user's zone. Raises 400 by field."""
    try:
        day = datetime.strptime(request.POST.get(name, ""), "%Y-%m-%d")  # noqa: DTZ007 - made aware below.
    except ValueError:
        raise InvalidFieldsError({name: [_("Enter a date.")]}) from None
    return timezone.make_aware(datetime.combine(day, moment))


@row_form_page(
    RowForm(
        "approvals/delegation_end_form.html",
        ApprovalDelegation.objects.select_related("user", "delegate"),
        Role.VIEWER,
        "request-page",
    )
)
def end_delegation_page(request: PageRequest, scope: Scope, row: ApprovalDelegation) -> Outcome:
    """Ask whether the delegation is to end; on POST, end it."""
    services.remove_delegation(scope=scope, delegation_id=row.pk)
    return _("The delegation has ended."), ""


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def quota_request_page(request: PageRequest) -> HttpResponse:
    """Show the form; on POST, request other quotas, which platform administrators approve."""
    scope = page_scope(request)
    tenant = require_tenant(scope)
    scope.require(Role.ADMIN, Tenant)
    present = {name: getattr(tenant, f"quota_{name}") for name in METER_LABELS}

    def handle() -> Outcome:
        body = filled_fields(request.POST, *METER_LABELS, "reason")
        quotas = validate_form(QuotaRequestSerializer(data=body))
        change_quota(scope=scope, reason=quotas.pop("reason"), quotas=quotas)
        raise AssertionError("A user's change of quotas is always deferred.")

    quotas = [
        {"name": name, "label": label, "unit": unit, "present": present[name]}
        for name, (label, unit) in METER_LABELS.items()
    ]
    return run_form(
        request,
        "approvals/quota_form.html",
        {"scope": scope, "tenant": tenant, "quotas": quotas},
        handle,
        list_page="quota-page",
        initial={name: "" if value is None else value for name, value in present.items()},
        fields=(*METER_LABELS, "reason"),
    )
