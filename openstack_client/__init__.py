"""A thin wrapper over openstacksdk, and a simulator of the cloud. It knows no Django.

Importing this package is cheap: openstacksdk itself (a third of a second) is imported by the first request.
"""

from .cloud import Cloud, TokenCache
from .connection_rules import ConnectionRules
from .credentials import CloudCredentials
from .errors import (
    AddressRefused,
    AuthenticationFailed,
    CloudError,
    CloudUnavailable,
    Conflict,
    Forbidden,
    InvalidRequest,
    NotFound,
    QuotaExceeded,
    ServiceMissing,
    UnreadableObject,
)
from .paging import RecordPage, Unreadable
from .records import (
    Address,
    FixedIp,
    Flavor,
    FloatingIp,
    Image,
    Keypair,
    Network,
    Port,
    Quota,
    Router,
    SecurityGroup,
    Server,
    ServerAction,
    ServerReading,
    Snapshot,
    Subnet,
    Volume,
    VolumeAttachment,
    VolumeType,
    Zone,
)

__all__ = [
    "Address",
    "AddressRefused",
    "AuthenticationFailed",
    "Cloud",
    "CloudCredentials",
    "CloudError",
    "CloudUnavailable",
    "Conflict",
    "ConnectionRules",
    "FixedIp",
    "Flavor",
    "FloatingIp",
    "Forbidden",
    "Image",
    "InvalidRequest",
    "Keypair",
    "Network",
    "NotFound",
    "Port",
    "Quota",
    "QuotaExceeded",
    "RecordPage",
    "Router",
    "SecurityGroup",
    "Server",
    "ServerAction",
    "ServerReading",
    "ServiceMissing",
    "Snapshot",
    "Subnet",
    "TokenCache",
    "Unreadable",
    "UnreadableObject",
    "Volume",
    "VolumeAttachment",
    "VolumeType",
    "Zone",
]
