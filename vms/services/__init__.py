"""The use cases of the room: each locks, checks, writes and submits in one short transaction."""

from .attachments import attach_volume, detach_volume
from .bulk import ControlResult
from .bulk_actions import BULK_ACTIONS, control_many
from .changes import change_vm
from .console import read_console
from .control import control_vm
from .creation import CreationResult, create_vm, list_creation_options
from .migration import abort_migration, evacuate_vm, migrate_vm
from .orphans import remove_orphan
from .recovery import rebuild_vm, rescue_vm
from .removal import remove_vm
from .resize import confirm_due_resizes, resize_vm
from .runtime import stop_at_runtime_end, warn_of_runtime_end
from .snapshots import remove_snapshot, take_snapshot
from .status_sync import request_sync
from .vm_bin import empty_vm_bin, restore_vm

__all__ = [
    "BULK_ACTIONS",
    "ControlResult",
    "CreationResult",
    "abort_migration",
    "attach_volume",
    "change_vm",
    "confirm_due_resizes",
    "control_many",
    "control_vm",
    "create_vm",
    "detach_volume",
    "empty_vm_bin",
    "evacuate_vm",
    "list_creation_options",
    "migrate_vm",
    "read_console",
    "rebuild_vm",
    "remove_orphan",
    "remove_snapshot",
    "remove_vm",
    "request_sync",
    "rescue_vm",
    "resize_vm",
    "restore_vm",
    "stop_at_runtime_end",
    "take_snapshot",
    "warn_of_runtime_end",
]
