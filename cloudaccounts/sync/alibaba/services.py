"""Syncers of the managed services: load balancers (CLB), caches (Tair and Redis), databases (RDS)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext_lazy as _

from openstack_client import CloudNotFoundError

from ...registry import Link, ListedResource, register_syncer
from .listings import read_number, read_page
from .provider import AlibabaSyncer, read_paid_until, read_tags

if TYPE_CHECKING:
    from .connection import AlibabaRegion

# The members that only DescribeDBInstanceAttribute has.
_DATABASE_DETAILS = ("DBInstanceStorage", "DBInstanceCPU", "DBInstanceMemory", "ConnectionString", "Port")


@register_syncer
class LoadBalancerSyncer(AlibabaSyncer):
    """Classic load balancers: `flavor`, `scheme` (internet or intranet), `zones`, `charge`, `created_at`, `tags`.

    Links lead to network and subnet. The vendor lists no end of a prepaid one.
    """

    type = "load_balancer"
    label = _("load balancer")
    order = 80
    product, action, path, id_member = (
        "Slb",
        "DescribeLoadBalancers",
        ("LoadBalancers", "LoadBalancer"),
        "LoadBalancerId",
    )
    page_size = 100
    name_member = "LoadBalancerName"
    permissions = ("slb:DescribeLoadBalancers",)

    def convert(self, found: dict[str, Any]) -> ListedResource:
        """Convert a load balancer."""
        zones = {found.get("MasterZoneId"), found.get("SlaveZoneId")}
        return ListedResource(
            found["LoadBalancerId"],
            self.read_name(found),
            found.get("LoadBalancerStatus", ""),
            {
                "flavor": found.get("LoadBalancerSpec", ""),
                "scheme": found.get("AddressType", ""),
                "zones": sorted(zone for zone in zones if zone),
                "charge": found.get("PayType", ""),
                "created_at": found.get("CreateTime", ""),
                "tags": read_tags(found),
            },
            (found["Address"],) if found.get("Address") else (),
            _link_place(found),
        )


@register_syncer
class CacheSyncer(AlibabaSyncer):
    """Instances of Tair and Redis: `engine`, `engine_version`, `flavor` (the instance class), `memory_mb`, `zone`, `endpoint`,
    `port`, `charge`, `created_at`, `paid_until`, `tags`. Links lead to network and subnet.
    """

    type = "cache"
    label = _("cache")
    order = 81
    product, action, path, id_member = (
        "R-kvstore",
        "DescribeInstances",
        ("Instances", "KVStoreInstance"),
        "InstanceId",
    )
    name_member = "InstanceName"
    permissions = ("kvstore:DescribeInstances",)

    def convert(self, found: dict[str, Any]) -> ListedResource:
        """Convert an instance."""
        charge = found.get("ChargeType", "")
        return ListedResource(
            found["InstanceId"],
            self.read_name(found),
            found.get("InstanceStatus", ""),
            {
                "engine": str(found.get("InstanceType") or "").lower(),
                "engine_version": found.get("EngineVersion", ""),
                "flavor": found.get("InstanceClass", ""),
                "memory_mb": read_number(found.get("Capacity")),
                "zone": found.get("ZoneId", ""),
                "endpoint": found.get("ConnectionDomain", ""),
                "port": read_number(found.get("Port")),
                "charge": charge,
                "created_at": found.get("CreateTime", ""),
                "paid_until": read_paid_until(charge, found.get("EndTime")),
                "tags": read_tags(found),
            },
            (found["PrivateIp"],) if found.get("PrivateIp") else (),
            _link_place(found),
        )


@register_syncer
class DatabaseSyncer(AlibabaSyncer):
    """Instances of RDS: `engine`, `engine_version`, `flavor` (the instance class), `vcpus`, `memory_mb`, `size_gb`, `zone`,
    `endpoint`, `port`, `charge`, `lock`, `created_at`, `paid_until`. Links lead to network and subnet.

    The vendor lists no tags of them.
    """

    type = "database"
    label = _("database")
    order = 82
    product, action, path, id_member = "Rds", "DescribeDBInstances", ("Items", "DBInstance"), "DBInstanceId"
    page_size = 100
    name_member = "DBInstanceDescription"
    permissions = ("rds:DescribeDBInstances", "rds:DescribeDBInstanceAttribute")

    def list_objects(self, client: AlibabaRegion) -> Iterator[list[Any]]:
        """Yield the databases with their sizes, which take a request for each: the vendor warns of requests for several."""
        for page in super().list_objects(client):
            yield [found for found in page if _add_details(client, found)]

    def convert(self, found: dict[str, Any]) -> ListedResource:
        """Convert a database."""
        charge = found.get("PayType", "")
        lock = str(found.get("LockMode") or "")
        return ListedResource(
            found["DBInstanceId"],
            self.read_name(found) or found["DBInstanceId"],
            found.get("DBInstanceStatus", ""),
            {
                "engine": str(found.get("Engine") or "").lower(),
                "engine_version": found.get("EngineVersion", ""),
                "flavor": found.get("DBInstanceClass", ""),
                "vcpus": read_number(found.get("DBInstanceCPU")),
                "memory_mb": read_number(found.get("DBInstanceMemory")),
                "size_gb": read_number(found.get("DBInstanceStorage")),
                "zone": found.get("ZoneId", ""),
                "endpoint": found.get("ConnectionString", ""),
                "port": read_number(found.get("Port")),
                "charge": charge,
                "lock": "" if lock == "Unlock" else lock,
                "created_at": found.get("CreateTime", ""),
                "paid_until": read_paid_until(charge, found.get("ExpireTime")),
            },
            links=_link_place(found),
        )


def _add_details(client: AlibabaRegion, found: Any) -> bool:
    """Add the details that only a request for one database tells; return False for one that was deleted meanwhile.

    Raises `CloudError`.
    """
    if not isinstance(found, dict) or not found.get("DBInstanceId"):
        return True
    action = "DescribeDBInstanceAttribute"
    try:
        answer = client.call("Rds", action, DBInstanceId=found["DBInstanceId"])
    except CloudNotFoundError:
        return False
    for details in read_page(answer, ("Items", "DBInstanceAttribute"), f"rds:{action}"):
        if isinstance(details, dict) and details.get("DBInstanceId") == found["DBInstanceId"]:
            found.update({name: details[name] for name in _DATABASE_DETAILS if details.get(name)})
    return True


def _link_place(found: dict[str, Any]) -> tuple[Link, ...]:
    """Return the links to the network and the subnet of an object."""
    singles = (("network", found.get("VpcId")), ("subnet", found.get("VSwitchId")))
    return tuple(Link(type_code, cloud_id) for type_code, cloud_id in singles if cloud_id)
