"""The serializers of the room's API, a module for each subject."""

from .console import ConsoleJobSerializer, ConsoleSerializer, ReadConsoleSerializer
from .control import (
    ActionSerializer,
    BulkActionSerializer,
    BulkControlResultSerializer,
    ControlResultSerializer,
    RemovalSerializer,
    ResizeRequestSerializer,
    RestoreSerializer,
)
from .creation import (
    ChangeVmSerializer,
    NewVmSerializer,
    OptionsRequestSerializer,
    OptionsSerializer,
    VmJobSerializer,
    VmsJobsSerializer,
)
from .snapshots import NewSnapshotSerializer, SnapshotJobSerializer, SnapshotSerializer
from .status_sync import SyncRegionsSerializer, SyncRequestSerializer, SyncRunSerializer, SyncStateSerializer
from .vms import OperationLogSerializer, VirtualMachineSerializer, fetch_holding_jobs
from .volumes import AttachVolumeSerializer

__all__ = [
    "ActionSerializer",
    "AttachVolumeSerializer",
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
    "RestoreSerializer",
    "SnapshotJobSerializer",
    "SnapshotSerializer",
    "SyncRegionsSerializer",
    "SyncRequestSerializer",
    "SyncRunSerializer",
    "SyncStateSerializer",
    "VirtualMachineSerializer",
    "VmJobSerializer",
    "VmsJobsSerializer",
    "fetch_holding_jobs",
]
