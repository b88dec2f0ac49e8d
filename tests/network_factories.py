"""Factories of security groups, floating IPs, server groups, and of the interfaces of VMs as a sync finds them."""

from __future__ import annotations

from uuid import uuid4

import factory
from django.utils import timezone
from factory.django import DjangoModelFactory

from cloudaccounts.models import CloudResource, ResourceLink
from networks.models import FloatingIp, SecurityGroup, ServerGroup
from vms.models import VirtualMachine

from .factories import CloudAccountFactory, CloudResourceFactory, InformationSystemFactory, TenantFactory


class SecurityGroupFactory(DjangoModelFactory[SecurityGroup]):
    """A security group in a shared account, with the rule that Neutron gives every group."""

    class Meta:
        model = SecurityGroup

    tenant = factory.SubFactory(TenantFactory)
    account = factory.SubFactory(CloudAccountFactory)
    region = "RegionOne"
    cloud_id = factory.LazyFunction(lambda: str(uuid4()))
    status = "active"
    name = factory.Sequence(lambda n: f"group-{n}")
    rules = factory.LazyFunction(
        lambda: [{"id": str(uuid4()), "direction": "egress", "ethertype": "IPv4", "description": ""}]
    )


class FloatingIpFactory(DjangoModelFactory[FloatingIp]):
    """A floating IP in a shared account, attached to nothing."""

    class Meta:
        model = FloatingIp

    tenant = factory.SubFactory(TenantFactory)
    account = factory.SubFactory(CloudAccountFactory)
    region = "RegionOne"
    cloud_id = factory.LazyFunction(lambda: str(uuid4()))
    status = "active"
    network_id = "external"
    network_name = "external"
    address = factory.Sequence(lambda n: f"203.0.113.{n % 250 + 1}")
    unattached_since = factory.LazyFunction(timezone.now)


class ServerGroupFactory(DjangoModelFactory[ServerGroup]):
    """A server group in a shared account."""

    class Meta:
        model = ServerGroup

    information_system = factory.SubFactory(InformationSystemFactory)
    account = factory.SubFactory(CloudAccountFactory)
    region = "RegionOne"
    cloud_id = factory.LazyFunction(lambda: str(uuid4()))
    status = "active"
    name = factory.Sequence(lambda n: f"spread-{n}")
    policy = "anti-affinity"


def create_external_network(account: object) -> CloudResource:
    """Create the resource of an external network."""
    network: CloudResource = CloudResourceFactory(
        account=account,
        type="network",
        name="external",
        status="ACTIVE",
        attributes={"is_external": True, "cidrs": ["203.0.113.0/24"]},
    )
    return network


def create_interface(vm: VirtualMachine, *groups: SecurityGroup) -> CloudResource:
    """Create the resource of a port on a VM's server, with security groups."""
    attributes = {
        "fixed_ips": ["10.20.0.9"],
        "mac_address": "fa:16:3e:00:00:01",
        "is_port_security_enabled": True,
    }
    port: CloudResource = CloudResourceFactory(
        account=vm.account, region=vm.region, type="port", cloud_id=str(uuid4()), attributes=attributes
    )
    targets = [
        ("server", str(vm.openstack_id)),
        *(("security_group", str(group.cloud_id)) for group in groups),
    ]
    ResourceLink.objects.bulk_create(
        ResourceLink(
            source=port,
            kind=f"port-{kind}",
            account=vm.account,
            region=vm.region,
            target_type=kind,
            target_cloud_id=target,
        )
        for kind, target in targets
    )
    return port
