"""Syncers of AWS's managed services: load balancers, caches, databases."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _

from ...registry import Link, ListedResource, register_syncer
from ..vendors import format_time
from .provider import AwsSyncer, read_tags


@register_syncer
class LoadBalancerSyncer(AwsSyncer):
    """Load balancers: `kind`, `scheme`, `dns_name`, `zones`, `created_at`. Links lead to network, subnets, security groups."""

    type = "load_balancer"
    label = _("load balancer")
    order = 80
    service, operation, member, id_member = (
        "elbv2",
        "describe_load_balancers",
        "LoadBalancers",
        "LoadBalancerArn",
    )
    page_size = 400
    permissions = ("elasticloadbalancing:DescribeLoadBalancers",)

    def convert(self, found: dict[str, Any]) -> ListedResource:
        """Convert a load balancer."""
        zones = found.get("AvailabilityZones") or ()
        addresses = sorted(
            {
                address
                for zone in zones
                for one in zone.get("LoadBalancerAddresses") or ()
                for address in (one.get("IpAddress"), one.get("PrivateIPv4Address"), one.get("IPv6Address"))
                if address
            }
        )
        subnets = sorted({zone["SubnetId"] for zone in zones if zone.get("SubnetId")})
        return ListedResource(
            found["LoadBalancerArn"],
            found.get("LoadBalancerName", ""),
            (found.get("State") or {}).get("Code", ""),
            {
                "kind": found.get("Type", ""),
                "scheme": found.get("Scheme", ""),
                "dns_name": found.get("DNSName", ""),
                "zones": sorted({zone["ZoneName"] for zone in zones if zone.get("ZoneName")}),
                "created_at": format_time(found.get("CreatedTime")),
            },
            tuple(addresses),
            (
                *([Link("network", found["VpcId"])] if found.get("VpcId") else []),
                *(Link("subnet", subnet_id) for subnet_id in subnets),
                *(Link("security_group", group_id) for group_id in sorted(found.get("SecurityGroups") or ())),
            ),
        )


@register_syncer
class CacheSyncer(AwsSyncer):
    """Clusters of ElastiCache: `engine`, `engine_version`, `flavor` (the node type), `nodes`, `zone`, `endpoint`, `created_at`."""

    type = "cache"
    label = _("cache")
    order = 81
    service, operation, member, id_member = (
        "elasticache",
        "describe_cache_clusters",
        "CacheClusters",
        "CacheClusterId",
    )
    params = {"ShowCacheNodeInfo": True}
    page_size = 100
    permissions = ("elasticache:DescribeCacheClusters",)

    def convert(self, found: dict[str, Any]) -> ListedResource:
        """Convert a cluster."""
        nodes = [node.get("Endpoint") or {} for node in found.get("CacheNodes") or ()]
        endpoint = found.get("ConfigurationEndpoint") or (nodes[0] if nodes else {})
        groups = sorted(
            {
                one["SecurityGroupId"]
                for one in found.get("SecurityGroups") or ()
                if one.get("SecurityGroupId")
            }
        )
        return ListedResource(
            found["CacheClusterId"],
            found["CacheClusterId"],
            found.get("CacheClusterStatus", ""),
            {
                "engine": found.get("Engine", ""),
                "engine_version": found.get("EngineVersion", ""),
                "flavor": found.get("CacheNodeType", ""),
                "nodes": found.get("NumCacheNodes"),
                "zone": found.get("PreferredAvailabilityZone", ""),
                "endpoint": endpoint.get("Address", ""),
                "port": endpoint.get("Port"),
                "created_at": format_time(found.get("CacheClusterCreateTime")),
            },
            links=tuple(Link("security_group", group_id) for group_id in groups),
        )


@register_syncer
class DatabaseSyncer(AwsSyncer):
    """Instances of RDS: `engine`, `engine_version`, `flavor` (the instance class), `size_gb`, `zone`, `is_multi_zone`, `is_public`,
    `endpoint`, `port`, `created_at`, `tags`. Links lead to network, subnets, security groups.
    """

    type = "database"
    label = _("database")
    order = 82
    service, operation, member, id_member = (
        "rds",
        "describe_db_instances",
        "DBInstances",
        "DBInstanceIdentifier",
    )
    page_size = 100
    permissions = ("rds:DescribeDBInstances",)

    def convert(self, found: dict[str, Any]) -> ListedResource:
        """Convert a database."""
        endpoint = found.get("Endpoint") or {}
        placement = found.get("DBSubnetGroup") or {}
        subnets = sorted(
            {one["SubnetIdentifier"] for one in placement.get("Subnets") or () if one.get("SubnetIdentifier")}
        )
        groups = sorted(
            {
                one["VpcSecurityGroupId"]
                for one in found.get("VpcSecurityGroups") or ()
                if one.get("VpcSecurityGroupId")
            }
        )
        return ListedResource(
            found["DBInstanceIdentifier"],
            found["DBInstanceIdentifier"],
            found.get("DBInstanceStatus", ""),
            {
                "engine": found.get("Engine", ""),
                "engine_version": found.get("EngineVersion", ""),
                "flavor": found.get("DBInstanceClass", ""),
                "size_gb": found.get("AllocatedStorage"),
                "zone": found.get("AvailabilityZone", ""),
                "is_multi_zone": bool(found.get("MultiAZ")),
                "is_public": bool(found.get("PubliclyAccessible")),
                "endpoint": endpoint.get("Address", ""),
                "port": endpoint.get("Port"),
                "created_at": format_time(found.get("InstanceCreateTime")),
                "tags": read_tags(found, "TagList"),
            },
            links=(
                *([Link("network", placement["VpcId"])] if placement.get("VpcId") else []),
                *(Link("subnet", subnet_id) for subnet_id in subnets),
                *(Link("security_group", group_id) for group_id in groups),
            ),
        )
