from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class DeploysConfig(AppConfig):
    """Microservices, and deployments of them."""

    name = "deploys"
    verbose_name = _("Deployments")

    def ready(self) -> None:
        """Register the commands, and the hooks that this room adds to VMs."""
        from cloudaccounts.dependents import register_dependent_finder
        from events.tracking import TrackedTable, declare_tracked_tables
        from tasks.schedules import Schedule, declare_schedule
        from vms.host_hooks import HostHooks, register_host_hooks
        from vms.ownership_hooks import register_tenant_change_hook
        from vms.removal_guards import register_removal_guard

        from . import commands  # noqa: F401 - importing registers.
        from .dependents import find_dependent_services
        from .services.hosts import unlink_vms
        from .services.instances import check_vm_removal
        from .services.keys import find_public_key
        from .services.new_vms import register_new_vm, require_host_access

        declare_schedule(Schedule("deploys.prune", "deploys.prune", 86400, _("Purges old deployments.")))
        register_dependent_finder(find_dependent_services)
        register_removal_guard(check_vm_removal)
        register_tenant_change_hook(unlink_vms)
        register_host_hooks(HostHooks(find_public_key, require_host_access, register_new_vm))
        # The address of an artifact may have a signature, and settings of an executor may have passwords.
        declare_tracked_tables(
            TrackedTable(
                "deploys_microservice",
                "service",
                tenant="information_system_id",
                hidden=("executor_settings",),
                ignored=("last_number",),
            ),
            TrackedTable(
                "deploys_microserviceversion", "version", tenant="service_id", hidden=("artifact_url",)
            ),
            TrackedTable("deploys_host", "host"),
            TrackedTable("deploys_deploykey", "deploy_key", hidden=("encrypted_private_key",)),
            TrackedTable(
                "deploys_microserviceinstance",
                "instance",
                tenant="service_id",
                ignored=("locked", "locked_by_id", "status"),
                updates_of=(
                    "service_id",
                    "version_id",
                    "host_id",
                    "port",
                    "tag",
                    "weight",
                    "description",
                    "is_maintain",
                ),
            ),
        )
