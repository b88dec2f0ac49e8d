"""The serializers of the room's API, a module for each subject."""

from .console import ConsoleJobSerializer, ConsoleSerializer, ReadConsoleSerializer
from .control import (
    ActionSerializer,
    BulkActionSerializer,
    BulkControlResultSerializer,
    ControlResultSerializer,
    RemovalSerializer,
    ResizeRequestSerializer,
)
from .creation import (
    ChangeVmSerializer,
    NewVmSerializer,
    OptionsRequestSerializer,
    OptionsSerializer,
    VmJobSerializer,
)
from .snapshots import NewSnapshotSerializer, SnapshotJobSerializer, SnapshotSerializer
from .status_sync import SyncRegionsSerializer, SyncRequestSerializer, SyncRunSerializer, SyncStateSerializer
from .vms import OperationLogSerializer, VirtualMachineSerializer, jobs_in_flight
from .volumes import AttachedSerializer, AttachSerializer

__all__ = [
    "ActionSerializer",
    "AttachSerializer",
    "AttachedSerializer",
    "BulkActionSerializer",
    "BulkControlResultSerializer",
    "ChangeVmSerializer",
    "ConsoleJobSerializer",
    "ConsoleSerializer",
    "ControlResultSerializer",
    "NewSnapshotSerializer",
    "NewVmSerializer",
    "OperationLogSerializer",
    "OptionsRequestSerializer",
    "OptionsSerializer",
    "ReadConsoleSerializer",
    "RemovalSerializer",
    "ResizeRequestSerializer",
    "SnapshotJobSerializer",
    "SnapshotSerializer",
    "SyncRegionsSerializer",
    "SyncRequestSerializer",
    "SyncRunSerializer",
    "SyncStateSerializer",
    "VirtualMachineSerializer",
    "VmJobSerializer",
    "jobs_in_flight",
]
