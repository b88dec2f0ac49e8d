"""The listings that the simulated Tencent Cloud has: by service and operation, as its API documents them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Listing:
    """An operation that lists one kind of objects."""

    kind: str
    member: str
    id_member: str
    # The largest page; None for a listing without pages.
    max_limit: int | None = 100
    # Whether offset and limit are texts.
    has_text_offsets: bool = False
    # Whether the offset has to be a multiple of the limit.
    has_aligned_offsets: bool = False


VERSIONS = {
    "cbs": "2017-03-12",
    "cdb": "2017-03-20",
    "clb": "2018-03-17",
    "cvm": "2017-03-12",
    "redis": "2018-04-12",
    "region": "2022-06-27",
    "sts": "2018-08-13",
    "vpc": "2017-03-12",
}
# Services that answer without a region.
GLOBAL_SERVICES = frozenset({"region", "sts"})
LISTINGS = {
    ("cvm", "DescribeZones"): Listing("zone", "ZoneSet", "Zone", None),
    ("cvm", "DescribeKeyPairs"): Listing("keypair", "KeyPairSet", "KeyId"),
    ("cvm", "DescribeImages"): Listing("image", "ImageSet", "ImageId"),
    ("cvm", "DescribeInstances"): Listing("server", "InstanceSet", "InstanceId"),
    ("vpc", "DescribeVpcs"): Listing("network", "VpcSet", "VpcId", has_text_offsets=True),
    ("vpc", "DescribeSubnets"): Listing("subnet", "SubnetSet", "SubnetId", has_text_offsets=True),
    ("vpc", "DescribeSecurityGroups"): Listing(
        "security_group", "SecurityGroupSet", "SecurityGroupId", has_text_offsets=True
    ),
    ("vpc", "DescribeNetworkInterfaces"): Listing("port", "NetworkInterfaceSet", "NetworkInterfaceId"),
    ("vpc", "DescribeAddresses"): Listing("floating_ip", "AddressSet", "AddressId"),
    ("cbs", "DescribeDisks"): Listing("volume", "DiskSet", "DiskId"),
    ("cbs", "DescribeSnapshots"): Listing("snapshot", "SnapshotSet", "SnapshotId"),
    ("clb", "DescribeLoadBalancers"): Listing("load_balancer", "LoadBalancerSet", "LoadBalancerId"),
    ("redis", "DescribeInstances"): Listing(
        "cache", "InstanceSet", "InstanceId", 1000, has_aligned_offsets=True
    ),
    ("cdb", "DescribeDBInstances"): Listing("database", "Items", "InstanceId", 2000),
}
ID_MEMBERS = {listing.kind: listing.id_member for listing in LISTINGS.values()}
