"""Syncers of Tencent Cloud's managed services: load balancers, caches, databases."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext_lazy as _

from ...registry import ListedResource, register_syncer
from .provider import TencentSyncer
from .values import make_links, read_paid_until, read_tags, read_time, read_word

if TYPE_CHECKING:
    from .connection import TencentRegion

# These services tell their states as numbers, which their documentation explains.
_BALANCER_STATES = {0: "creating", 1: "running"}
_CACHE_STATES = {0: "initializing", 1: "processing", 2: "running", -2: "isolated", -3: "pending delete"}
_DATABASE_STATES = {0: "creating", 1: "running", 4: "isolating", 5: "isolated"}
_DATABASE_ROLES = {1: "primary", 2: "disaster recovery", 3: "read only"}
_ISOLATED = "isolated"
# Under which a cache keeps the name of its zone, which another operation tells.
_ZONE = "ZoneName"


@register_syncer
class LoadBalancerSyncer(TencentSyncer):
    """Load balancers: `scheme` (OPEN or INTERNAL), `kind`, `dns_name`, `flavor`, `zone`, `charge_type`, `created_at`, `paid_until`, `tags`.

    Links lead to network, subnet, security groups. One that is suspended for arrears has the status `isolated`.
    """

    type = "load_balancer"
    label = _("load balancer")
    order = 80
    service, operation, member = "clb", "DescribeLoadBalancers", "LoadBalancerSet"
    id_member, name_member = "LoadBalancerId", "LoadBalancerName"
    permissions = ("clb:DescribeLoadBalancers",)

    def convert(self, found: dict[str, Any]) -> ListedResource:
        """Convert a load balancer."""
        addresses = {*(found.get("LoadBalancerVips") or ()), found.get("AddressIPv6")}
        charge_type = found.get("ChargeType") or ""
        return ListedResource(
            found["LoadBalancerId"],
            found.get("LoadBalancerName") or "",
            _ISOLATED if found.get("Isolation") == 1 else read_word(_BALANCER_STATES, found.get("Status")),
            {
                "scheme": found.get("LoadBalancerType") or "",
                "kind": "application" if found.get("Forward") == 1 else "classic",
                "dns_name": found.get("LoadBalancerDomain") or found.get("Domain") or "",
                "flavor": found.get("SlaType") or "",
                "zone": (found.get("MasterZone") or {}).get("Zone") or "",
                "charge_type": charge_type,
                "created_at": read_time(found.get("CreateTime")),
                "paid_until": read_paid_until(found.get("ExpireTime"), is_prepaid=charge_type == "PREPAID"),
                "tags": read_tags(found, "Tags"),
            },
            tuple(sorted(address for address in addresses if address)),
            (
                *make_links("network", [found.get("VpcId")]),
                *make_links("subnet", [found.get("SubnetId")]),
                *make_links("security_group", found.get("SecureGroups")),
            ),
        )


@register_syncer
class CacheSyncer(TencentSyncer):
    """Instances of Redis: `engine`, `engine_version`, `kind`, `memory_mb`, `shards`, `replicas`, `zone`, `endpoint`, `port`,
    `created_at`, `paid_until`, `tags`. Links lead to network and subnet.
    """

    type = "cache"
    label = _("cache")
    order = 81
    service, operation, member = "redis", "DescribeInstances", "InstanceSet"
    id_member, name_member = "InstanceId", "InstanceName"
    page_size = 500
    permissions = ("redis:DescribeInstances", "cvm:DescribeZones")

    def list_objects(self, client: TencentRegion) -> Iterator[list[dict[str, Any]]]:
        """Yield the instances with the names of their zones, of which this service knows only the numbers."""
        names: dict[str, str] | None = None
        for page in super().list_objects(client):
            if page and names is None:
                zones = client.list_once("cvm", "DescribeZones", "ZoneSet")
                names = {str(zone.get("ZoneId")): str(zone.get("Zone") or "") for zone in zones}
            for found in page:
                if isinstance(found, dict):
                    found[_ZONE] = (names or {}).get(str(found.get("ZoneId")), "")
            yield page

    def convert(self, found: dict[str, Any]) -> ListedResource:
        """Convert an instance."""
        size = found.get("Size")
        address = str(found.get("WanIp") or "")
        return ListedResource(
            found["InstanceId"],
            found.get("InstanceName") or "",
            read_word(_CACHE_STATES, found.get("Status")),
            {
                "engine": found.get("Engine") or "",
                "engine_version": found.get("CurrentRedisVersion") or "",
                "kind": found.get("ProductType") or "",
                "memory_mb": None if size is None else round(size),
                "shards": found.get("RedisShardNum"),
                "replicas": found.get("RedisReplicasNum"),
                "zone": found.get(_ZONE) or "",
                "endpoint": address,
                "port": found.get("Port"),
                "created_at": read_time(found.get("Createtime")),
                "paid_until": read_paid_until(
                    found.get("DeadlineTime"), is_prepaid=found.get("BillingMode") == 1
                ),
                "tags": read_tags(found, "InstanceTags"),
            },
            (address,) if address else (),
            (
                *make_links("network", [found.get("UniqVpcId")]),
                *make_links("subnet", [found.get("UniqSubnetId")]),
            ),
        )


@register_syncer
class DatabaseSyncer(TencentSyncer):
    """Instances of MySQL: `engine`, `engine_version`, `role`, `flavor`, `vcpus`, `memory_mb`, `size_gb`, `zone`, `is_multi_zone`,
    `endpoint`, `port`, `created_at`, `paid_until`, `tags`. Links lead to network and subnet.
    """

    type = "database"
    label = _("database")
    order = 82
    service, operation, member = "cdb", "DescribeDBInstances", "Items"
    id_member, name_member = "InstanceId", "InstanceName"
    page_size = 500
    permissions = ("cdb:DescribeDBInstances",)

    def convert(self, found: dict[str, Any]) -> ListedResource:
        """Convert an instance."""
        address = str(found.get("Vip") or "")
        return ListedResource(
            found["InstanceId"],
            found.get("InstanceName") or "",
            read_word(_DATABASE_STATES, found.get("Status")),
            {
                "engine": "mysql",
                "engine_version": found.get("EngineVersion") or "",
                "role": read_word(_DATABASE_ROLES, found.get("InstanceType")),
                "flavor": found.get("DeviceType") or "",
                "vcpus": found.get("Cpu"),
                "memory_mb": found.get("Memory"),
                "size_gb": found.get("Volume"),
                "zone": found.get("Zone") or "",
                "is_multi_zone": found.get("DeployMode") == 1,
                "endpoint": address,
                "port": found.get("Vport"),
                "created_at": read_time(found.get("CreateTime")),
                "paid_until": read_paid_until(
                    found.get("DeadlineTime"), is_prepaid=found.get("PayType") == 0
                ),
                "tags": read_tags(found, "TagList"),
            },
            (address,) if address else (),
            (
                *make_links("network", [found.get("UniqVpcId")]),
                *make_links("subnet", [found.get("UniqSubnetId")]),
            ),
        )
