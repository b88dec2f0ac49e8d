"""Addresses of the pages of VMs and their snapshots."""

from django.urls import path

from . import pages
from .pages import networks

urlpatterns = [
    path("activity/", pages.activity_page, name="activity-page"),
    path("accounts/<int:pk>/adopt/", pages.adopt_page, name="account-adopt-page"),
    path("accounts/<int:pk>/unmanaged/", pages.unmanaged_page, name="account-unmanaged-page"),
    path("preferences/keys/", pages.own_ssh_key_page, name="own-ssh-key-page"),
    path("preferences/keys/new/", pages.new_own_ssh_key_page, name="own-ssh-key-new"),
    path("ssh-keys/", pages.ssh_key_page, name="ssh-key-page"),
    path("ssh-keys/new/", pages.new_ssh_key_page, name="ssh-key-new"),
    path("ssh-keys/<uuid:pk>/rename/", pages.rename_ssh_key_page, name="ssh-key-rename"),
    path("ssh-keys/<uuid:pk>/remove/", pages.remove_ssh_key_page, name="ssh-key-remove"),
    path("user-data-templates/", pages.user_data_template_page, name="user-data-template-page"),
    path("user-data-templates/new/", pages.new_user_data_template_page, name="user-data-template-new"),
    path(
        "user-data-templates/<uuid:pk>/edit/",
        pages.edit_user_data_template_page,
        name="user-data-template-edit",
    ),
    path(
        "user-data-templates/<uuid:pk>/remove/",
        pages.remove_user_data_template_page,
        name="user-data-template-remove",
    ),
    path("vms/", pages.vm_page, name="vm-page"),
    path("vms/ask/", pages.control_vms_page, name="vm-bulk-action"),
    path("vms/new/", pages.new_vm_page, name="vm-new"),
    path("vms/sync-now/", pages.sync_vms_now, name="vms-sync-now"),
    path("vms/<uuid:pk>/", pages.vm_detail_page, name="vm-detail-page"),
    path("vms/<uuid:pk>/ask/", pages.control_vm_page, name="vm-action"),
    path("vms/<uuid:pk>/change/", pages.change_vm_page, name="vm-change"),
    path("vms/<uuid:pk>/console/ask/", pages.read_console_page, name="vm-console-read"),
    path("vms/<uuid:pk>/log/", pages.operation_log_page, name="vm-log-page"),
    path("vms/<uuid:pk>/protection/", pages.protect_vm_page, name="vm-protection"),
    path("vms/<uuid:pk>/move/", pages.move_vm_page, name="vm-move-page"),
    path("vms/<uuid:pk>/password/", pages.reset_password_page, name="vm-password-reset"),
    path("vms/<uuid:pk>/password/read/", pages.read_password_page, name="vm-password-read"),
    path("vms/<uuid:pk>/user-data/", pages.user_data_page, name="vm-user-data-page"),
    path("vms/<uuid:pk>/release/", pages.release_vm_page, name="vm-release-page"),
    path("vms/<uuid:pk>/remove/", pages.remove_vm_page, name="vm-remove"),
    path("vms/<uuid:pk>/resize/", pages.resize_vm_page, name="vm-resize-page"),
    path("vms/<uuid:pk>/restore/", pages.restore_vm_page, name="vm-restore-page"),
    path("vms/<uuid:pk>/snapshots/", pages.take_snapshot_page, name="vm-snapshot-take"),
    path("vms/<uuid:pk>/volumes/", pages.attach_volume_page, name="vm-volume-attach"),
    path("vms/<uuid:pk>/volumes/new/", pages.attach_new_volume_page, name="vm-volume-new"),
    path(
        "vms/<uuid:pk>/volumes/<uuid:volume_pk>/detach/",
        pages.detach_volume_page,
        name="vm-volume-detach",
    ),
    path("vms/<uuid:pk>/interfaces/", networks.attach_interface_page, name="vm-interface-attach"),
    path(
        "vms/<uuid:pk>/interfaces/<uuid:port_pk>/detach/",
        networks.detach_interface_page,
        name="vm-interface-detach",
    ),
    path("vms/<uuid:pk>/groups/", networks.set_security_groups_page, name="vm-security-groups-page"),
    path("floating-ips/<uuid:pk>/attach/", networks.attach_floating_ip_page, name="floating-ip-attach-page"),
    path("floating-ips/<uuid:pk>/detach/", networks.detach_floating_ip_page, name="floating-ip-detach-page"),
    path("snapshots/", pages.snapshot_page, name="snapshot-page"),
    path("snapshots/<uuid:pk>/remove/", pages.remove_snapshot_page, name="snapshot-remove"),
]
