from typing import Any

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class TenantsConfig(AppConfig):
    """Tenants, members, information systems."""

    name = "tenants"
    verbose_name = _("Tenants")

    def ready(self) -> None:
        """Register the tenants of `auth/me`, and the check of roles before an answer is replayed."""
        from api.identity import describe_user_with
        from api.requirements import check_requirements_with

        from .requirements import recheck_requirements

        describe_user_with(_tenants_of)
        check_requirements_with(recheck_requirements)


def _tenants_of(user: Any) -> dict[str, Any]:
    return {
        "tenants": [
            {
                "id": member.tenant.pk,
                "slug": member.tenant.slug,
                "name": member.tenant.name,
                "role": member.role,
            }
            for member in user.active_memberships()
        ]
    }
