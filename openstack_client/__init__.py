"""A thin wrapper over openstacksdk, and a simulator of the cloud. It knows no Django.

Importing this package is cheap: openstacksdk itself (a third of a second) is imported by the first request.
"""

from .cloud import Cloud, TokenCache
from .credentials import CloudCredentials
from .errors import (
    AuthenticationFailed,
    CloudError,
    CloudUnavailable,
    Conflict,
    Forbidden,
    InvalidRequest,
    NotFound,
    QuotaExceeded,
)
from .records import (
    Address,
    Flavor,
    Image,
    Network,
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
    "AuthenticationFailed",
    "Cloud",
    "CloudCredentials",
    "CloudError",
    "CloudUnavailable",
    "Conflict",
    "Flavor",
    "Forbidden",
    "Image",
    "InvalidRequest",
    "Network",
    "NotFound",
    "QuotaExceeded",
    "Server",
    "ServerAction",
    "ServerReading",
    "Snapshot",
    "Subnet",
    "TokenCache",
    "Volume",
    "VolumeAttachment",
    "VolumeType",
    "Zone",
]
