"""Records of a cloud's objects: only the fields that are used, typed, with times in UTC.

They are built from raw JSON, because openstacksdk takes some 100 times as long for its own objects. An unknown value, or a
missing optional field, never raises. Texts, numbers and lists are bounded to what the database accepts. A value that is no
object, or has no id, raises `UnreadableRecordError`.
"""

from .compute import (
    Address,
    Flavor,
    Server,
    ServerAction,
    ServerReading,
    VolumeAttachment,
    Zone,
)
from .compute_hosts import ComputeService, HostAggregate, Hypervisor
from .history import ServerEvent, VolumeReservation
from .keypairs import Keypair
from .network import (
    AllocationPool,
    FixedIp,
    FloatingIp,
    Network,
    Port,
    Router,
    Subnet,
)
from .quota import Quota
from .security import SecurityGroup, SecurityGroupRule
from .server_resources import ServerGroup, ServerInterface, ServerMigration
from .storage import Image, Snapshot, Volume, VolumeType

__all__ = [
    "Address",
    "AllocationPool",
    "ComputeService",
    "FixedIp",
    "Flavor",
    "FloatingIp",
    "HostAggregate",
    "Hypervisor",
    "Image",
    "Keypair",
    "Network",
    "Port",
    "Quota",
    "Router",
    "SecurityGroup",
    "SecurityGroupRule",
    "Server",
    "ServerAction",
    "ServerEvent",
    "ServerGroup",
    "ServerInterface",
    "ServerMigration",
    "ServerReading",
    "Snapshot",
    "Subnet",
    "Volume",
    "VolumeAttachment",
    "VolumeReservation",
    "VolumeType",
    "Zone",
]
