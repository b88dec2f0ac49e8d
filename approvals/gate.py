"""The gate that the engine shows commands to: it holds back those that a policy wants somebody's agreement for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from api.deferral import DeferredError, StoredChange
from api.domain_errors import ConflictError
from tasks.operations import OperationCall, current_call
from tenants.models import Tenant, User
from tenants.quotas import Needs

from .matching import Terms, find_terms, list_policies
from .plans import Plan, build_plan, digest_commands, sum_needs
from .queries import has_policies
from .serializers import serialize_request
from .services.requests import record_request

if TYPE_CHECKING:
    from tasks.engine import Spec


@dataclass
class ApprovalRequiredError(DeferredError):
    """Commands that somebody has to agree to: with the call to repeat, the plan, and the terms."""

    call: OperationCall
    tenant: Tenant
    plan: Plan
    digest: str
    needs: Needs
    terms: Terms
    reason: str = ""

    def store(self) -> StoredChange:
        """Store the request. Raises 409 `quota_exceeded` when others have taken the quota meanwhile."""
        request = record_request(self)
        return StoredChange(
            {"request": serialize_request(request)},
            reverse("approval-request-detail", kwargs={"pk": request.pk}),
            reverse("request-detail-page", kwargs={"pk": request.pk}),
            _("Requested: waiting for approval."),
        )


def hold_back_commands(specs: Sequence[Spec], user: User) -> None:
    """Raise `ApprovalRequiredError` when a policy matches commands that are about to be recorded.

    One query when no policy names them. Raises 409 `approval_required` where the call can't be stored: nothing that needs
    approval passes for the lack of a place to keep it.
    """
    tenants = {spec.tenant.pk: spec.tenant for spec in specs if spec.tenant is not None}
    kinds = {spec.command.kind for spec in specs}
    if not tenants or not has_policies(tenants, kinds):
        return
    for tenant in tenants.values():
        policies = list_policies(tenant, kinds)
        terms = find_terms(policies, tenant, build_plan(specs)) if policies else None
        if terms is None:
            continue
        call = current_call()
        if call is None:
            raise ConflictError(
                "approval_required",
                gettext_lazy("This needs approval, and can't be requested here."),
                policies=terms.policies,
            )
        if len(tenants) > 1:
            raise ConflictError(
                "approval_required",
                gettext_lazy("This needs approval in '%(tenant)s'. Request it for one tenant at a time.")
                % {"tenant": tenant.name},
                policies=terms.policies,
            )
        raise ApprovalRequiredError(
            call,
            tenant,
            build_plan(specs),
            digest_commands(call.operation.name, specs),
            sum_needs(tenant, call.needs),
            terms,
        )
