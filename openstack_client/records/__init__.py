"""A cloud's objects as plain records: only the fields that we use, typed, times in UTC.

They are made from the services' raw JSON, because openstacksdk takes some 100 times as long for its own objects.
A word that we do not know, or an optional field that is not there, never raises. Texts, numbers and lists are bounded to
what a database takes. An object without an id, or one that is no object at all, raises `UnreadableRecordError`.
"""

from .compute import Address, Flavor, Keypair, Server, ServerAction, ServerReading, VolumeAttachment, Zone
from .history import ServerEvent, VolumeReservation
from .network import FixedIp, FloatingIp, Network, Port, Router, SecurityGroup, Subnet
from .quota import Quota
from .storage import Image, Snapshot, Volume, VolumeType

__all__ = [
    "Address",
    "FixedIp",
    "Flavor",
    "FloatingIp",
    "Image",
    "Keypair",
    "Network",
    "Port",
    "Quota",
    "Router",
    "SecurityGroup",
    "Server",
    "ServerAction",
    "ServerEvent",
    "ServerReading",
    "Snapshot",
    "Subnet",
    "Volume",
    "VolumeAttachment",
    "VolumeReservation",
    "VolumeType",
    "Zone",
]
