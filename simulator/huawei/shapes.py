"""Objects as the services of Huawei Cloud describe them in their answers. What a caller gives replaces what is usual."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

CREATED = "2026-03-01T08:00:00Z"


def _id() -> str:
    return str(uuid.uuid4())


def zone(name: str, *, is_available: bool = True) -> dict[str, Any]:
    """Return a zone of ECS."""
    return {"zoneName": name, "zoneState": {"available": is_available}, "hosts": None}


def keypair(name: str) -> dict[str, Any]:
    """Return a key pair of ECS, without the object around it."""
    return {
        "name": name,
        "type": "ssh",
        "fingerprint": "49:ef:73:2b:9b:7f:2e:0c:58:d3:e3:42:8e:28:04:3b",
        "public_key": "ssh-rsa AAAAB3NzaC1yc2E= Generated-by-Nova",
    }


def network(name: str, cidr: str = "192.168.0.0/16", **given: Any) -> dict[str, Any]:
    """Return a VPC (v3)."""
    found: dict[str, Any] = {
        "id": _id(),
        "name": name,
        "description": "",
        "cidr": cidr,
        "extend_cidrs": [],
        "status": "ACTIVE",
        "project_id": "",
        "enterprise_project_id": "0",
        "created_at": CREATED,
        "updated_at": CREATED,
        "cloud_resources": [{"resource_type": "routetable", "resource_count": 1}],
        "tags": [],
    }
    return found | given


def subnet(name: str, network_id: str, cidr: str = "192.168.0.0/24", **given: Any) -> dict[str, Any]:
    """Return a subnet (v1)."""
    found: dict[str, Any] = {
        "id": _id(),
        "name": name,
        "description": "",
        "cidr": cidr,
        "gateway_ip": "192.168.0.1",
        "ipv6_enable": False,
        "cidr_v6": None,
        "gateway_ip_v6": None,
        "dhcp_enable": True,
        "primary_dns": "100.125.1.250",
        "secondary_dns": "100.125.129.250",
        "dnsList": ["100.125.1.250", "100.125.129.250"],
        "availability_zone": "",
        "vpc_id": network_id,
        "status": "ACTIVE",
        "neutron_network_id": "",
        "neutron_subnet_id": _id(),
        "tenant_id": "",
        "created_at": CREATED,
        "available_ip_address_count": 251,
    }
    return found | given


def security_group(name: str, **given: Any) -> dict[str, Any]:
    """Return a security group (v3), whose rules are listed on their own."""
    found: dict[str, Any] = {
        "id": _id(),
        "name": name,
        "description": "",
        "project_id": "",
        "enterprise_project_id": "0",
        "created_at": CREATED,
        "updated_at": CREATED,
        "tags": [],
    }
    return found | given


def rule(group_id: str, **given: Any) -> dict[str, Any]:
    """Return a rule of a security group (v3): from anywhere, for any protocol."""
    found: dict[str, Any] = {
        "id": _id(),
        "description": "",
        "security_group_id": group_id,
        "direction": "ingress",
        "protocol": None,
        "ethertype": "IPv4",
        "multiport": None,
        "action": "allow",
        "priority": 1,
        "remote_group_id": None,
        "remote_ip_prefix": None,
        "remote_address_group_id": None,
        "enabled": True,
        "created_at": CREATED,
        "updated_at": CREATED,
        "project_id": "",
    }
    return found | given


def port(subnet_id: str, address: str, server_id: str = "", **given: Any) -> dict[str, Any]:
    """Return a port (v1)."""
    found: dict[str, Any] = {
        "id": _id(),
        "name": "",
        "network_id": subnet_id,
        "admin_state_up": True,
        "mac_address": "fa:16:3e:95:88:3f",
        "fixed_ips": [{"subnet_id": _id(), "ip_address": address}],
        "device_id": server_id,
        "device_owner": "compute:cn-north-4a" if server_id else "",
        "tenant_id": "",
        "status": "ACTIVE" if server_id else "DOWN",
        "security_groups": [],
        "zone_id": "cn-north-4a",
    }
    return found | given


def server(
    name: str, *, network_id: str, addresses: Sequence[Mapping[str, Any]] = (), **given: Any
) -> dict[str, Any]:
    """Return a server (v1). `addresses` are those of its interfaces: addr, OS-EXT-IPS:port_id, OS-EXT-IPS:type."""
    found: dict[str, Any] = {
        "id": _id(),
        "name": name,
        "status": "ACTIVE",
        "created": CREATED,
        "updated": CREATED,
        "tenant_id": "",
        "flavor": {
            "id": "s6.large.2",
            "name": "s6.large.2",
            "vcpus": "2",
            "ram": "4096",
            "disk": "0",
            "gpus": [],
        },
        "image": {"id": _id()},
        "key_name": None,
        "addresses": {network_id: [{"version": "4", **one} for one in addresses]},
        "security_groups": [],
        "metadata": {
            "charging_mode": "0",
            "vpc_id": network_id,
            "metering.imagetype": "gold",
            "image_name": "Ubuntu 22.04 server 64bit",
            "os_type": "Linux",
        },
        "tags": [],
        "sys_tags": [{"key": "_sys_enterprise_project_id", "value": "0"}],
        "fault": None,
        "auto_terminate_time": "",
        "OS-EXT-AZ:availability_zone": "cn-north-4a",
        "OS-EXT-STS:task_state": None,
        "OS-EXT-STS:vm_state": "active",
        "OS-EXT-STS:power_state": 1,
        "os-extended-volumes:volumes_attached": [],
        "enterprise_project_id": "0",
    }
    return found | given


def volume(name: str, size: int = 40, **given: Any) -> dict[str, Any]:
    """Return a volume (v2)."""
    found: dict[str, Any] = {
        "id": _id(),
        "name": name,
        "status": "available",
        "attachments": [],
        "availability_zone": "cn-north-4a",
        "snapshot_id": None,
        "description": None,
        "created_at": "2026-03-01T08:00:00.123456",
        "updated_at": "2026-03-01T08:00:00.123456",
        "volume_type": "SSD",
        "size": size,
        "bootable": "false",
        "metadata": {},
        "encrypted": False,
        "shareable": "false",
        "multiattach": False,
        "service_type": "EVS",
        "tags": {},
        "enterprise_project_id": "0",
        "iops": None,
    }
    return found | given


def snapshot(name: str, volume_id: str, size: int = 40, **given: Any) -> dict[str, Any]:
    """Return a snapshot (v2)."""
    found: dict[str, Any] = {
        "id": _id(),
        "name": name,
        "status": "available",
        "description": None,
        "created_at": "2026-03-02T08:00:00.123456",
        "updated_at": "2026-03-02T08:00:00.123456",
        "metadata": {},
        "volume_id": volume_id,
        "size": size,
        "os-extended-snapshot-attributes:progress": "100%",
        "service_type": "EVS",
    }
    return found | given


def image(name: str, kind: str = "private", **given: Any) -> dict[str, Any]:
    """Return an image (v2)."""
    found: dict[str, Any] = {
        "id": _id(),
        "name": name,
        "status": "active",
        "__imagetype": kind,
        "__os_type": "Linux",
        "__platform": "Ubuntu",
        "__os_version": "Ubuntu 22.04 server 64bit",
        "__os_bit": "64",
        "__image_size": "1073741824",
        "__support_kvm": "true",
        "min_disk": 40,
        "min_ram": 0,
        "visibility": "private",
        "owner": "",
        "tags": [],
        "created_at": CREATED,
        "updated_at": CREATED,
    }
    return found | given


def floating_ip(address: str, **given: Any) -> dict[str, Any]:
    """Return an elastic IP (v3), of nobody."""
    found: dict[str, Any] = {
        "id": _id(),
        "alias": "",
        "project_id": "",
        "ip_version": 4,
        "public_ip_address": address,
        "public_ipv6_address": "",
        "status": "DOWN",
        "description": "",
        "type": "EIP",
        "vnic": None,
        "bandwidth": {"id": _id(), "name": "bandwidth-1", "size": 5, "share_type": "PER"},
        "billing_info": "",
        "lock_status": None,
        "associate_instance_type": "",
        "associate_instance_id": "",
        "publicip_pool_name": "5_bgp",
        "created_at": CREATED,
        "updated_at": CREATED,
        "tags": [],
        "enterprise_project_id": "0",
    }
    return found | given


def load_balancer(name: str, network_id: str, **given: Any) -> dict[str, Any]:
    """Return a load balancer (v3)."""
    found: dict[str, Any] = {
        "id": _id(),
        "name": name,
        "description": "",
        "provisioning_status": "ACTIVE",
        "operating_status": "ONLINE",
        "admin_state_up": True,
        "guaranteed": True,
        "provider": "vlb",
        "vpc_id": network_id,
        "vip_address": "192.168.0.20",
        "vip_port_id": _id(),
        "vip_subnet_cidr_id": _id(),
        "ipv6_vip_address": None,
        "elb_virsubnet_ids": [],
        "availability_zone_list": ["cn-north-4a", "cn-north-4b"],
        "listeners": [{"id": _id()}],
        "pools": [],
        "eips": [],
        "publicips": [],
        "tags": [],
        "billing_info": "",
        "created_at": CREATED,
        "updated_at": CREATED,
    }
    return found | given


def cache(name: str, network_id: str, **given: Any) -> dict[str, Any]:
    """Return an instance of DCS (v2)."""
    found: dict[str, Any] = {
        "instance_id": _id(),
        "name": name,
        "status": "RUNNING",
        "engine": "Redis",
        "engine_version": "6.0",
        "spec_code": "redis.ha.xu1.large.r2.2",
        "capacity": 2,
        "capacity_minor": "",
        "max_memory": 2048,
        "used_memory": 5,
        "ip": "192.168.0.30",
        "port": 6379,
        "domain_name": f"redis-{name}.dcs.huaweicloud.com",
        "vpc_id": network_id,
        "vpc_name": "",
        "subnet_id": "",
        "security_group_id": "",
        "publicip_id": None,
        "publicip_address": None,
        "charging_mode": 0,
        "order_id": None,
        "az_codes": ["cn-north-4a", "cn-north-4b"],
        "created_at": "2026-03-01T08:00:00.123Z",
        "updated_at": "2026-03-01T08:00:00.123Z",
        "tags": None,
    }
    return found | given


def database(name: str, network_id: str, **given: Any) -> dict[str, Any]:
    """Return an instance of RDS (v3). Its times have the zone of the account."""
    found: dict[str, Any] = {
        "id": _id(),
        "name": name,
        "status": "ACTIVE",
        "type": "Ha",
        "datastore": {"type": "PostgreSQL", "version": "14", "complete_version": "14.6"},
        "flavor_ref": "rds.pg.n1.large.2.ha",
        "cpu": "2",
        "mem": "4",
        "volume": {"type": "CLOUDSSD", "size": 100},
        "port": 5432,
        "private_ips": ["192.168.0.40"],
        "private_dns_names": [f"{name}.internal.cn-north-4.postgresql.rds.myhuaweicloud.com"],
        "public_ips": [],
        "nodes": [
            {"id": _id(), "name": f"{name}_node1", "role": "slave", "availability_zone": "cn-north-4b"},
            {"id": _id(), "name": f"{name}_node0", "role": "master", "availability_zone": "cn-north-4a"},
        ],
        "vpc_id": network_id,
        "subnet_id": "",
        "security_group_id": "",
        "region": "cn-north-4",
        "charge_info": {"charge_mode": "postPaid"},
        "order_id": None,
        "expiration_time": None,
        "created": "2026-03-01T16:00:00+0800",
        "updated": "2026-03-01T16:00:00+0800",
        "tags": [],
    }
    return found | given
