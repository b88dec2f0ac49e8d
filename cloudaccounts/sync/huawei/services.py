"""Syncers of managed services: load balancers (ELB), caches (DCS), databases (RDS)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext_lazy as _

from ...registry import ListedResource, register_syncer
from .listings import Listing, Paging
from .provider import PAID_UNTIL, HuaweiSyncer
from .values import build_links, read_number, read_paid_until, read_tags


@register_syncer
class LoadBalancerSyncer(HuaweiSyncer):
    """Load balancers: `kind` (shared, dedicated), `zones`, `description`, `listeners` (their number), `is_prepaid`, `paid_until`, `created_at`,
    `tags`. The status is that of its operation if it is frozen or offline, else that of its provisioning. Links lead to
    network, subnets, port, floating IPs.
    """

    type = "load_balancer"
    label = _("load balancer")
    order = 80
    listing = Listing(
        "elb",
        "/v3/{project_id}/elb/loadbalancers",
        "loadbalancers",
        "elb:loadbalancers:list",
        Paging.PAGE_INFO,
        2000,
    )
    permissions = ("elb:loadbalancers:list",)

    def is_prepaid(self, found: Mapping[str, Any]) -> bool:
        """Return whether a load balancer is paid by month or year: only such a one has an order."""
        return bool(found.get("billing_info"))

    def convert(self, found: dict[str, Any]) -> ListedResource:
        """Convert a load balancer."""
        operating = found.get("operating_status") or ""
        public = found.get("publicips") or ()
        addresses = [
            found.get("vip_address"),
            found.get("ipv6_vip_address"),
            *sorted(one.get("publicip_address") or "" for one in public),
        ]
        return ListedResource(
            found["id"],
            found.get("name") or "",
            operating if operating not in {"", "ONLINE"} else found.get("provisioning_status") or operating,
            {
                "kind": "dedicated" if found.get("guaranteed") else "shared",
                "zones": sorted(found.get("availability_zone_list") or ()),
                "description": found.get("description") or "",
                "listeners": len(found.get("listeners") or ()),
                "is_prepaid": self.is_prepaid(found),
                "paid_until": read_paid_until(found.get(PAID_UNTIL)),
                "created_at": found.get("created_at") or "",
                "tags": read_tags(found.get("tags")),
            },
            tuple(dict.fromkeys(address for address in addresses if address)),
            build_links(
                ("network", found.get("vpc_id")),
                *sorted(("subnet", one) for one in found.get("elb_virsubnet_ids") or ()),
                ("port", found.get("vip_port_id")),
                *sorted(("floating_ip", one.get("publicip_id") or "") for one in public),
            ),
        )


@register_syncer
class CacheSyncer(HuaweiSyncer):
    """Instances of Distributed Cache Service: `engine`, `engine_version`, `flavor`, `size_gb`, `memory_mb`, `zones`, `endpoint`,
    `port`, `is_prepaid`, `order_id`, `paid_until`, `created_at`, `tags`. Links lead to network, subnet, security group, floating IP.
    """

    type = "cache"
    label = _("cache")
    order = 81
    id_member = "instance_id"
    listing = Listing(
        "dcs",
        "/v2/{project_id}/instances",
        "instances",
        "dcs:instance:list",
        Paging.OFFSET,
        1000,
        id_member="instance_id",
        total="instance_num",
        # Without it, the total counts instances that the listing leaves out.
        query=(("include_failure", "true"),),
    )
    permissions = ("dcs:instance:list",)

    def is_prepaid(self, found: Mapping[str, Any]) -> bool:
        """Return whether a cache is paid by month or year."""
        return found.get("charging_mode") == 1

    def convert(self, found: dict[str, Any]) -> ListedResource:
        """Convert a cache."""
        # A cluster has several addresses in one text.
        addresses = [
            *str(found.get("ip") or "").replace(",", " ").split(),
            str(found.get("publicip_address") or ""),
        ]
        return ListedResource(
            found["instance_id"],
            found.get("name") or "",
            found.get("status") or "",
            {
                "engine": found.get("engine") or "",
                "engine_version": found.get("engine_version") or "",
                "flavor": found.get("spec_code") or "",
                # Small instances have the size 0, and their part of a gigabyte elsewhere.
                "size_gb": read_number(found.get("capacity")) or read_number(found.get("capacity_minor")),
                "memory_mb": read_number(found.get("max_memory")),
                "zones": sorted(found.get("az_codes") or ()),
                "endpoint": found.get("domain_name") or "",
                "port": read_number(found.get("port")),
                "is_prepaid": self.is_prepaid(found),
                "paid_until": read_paid_until(found.get(PAID_UNTIL)),
                "order_id": found.get("order_id") or "",
                "created_at": found.get("created_at") or "",
                "tags": read_tags(found.get("tags")),
            },
            tuple(dict.fromkeys(address for address in addresses if address)),
            build_links(
                ("network", found.get("vpc_id")),
                ("subnet", found.get("subnet_id")),
                ("security_group", found.get("security_group_id")),
                ("floating_ip", found.get("publicip_id")),
            ),
        )


@register_syncer
class DatabaseSyncer(HuaweiSyncer):
    """Instances of Relational Database Service: `engine`, `engine_version`, `flavor`, `vcpus`, `memory_mb`, `size_gb`, `zone` (of
    the primary), `kind` (Single, Ha, Replica), `is_public`, `endpoint`, `port`, `is_prepaid`, `order_id`, `paid_until`, `created_at`,
    `tags`. Links lead to network, subnet, security group.
    """

    type = "database"
    label = _("database")
    order = 82
    listing = Listing(
        "rds",
        "/v3/{project_id}/instances",
        "instances",
        "rds:instance:list",
        Paging.OFFSET,
        100,
        total="total_count",
    )
    permissions = ("rds:instance:list",)

    def convert(self, found: dict[str, Any]) -> ListedResource:
        """Convert a database."""
        store, nodes = found.get("datastore") or {}, found.get("nodes") or ()
        primary = next((one for one in nodes if one.get("role") == "master"), nodes[0] if nodes else {})
        private, public = found.get("private_ips") or (), found.get("public_ips") or ()
        names = found.get("private_dns_names") or ()
        memory = read_number(found.get("mem"))
        is_prepaid = (found.get("charge_info") or {}).get("charge_mode") == "prePaid"
        return ListedResource(
            found["id"],
            found.get("name") or "",
            found.get("status") or "",
            {
                "engine": store.get("type") or "",
                "engine_version": store.get("complete_version") or store.get("version") or "",
                "flavor": found.get("flavor_ref") or "",
                "vcpus": read_number(found.get("cpu")),
                "memory_mb": round(memory * 1024) if memory else None,
                "size_gb": read_number((found.get("volume") or {}).get("size")),
                "zone": primary.get("availability_zone") or "",
                "kind": found.get("type") or "",
                "is_public": bool(public),
                "endpoint": names[0] if names else "",
                "port": read_number(found.get("port")),
                "is_prepaid": is_prepaid,
                "order_id": found.get("order_id") or "",
                "paid_until": read_paid_until(found.get("expiration_time")) if is_prepaid else "",
                "created_at": found.get("created") or "",
                "tags": read_tags(found.get("tags")),
            },
            tuple(dict.fromkeys(address for address in (*private, *public) if address)),
            build_links(
                ("network", found.get("vpc_id")),
                ("subnet", found.get("subnet_id")),
                ("security_group", found.get("security_group_id")),
            ),
        )
