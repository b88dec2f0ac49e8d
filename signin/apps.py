from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class SigninConfig(AppConfig):
    """Identity providers, roles by rules, second factors."""

    name = "signin"
    verbose_name = _("Signing in")

    def ready(self) -> None:
        """Register the check of second factors, and declare the tables whose changes are events."""
        from api.login_backend import register_directory
        from api.second_factor import register_second_factor_check
        from events.tracking import TrackedTable, declare_tracked_tables

        from .services.directories import find_directory_user
        from .services.second_factors import check_code

        register_second_factor_check(check_code)
        register_directory(find_directory_user)

        declare_tracked_tables(
            TrackedTable("signin_rolerule", "role_rule"),
            TrackedTable("signin_serviceaccount", "service_account"),
            TrackedTable(
                "signin_externalidentity", "external_identity", tenant="", ignored=("groups", "last_used_at")
            ),
        )
