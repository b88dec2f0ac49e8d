"""Who can reach a VM, in words, from what the portal last saw: no cloud is asked."""

from __future__ import annotations

import pytest

from tests.factories import TenantFactory, VirtualMachineFactory
from tests.network_factories import FloatingIpFactory, SecurityGroupFactory, create_interface
from vms.services.interfaces import list_interfaces
from vms.services.reachability import describe_reachability

pytestmark = pytest.mark.django_db


@pytest.fixture
def vm():
    """A VM whose server reports a floating IP on its interface."""
    address = {"ip": "203.0.113.9", "kind": "floating", "mac": "fa:16:3e:00:00:01", "network": "internal"}
    return VirtualMachineFactory(status="running", addresses=[address])


def create_floating_ip(vm, tenant=None, **columns):
    return FloatingIpFactory(
        tenant=tenant or vm.information_system.tenant,
        account=vm.account,
        region=vm.region,
        address="203.0.113.9",
        **columns,
    )


def open_to_everybody(vm, *families):
    """Give the VM an interface whose group lets everybody of some address families reach its web server."""
    rules = [
        {"direction": "ingress", "ethertype": family, "protocol": "tcp", "port_min": 443, "port_max": 443}
        for family in families
    ]
    group = SecurityGroupFactory(
        tenant=vm.information_system.tenant, account=vm.account, region=vm.region, rules=rules
    )
    return create_interface(vm, group)


@pytest.mark.parametrize(
    ("families", "summary"),
    [
        (["IPv4"], "Reachable from outside at 203.0.113.9."),
        (["IPv4", "IPv6"], "Reachable from outside at 203.0.113.9."),
        (["IPv6"], "Reachable from outside at 203.0.113.9, but only from the sources below."),
    ],
)
def test_a_rule_for_ipv6_alone_does_not_open_a_floating_ip_to_everybody(vm, families, summary):
    port = open_to_everybody(vm, *families)
    create_floating_ip(vm, port_id=port.cloud_id)

    (reached,) = describe_reachability(vm).interfaces

    assert reached.summary == summary


def test_a_floating_ip_that_was_detached_is_not_shown_as_one_of_another_owner(vm):
    open_to_everybody(vm, "IPv4")
    create_floating_ip(vm)  # The server reports it until the next status sync.

    (interface,) = list_interfaces(vm)
    (reached,) = describe_reachability(vm).interfaces

    assert (interface.floating_ips, interface.other_addresses) == ([], [])
    assert "No floating IP" in reached.summary


def test_a_floating_ip_of_another_owner_is_shown_by_its_address_alone(vm):
    open_to_everybody(vm, "IPv4")
    create_floating_ip(vm, TenantFactory())

    (interface,) = list_interfaces(vm)

    assert (interface.floating_ips, interface.other_addresses) == ([], ["203.0.113.9"])
