"""The serializers of the room's API, a module for each subject."""

from .console import ConsoleAnswerSerializer, ConsoleSerializer, ReadConsoleSerializer
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
from .snapshots import NewSnapshotSerializer, SnapshotSerializer, SnapshotTakenSerializer
from .status_sync import SyncAcceptedSerializer, SyncRequestSerializer, SyncRunSerializer, SyncStateSerializer
from .vms import OperationLogSerializer, VirtualMachineSerializer, jobs_in_flight
from .volumes import AttachedSerializer, AttachSerializer

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
