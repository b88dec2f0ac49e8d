from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ApprovalsConfig(AppConfig):
    """Requests that wait for somebody's agreement."""

    name = "approvals"
    verbose_name = _("Approvals")

    def ready(self) -> None:
        """Register the gate, the tables whose changes are events, and the schedule that expires requests."""
        from events.tracking import TrackedTable, declare_tracked_tables
        from tasks.operations import register_gate
        from tasks.schedules import Schedule, declare_schedule

        from . import quota_requests  # noqa: F401 - importing registers its operation.
        from .gate import hold_back_commands

        register_gate(hold_back_commands)
        declare_tracked_tables(
            TrackedTable("approvals_approvalpolicy", "approval_policy"),
            TrackedTable("approvals_policyapprover", "approver"),
            TrackedTable("approvals_approvaldelegation", "approval_delegation"),
        )
        declare_schedule(
            Schedule(
                "approvals.expire", "approvals.expire", 60, _("Expires requests that nobody has decided.")
            )
        )
        declare_schedule(Schedule("approvals.prune", "approvals.prune", 86400, _("Purges old requests.")))
