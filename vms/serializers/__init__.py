"""The serializers of the room's API, a module for each subject."""

from .adoption import (
    AdoptionSerializer,
    AdoptRequestSerializer,
    MovedSerializer,
    MoveSerializer,
    ReleasedSerializer,
    ReleaseSerializer,
    UnmanagedResourceSerializer,
    build_adoption_request,
)
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
from .recovery import (
    EvacuationSerializer,
    MigrationSerializer,
    RebuildSerializer,
    RescueSerializer,
    UnrescueSerializer,
)
from .snapshots import NewSnapshotSerializer, SnapshotJobSerializer, SnapshotSerializer
from .status_sync import SyncRegionsSerializer, SyncRequestSerializer, SyncRunSerializer, SyncStateSerializer
from .vms import OperationLogSerializer, VirtualMachineSerializer, fetch_holding_jobs
from .volumes import AttachVolumeSerializer

__all__ = [
    "ActionSerializer",
    "AdoptRequestSerializer",
    "AdoptionSerializer",
    "AttachVolumeSerializer",
    "BulkActionSerializer",
    "BulkControlResultSerializer",
    "ChangeVmSerializer",
    "ConsoleJobSerializer",
    "ConsoleSerializer",
    "ControlResultSerializer",
    "EvacuationSerializer",
    "MigrationSerializer",
    "MoveSerializer",
    "MovedSerializer",
    "NewSnapshotSerializer",
    "NewVmSerializer",
    "OperationLogSerializer",
    "OptionsRequestSerializer",
    "OptionsSerializer",
    "ReadConsoleSerializer",
    "RebuildSerializer",
    "ReleaseSerializer",
    "ReleasedSerializer",
    "RemovalSerializer",
    "RescueSerializer",
    "ResizeRequestSerializer",
    "RestoreSerializer",
    "SnapshotJobSerializer",
    "SnapshotSerializer",
    "SyncRegionsSerializer",
    "SyncRequestSerializer",
    "SyncRunSerializer",
    "SyncStateSerializer",
    "UnmanagedResourceSerializer",
    "UnrescueSerializer",
    "VirtualMachineSerializer",
    "VmJobSerializer",
    "VmsJobsSerializer",
    "build_adoption_request",
    "fetch_holding_jobs",
]
