from django.apps import AppConfig
from django.conf import settings
from django.utils.translation import gettext_lazy as _


class VmsConfig(AppConfig):
    """Virtual machines."""

    name = "vms"
    verbose_name = _("Virtual machines")

    def ready(self) -> None:
        """Register the commands, the watchers and the schedules."""
        from django.contrib.postgres.indexes import OpClass
        from django.db.models.indexes import IndexExpression

        from approvals.offers import offer_data_center_types
        from cloudaccounts.cloud_rows import register_cloud_rows
        from cloudaccounts.dependents import register_dependent_finder
        from cloudaccounts.own_pages import register_adoption_finder, register_page_finder
        from events.tracking import TrackedTable, declare_tracked_tables
        from tasks.polling import register_watcher
        from tasks.schedules import Schedule, declare_schedule
        from tenants.scoping import Role
        from volumepool.actions import VolumeAction, register_action
        from volumepool.sync.status import register_follower

        from . import commands  # noqa: F401 - importing registers the commands.
        from .dependents import find_dependent_vms
        from .models import IMAGE_WATCHER, SERVER_WATCHER, VirtualMachine, VmPort, VMSnapshot
        from .resource_pages import find_adopt_form, find_vm_page
        from .services.attachments import attach_by_volume, detach_by_volume
        from .sync.images import sync_images
        from .sync.watchers import ImageWatcher, ServerWatcher

        # The one thing that the index for searches needs of `django.contrib.postgres`; installed, it would also ask each new
        # connection for types that the portal does not use.
        IndexExpression.register_wrappers(OpClass)
        offer_data_center_types(VirtualMachine.DataCenterType.choices)
        register_page_finder("server", find_vm_page)
        register_cloud_rows(VirtualMachine, "openstack_id", "information_system__tenant")
        register_cloud_rows(VMSnapshot, "image_id", "information_system__tenant")
        register_cloud_rows(VmPort, "cloud_id", "vm__information_system__tenant", "vm_id")
        register_dependent_finder(find_dependent_vms)
        register_adoption_finder("server", find_adopt_form)
        register_adoption_finder("volume", find_adopt_form)
        register_follower(sync_images)
        register_watcher(SERVER_WATCHER, ServerWatcher())
        register_watcher(IMAGE_WATCHER, ImageWatcher())
        register_action("attach", VolumeAction(("vm",), Role.OPERATOR, attach_by_volume))
        register_action("detach", VolumeAction((), Role.OPERATOR, detach_by_volume))
        for name, seconds, text in (
            (
                "vms.sync_status",
                settings.VM_STATUS_SYNC_SECONDS,
                _("Syncs VM status from all cloud accounts."),
            ),
            (
                "vms.sync_moving",
                settings.VM_MOVING_SYNC_SECONDS,
                _("Syncs accounts more often while the cloud is changing a VM in them."),
            ),
            (
                "vms.sweep_orphans",
                settings.ORPHAN_SWEEP_SECONDS,
                _("Finds objects in clouds that the portal created and has no record of."),
            ),
            ("vms.clean_key_pairs", 3600, _("Removes key pairs that no VM uses any more from the clouds.")),
            ("vms.runtime_window", 600, _("Stops VMs after their end date, and announces it in advance.")),
            ("vms.confirm_resizes", 600, _("Confirms resizes whose confirmation period is over.")),
            ("vms.empty_bin", 3600, _("Deletes VMs whose time in the bin is over.")),
            ("vms.record_usage", 900, _("Records what tenants use, for the charts.")),
            ("vms.merge_usage", 60, _("Merges the rows that count the VMs of tenants.")),
            (
                "vms.check_usage",
                86400,
                _("Compares the rows that count VMs with the VMs, and corrects them."),
            ),
            ("vms.prune", 86400, _("Purges old status syncs and console texts.")),
        ):
            declare_schedule(Schedule(name, name, seconds, text))
        declare_tracked_tables(
            TrackedTable(
                "vms_virtualmachine",
                "vm",
                tenant="information_system_id",
                only=("description", "data_center_type", "os_type", "os_version", "tags"),
            ),
            TrackedTable("vms_sshkey", "ssh_key", ignored=("last_used_at",)),
            TrackedTable("vms_userdatatemplate", "user_data_template", hidden=("encrypted_text",)),
        )
