from typing import Any

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class TenantsConfig(AppConfig):
    """Tenants, members, information systems."""

    name = "tenants"
    verbose_name = _("Tenants")

    def ready(self) -> None:
        """Register the tenants of a user for `auth/me`, and the check of roles before an answer is replayed."""
        from api.requirements import register_requirement_check
        from api.user_details import register_user_details

        from .requirements import recheck_requirements

        register_user_details(_describe_memberships)
        register_requirement_check(recheck_requirements)


def _describe_memberships(user: Any) -> dict[str, Any]:
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
