"""What the tests of groups, ports and floating IPs share: a network behind a router, and things that are removed at the end."""

import contextlib
import uuid
from types import SimpleNamespace

import pytest

from openstack_client import CloudNotFoundError
from tests.listings import read_all_pages

NOBODY = "00000000-0000-4000-8000-000000000000"
CIDR = "192.168.83.0/28"


@pytest.fixture
def make_group(cloud, tag):
    """Create security groups, and remove them at the end of the test."""
    created = []

    def make(**more):
        group = cloud.network.create_security_group(**{"name": tag, **more})
        created.append(group.id)
        return group

    yield make
    for group_id in created:
        cloud.network.delete_security_group(group_id)


@pytest.fixture
def limit_network(cloud, administrator):
    """Set Neutron's limits for the project, each this much above its usage, and restore them at the end of the test."""
    path = f"/quotas/{cloud.project_id}"
    before = {quota.name: quota.limit for quota in cloud.network.list_quotas()}
    changed = set()

    def put(limits):
        answer = administrator.network.put(path, json={"quota": limits})
        assert answer.status_code == 200, answer.text

    def limit(**more):
        now = {quota.name: quota.in_use for quota in cloud.network.list_quotas()}
        changed.update(more)
        put({name: now[name] + count for name, count in more.items()})

    yield limit
    put({name: before[name] for name in changed})


@pytest.fixture
def make_port(cloud, own_network, make_group, tag):
    """Create ports on the network of these tests, and remove them at the end of the test, before their groups."""
    created = []

    def make(network_id=None, **more):
        port = cloud.network.create_port(network_id or own_network.id, **{"name": tag, **more})
        created.append(port.id)
        return port

    yield make
    for port_id in created:
        cloud.network.delete_port(port_id)


@pytest.fixture
def make_floating_ip(cloud, external, tag):
    """Take floating IPs, and give them back at the end of the test."""
    created = []

    def make(network_id=None, **more):
        made = cloud.network.create_floating_ip(network_id or external.id, **{"description": tag, **more})
        created.append(made.id)
        return made

    yield make
    for floating_ip_id in created:
        cloud.network.delete_floating_ip(floating_ip_id)


@pytest.fixture(scope="session")
def external(cloud):
    """An external network, none of a test's own."""
    found = [n for n in read_all_pages(cloud.network.network_pages()) if n.is_external]
    return next(n for n in found if not n.name.startswith("contract-"))


@pytest.fixture(scope="module")
def own_network(cloud, sdk, external):
    """A network of 13 addresses (its gateway is one of them), which `router_id` connects to the external network."""
    tag = f"contract-{uuid.uuid4()}"
    with contextlib.ExitStack() as undo:
        network = sdk.network.create_network(name=tag)
        undo.callback(sdk.network.delete_network, network.id)
        subnet = sdk.network.create_subnet(network_id=network.id, ip_version=4, cidr=CIDR, name=f"{tag}-v4")
        router = sdk.network.create_router(name=tag, external_gateway_info={"network_id": external.id})
        undo.callback(sdk.network.delete_router, router.id)
        sdk.network.add_interface_to_router(router, subnet=subnet.id)
        undo.callback(sdk.network.remove_interface_from_router, router, subnet=subnet.id)
        yield SimpleNamespace(id=network.id, subnet_id=subnet.id, router_id=router.id, name=tag)


@pytest.fixture
def closed_network(sdk, tag):
    """A network without a router, of 3 addresses: 192.168.84.2 to 192.168.84.4 of the range 192.168.84.0/28; and its gateway."""
    network = sdk.network.create_network(name=f"{tag}-closed")
    pools = [{"start": "192.168.84.2", "end": "192.168.84.4"}]
    subnet = sdk.network.create_subnet(
        network_id=network.id, ip_version=4, cidr="192.168.84.0/28", allocation_pools=pools, name="closed"
    )
    yield SimpleNamespace(id=network.id, subnet_id=subnet.id)
    for port in list(sdk.network.ports(network_id=network.id)):
        sdk.network.delete_port(port.id)
    sdk.network.delete_network(network.id)


@pytest.fixture
def small_external_network(cloud, administrator, tag):
    """An external network with one address for floating IPs, behind no router."""
    network = administrator.network.create_network(name=f"{tag}-ext", is_router_external=True)
    pools = [{"start": "198.51.100.10", "end": "198.51.100.10"}]
    administrator.network.create_subnet(
        network_id=network.id,
        ip_version=4,
        cidr="198.51.100.0/28",
        allocation_pools=pools,
        enable_dhcp=False,
    )
    yield SimpleNamespace(id=network.id)
    for floating in list(administrator.network.ips(floating_network_id=network.id)):
        with contextlib.suppress(CloudNotFoundError):
            cloud.network.delete_floating_ip(floating.id)
    administrator.network.delete_network(network.id)
