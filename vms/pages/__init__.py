"""The web pages of the room, a module for each subject. They change data through the services alone."""

from .activity import activity_page
from .bulk_bar import bulk_form_page, control_vms_page
from .changes import (
    change_vm_page,
    remove_vm_page,
    resize_vm_page,
)
from .console import read_console_page
from .creation import new_vm_page
from .detail import operation_log_page, vm_detail_page
from .listing import control_vm_page, sync_vms_now, vm_page
from .logins import read_password_page, reset_password_page, user_data_page
from .ownership import move_vm_page, release_vm_page
from .protection import protect_vm_page, restore_vm_page
from .recovery import abort_migration_page, evacuate_vm_page, migrate_vm_page, rebuild_vm_page, rescue_vm_page
from .snapshots import remove_snapshot_page, snapshot_page, take_snapshot_page
from .ssh_keys import (
    new_own_ssh_key_page,
    new_ssh_key_page,
    own_ssh_key_page,
    remove_ssh_key_page,
    rename_ssh_key_page,
    ssh_key_page,
)
from .unmanaged import adopt_page, unmanaged_page
from .user_data_templates import (
    edit_user_data_template_page,
    new_user_data_template_page,
    remove_user_data_template_page,
    user_data_template_page,
)
from .volumes import attach_new_volume_page, attach_volume_page, detach_volume_page

__all__ = [
    "abort_migration_page",
    "activity_page",
    "adopt_page",
    "attach_new_volume_page",
    "attach_volume_page",
    "bulk_form_page",
    "change_vm_page",
    "control_vm_page",
    "control_vms_page",
    "detach_volume_page",
    "edit_user_data_template_page",
    "evacuate_vm_page",
    "migrate_vm_page",
    "move_vm_page",
    "new_own_ssh_key_page",
    "new_ssh_key_page",
    "new_user_data_template_page",
    "new_vm_page",
    "operation_log_page",
    "own_ssh_key_page",
    "protect_vm_page",
    "read_console_page",
    "read_password_page",
    "rebuild_vm_page",
    "release_vm_page",
    "remove_snapshot_page",
    "remove_ssh_key_page",
    "remove_user_data_template_page",
    "remove_vm_page",
    "rename_ssh_key_page",
    "rescue_vm_page",
    "reset_password_page",
    "resize_vm_page",
    "restore_vm_page",
    "snapshot_page",
    "ssh_key_page",
    "sync_vms_now",
    "take_snapshot_page",
    "unmanaged_page",
    "user_data_page",
    "user_data_template_page",
    "vm_detail_page",
    "vm_page",
]
