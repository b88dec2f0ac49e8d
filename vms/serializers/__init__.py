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
from .logins import (
    NewSSHKeySerializer,
    NewUserDataTemplateSerializer,
    PasswordJobSerializer,
    PasswordRequestSerializer,
    RenameSSHKeySerializer,
    ReportedPasswordSerializer,
    SSHKeySerializer,
    UserDataTemplateDetailSerializer,
    UserDataTemplateSerializer,
    VmUserDataSerializer,
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
    "MoveSerializer",
    "MovedSerializer",
    "NewSSHKeySerializer",
    "NewSnapshotSerializer",
    "NewUserDataTemplateSerializer",
    "NewVmSerializer",
    "OperationLogSerializer",
    "OptionsRequestSerializer",
    "OptionsSerializer",
    "PasswordJobSerializer",
    "PasswordRequestSerializer",
    "ReadConsoleSerializer",
    "ReleaseSerializer",
    "ReleasedSerializer",
    "RemovalSerializer",
    "RenameSSHKeySerializer",
    "ReportedPasswordSerializer",
    "ResizeRequestSerializer",
    "RestoreSerializer",
    "SSHKeySerializer",
    "SnapshotJobSerializer",
    "SnapshotSerializer",
    "SyncRegionsSerializer",
    "SyncRequestSerializer",
    "SyncRunSerializer",
    "SyncStateSerializer",
    "UnmanagedResourceSerializer",
    "UserDataTemplateDetailSerializer",
    "UserDataTemplateSerializer",
    "VirtualMachineSerializer",
    "VmJobSerializer",
    "VmUserDataSerializer",
    "VmsJobsSerializer",
    "build_adoption_request",
    "fetch_holding_jobs",
]
