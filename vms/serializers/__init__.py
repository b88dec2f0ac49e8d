"""What the API of the room takes and shows, a file for each subject."""

from .control import (
    ActionSerializer,
    BulkActionSerializer,
    BulkControlSerializer,
    ControlSerializer,
    RemovalSerializer,
    ResizeRequestSerializer,
)
from .creation import (
    ChangeVmSerializer,
    NewVmAnswerSerializer,
    NewVmSerializer,
    OptionsRequestSerializer,
    OptionsSerializer,
)
from .machines import OperationLogSerializer, VirtualMachineSerializer, jobs_in_flight
from .parts import (
    AttachedSerializer,
    AttachSerializer,
    ConsoleAnswerSerializer,
    ConsoleSerializer,
    NewSnapshotSerializer,
    ReadConsoleSerializer,
    SnapshotSerializer,
    SnapshotTakenSerializer,
    SyncAcceptedSerializer,
    SyncRequestSerializer,
    SyncRunSerializer,
    SyncStateSerializer,
)

__all__ = [
    "ActionSerializer",
    "AttachSerializer",
    "AttachedSerializer",
    "BulkActionSerializer",
    "BulkControlSerializer",
    "ChangeVmSerializer",
    "ConsoleAnswerSerializer",
    "ConsoleSerializer",
    "ControlSerializer",
    "NewSnapshotSerializer",
    "NewVmAnswerSerializer",
    "NewVmSerializer",
    "OperationLogSerializer",
    "OptionsRequestSerializer",
    "OptionsSerializer",
    "ReadConsoleSerializer",
    "RemovalSerializer",
    "ResizeRequestSerializer",
    "SnapshotSerializer",
    "SnapshotTakenSerializer",
    "SyncAcceptedSerializer",
    "SyncRequestSerializer",
    "SyncRunSerializer",
    "SyncStateSerializer",
    "VirtualMachineSerializer",
    "jobs_in_flight",
]
