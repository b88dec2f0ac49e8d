from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class EventsConfig(AppConfig):
    """Events: the feed of what has changed, and the audit log."""

    name = "events"
    verbose_name = _("Events")

    def ready(self) -> None:
        """Declare the tables of the rooms below whose changes are events, and what tells their actor."""
        from django.contrib.auth import signals
        from django.db.backends.signals import connection_created

        from tasks.schedules import Schedule, declare_schedule

        from . import sign_ins
        from .actors import prepare_connection
        from .tracking import TrackedTable, declare_tracked_tables

        declare_tracked_tables(
            TrackedTable("tenants_tenant", "tenant", tenant="id"),
            TrackedTable("tenants_membership", "member"),
            TrackedTable("tenants_invitation", "invitation"),
            TrackedTable("tenants_informationsystem", "information_system"),
            TrackedTable(
                "tenants_user",
                "user",
                tenant="",
                hidden=("password",),
                ignored=(
                    "last_login",
                    "credentials_epoch",
                    "hidden_columns",
                    "theme",
                    "language",
                    "time_zone",
                ),
            ),
            TrackedTable("tenants_user_groups", "group_member", tenant=""),
            TrackedTable("tenants_user_user_permissions", "user_permission", tenant=""),
            TrackedTable("auth_group", "group", tenant=""),
            TrackedTable("auth_group_permissions", "group_permission", tenant=""),
            TrackedTable(
                "portal_api_apitoken",
                "api_token",
                tenant="",
                hidden=("digest", "token_key"),
                ignored=("last_used_at", "credentials_epoch"),
            ),
        )
        connection_created.connect(prepare_connection, dispatch_uid="events.prepare_connection")
        signals.user_logged_in.connect(sign_ins.record_sign_in, dispatch_uid="events.sign_in")
        signals.user_logged_out.connect(sign_ins.record_sign_out, dispatch_uid="events.sign_out")
        signals.user_login_failed.connect(sign_ins.record_failure, dispatch_uid="events.sign_in_failed")
        declare_schedule(
            Schedule(
                "events.number",
                "events.number",
                60,
                _("Numbers new events, so that changing them would be found."),
            )
        )
        declare_schedule(
            Schedule("events.forward", "events.forward", 60, _("Forwards new events to the syslog server."))
        )
        declare_schedule(Schedule("events.remove_old", "events.remove_old", 3600, _("Purges old events.")))
