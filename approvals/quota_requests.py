"""Request other quotas: an operation without commands, which always needs the agreement of platform administrators."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from api.domain_errors import InvalidFieldsError
from tasks.operations import check_plan, current_call, operation
from tenants.models import Tenant
from tenants.quotas import RESOURCE_LABELS, Needs
from tenants.scoping import Role, Scope, require_tenant

from .gate import ApprovalRequiredError
from .matching import Terms
from .models import ApproverRole
from .plans import digest_value
from .quota_changes import QUOTA_KIND, QUOTA_OPERATION, describe_quota

VALID_FOR = timedelta(days=30)


@operation(QUOTA_OPERATION, omitted=["reason"])
def change_quota(*, scope: Scope, quotas: Mapping[str, int | None], reason: str = "") -> Tenant:
    """Request other quotas for the scope's tenant, by resource; null is unlimited.

    Called by a user, it raises `ApprovalRequiredError`, which becomes the request. Called by the approval of that request, it
    changes the quotas. Raises 400 `tenant_required` and `invalid`, 403 `role_too_low`.
    """
    tenant = require_tenant(scope)
    scope.require(Role.ADMIN, Tenant)
    with transaction.atomic():
        locked: Tenant = Tenant.objects.select_for_update(no_key=True).get(pk=tenant.pk)
        present = {name: getattr(locked, f"quota_{name}") for name in RESOURCE_LABELS}
        wanted = {name: value for name, value in quotas.items() if value != present[name]}
        if not wanted:
            raise InvalidFieldsError({"non_field_errors": [_("These are the present quotas.")]})
        plan = {
            "commands": [
                {
                    "kind": QUOTA_KIND,
                    "object": {"type": "tenant", "id": str(tenant.pk), "name": locked.name},
                    "params": dict(sorted(wanted.items())),
                    "details": describe_quota(present, wanted),
                }
            ]
        }
        if not check_plan(plan):
            call = current_call()
            assert call is not None  # It is an operation.
            terms = Terms([{"role": ApproverRole.STAFF.value, "users": []}], timezone.now() + VALID_FOR, [])
            raise ApprovalRequiredError(
                call, tenant, plan, digest_value([QUOTA_OPERATION, plan]), Needs(), terms, reason
            )
        for name, value in wanted.items():
            setattr(locked, f"quota_{name}", value)
        locked.save(update_fields=[*(f"quota_{name}" for name in wanted), "updated_at"])
        return locked
