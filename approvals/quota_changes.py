"""The change of a tenant's quotas as an operation that platform administrators have to agree to."""

from __future__ import annotations

from collections.abc import Mapping

from django.utils.translation import gettext_lazy

QUOTA_OPERATION = "approvals.change_quota"
QUOTA_KIND = "tenants.change_quota"
QUOTA_TITLE = gettext_lazy("Change quota")


def describe_quota(present: Mapping[str, int | None], wanted: Mapping[str, int | None]) -> dict[str, object]:
    """Return the change of quotas as the plan of a request has it."""
    return {name: {"present": present[name], "requested": value} for name, value in sorted(wanted.items())}
