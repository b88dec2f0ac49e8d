from typing import Any

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class TenantsConfig(AppConfig):
    """Tenants, members, information systems."""

    name = "tenants"
    verbose_name = _("Tenants")

    def ready(self) -> None:
        """Have `auth/me` say which tenants a user belongs to, and roles checked again before an answer is replayed."""
        from api.requirements import register_requirement_check
        from api.user_details import register_user_details

        from .requirements import recheck_requirements

        register_user_details(_tenants_of)
        register_requirement_check(recheck_requirements)


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
