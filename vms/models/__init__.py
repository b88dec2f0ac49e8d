"""Tables of the room; what each is for is said in its file."""

from .machine import (
    IMAGE_WATCHER,
    SERVER_WATCHER,
    STATUS_OF_SERVER,
    Resize,
    VirtualMachine,
    VirtualMachineQuerySet,
    VMStatus,
    lock_key,
    size_columns,
    stale_after,
)
from .operation_log import VMOperationLog
from .orphans import Orphan
from .snapshots import ConsoleReading, VMSnapshot
from .sync_state import SyncRun, SyncState

__all__ = [
    "IMAGE_WATCHER",
    "SERVER_WATCHER",
    "STATUS_OF_SERVER",
    "ConsoleReading",
    "Orphan",
    "Resize",
    "SyncRun",
    "SyncState",
    "VMOperationLog",
    "VMSnapshot",
    "VMStatus",
    "VirtualMachine",
    "VirtualMachineQuerySet",
    "lock_key",
    "size_columns",
    "stale_after",
]
