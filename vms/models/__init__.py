"""Tables of the room; what each is for is said in its file."""

from .logins import PasswordReading, PasswordReset, SSHKey, UserDataTemplate, VMLogin
from .operation_log import VMOperationLog
from .orphans import OWNERS, Orphan
from .ports import VmPort
from .snapshots import ConsoleReading, VMSnapshot
from .status_sync import SyncRun, SyncState
from .usage import UsageSample, VMUsage
from .virtual_machine import (
    IMAGE_WATCHER,
    SERVER_WATCHER,
    VM_STATUS_BY_SERVER_STATUS,
    Resize,
    VirtualMachine,
    VirtualMachineQuerySet,
    VMStatus,
    lock_key,
    size_columns,
    stale_after,
)

__all__ = [
    "IMAGE_WATCHER",
    "OWNERS",
    "SERVER_WATCHER",
    "VM_STATUS_BY_SERVER_STATUS",
    "ConsoleReading",
    "Orphan",
    "PasswordReading",
    "PasswordReset",
    "Resize",
    "SSHKey",
    "SyncRun",
    "SyncState",
    "UsageSample",
    "UserDataTemplate",
    "VMLogin",
    "VMOperationLog",
    "VMSnapshot",
    "VMStatus",
    "VMUsage",
    "VirtualMachine",
    "VirtualMachineQuerySet",
    "VmPort",
    "lock_key",
    "size_columns",
    "stale_after",
]
