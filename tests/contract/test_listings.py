"""Listings of what a project has besides its servers and volumes, and its quotas: equal to openstacksdk's own."""

import contextlib
import datetime as dt
import time
import uuid

import pytest

from openstack_client import (
    Cloud,
    CloudAuthenticationError,
    CloudCredentials,
    CloudServiceMissingError,
    FixedIp,
    FloatingIp,
    Keypair,
    Port,
    Router,
    SecurityGroup,
    SecurityGroupRule,
    ServerNetwork,
)
from tests.listings import read_all_pages

from .conftest import is_gone, wait_for, wait_server_status

# Our listing, and openstacksdk's.
LISTINGS = {
    "networks": (lambda c: c.network.network_pages, lambda s: s.network.networks()),
    "subnets": (lambda c: c.network.subnet_pages, lambda s: s.network.subnets()),
    "routers": (lambda c: c.network.router_pages, lambda s: s.network.routers()),
    "ports": (lambda c: c.network.port_pages, lambda s: s.network.ports()),
    "floating IPs": (lambda c: c.network.floating_ip_pages, lambda s: s.network.ips()),
    "security groups": (lambda c: c.network.security_group_pages, lambda s: s.network.security_groups()),
    "images": (lambda c: c.image.image_pages, lambda s: s.image.images()),
}


def find(pages, object_id):
    return next((one for one in read_all_pages(pages()) if one.id == object_id), None)


@pytest.fixture(scope="module")
def net(cloud, sdk):
    """A network of these tests' own behind a router, a port on it, a floating IP, and a second security group.

    A test that changes them puts them back.
    """
    tag = f"contract-{uuid.uuid4()}"
    external = next(n for n in read_all_pages(cloud.network.network_pages()) if n.is_external)
    with contextlib.ExitStack() as undo:
        network = sdk.network.create_network(name=tag)
        undo.callback(sdk.network.delete_network, network.id)
        subnet = sdk.network.create_subnet(
            network_id=network.id, ip_version=4, cidr="192.168.78.0/28", name=tag
        )
        router = sdk.network.create_router(name=tag, external_gateway_info={"network_id": external.id})
        undo.callback(sdk.network.delete_router, router.id)
        sdk.network.add_interface_to_router(router, subnet=subnet.id)
        undo.callback(sdk.network.remove_interface_from_router, router, subnet=subnet.id)
        group = sdk.network.create_security_group(name=tag, description="of a test")
        undo.callback(sdk.network.delete_security_group, group.id)
        port = sdk.network.create_port(network_id=network.id, name=tag, security_group_ids=[group.id])
        undo.callback(sdk.network.delete_port, port.id)
        floating = sdk.network.create_ip(floating_network_id=external.id, port_id=port.id, description=tag)
        undo.callback(sdk.network.delete_ip, floating.id)
        yield {
            "network": network, "subnet": subnet, "router": router, "group": group, "port": port, "floating": floating,
            "external": external,
        }  # fmt: skip


@pytest.mark.parametrize("kind", LISTINGS)
def test_ids_are_the_sdks_whatever_the_size_of_the_page(cloud, sdk, net, kind):
    pages, theirs = LISTINGS[kind]
    for size in (1, 2, 500):
        # Others may be at work in a real cloud: what changes while it is read twice is read again.
        read, _ = wait_for(
            lambda size=size: (list(pages(cloud)(page_size=size)), sorted(one.id for one in theirs(sdk))),
            lambda seen: sorted(one.id for one in read_all_pages(seen[0])) == seen[1] != [],
            "the same ids",
        )
        assert all(len(page) <= size for page in read)


def test_lists_are_their_pages(cloud, net):
    assert cloud.image.list_images() == read_all_pages(cloud.image.image_pages(page_size=1))


def test_router(cloud, sdk, net):
    made = sdk.network.get_router(net["router"].id)
    fixed = made.external_gateway_info["external_fixed_ips"]
    assert find(cloud.network.router_pages, made.id) == Router(
        id=made.id,
        name=made.name,
        status="ACTIVE",
        is_admin_state_up=True,
        external_network_id=net["external"].id,
        external_addresses=tuple(one["ip_address"] for one in fixed),
    )
    assert len(fixed) == 1


def test_routers_interface_is_a_port(cloud, net):
    mine = [p for p in read_all_pages(cloud.network.port_pages()) if p.device_id == net["router"].id]
    assert [p.device_owner for p in mine] == ["network:router_interface"]
    assert mine[0].fixed_ips == (FixedIp(net["subnet"].id, "192.168.78.1"),)
    assert mine[0].network_id == net["network"].id
    assert mine[0].security_group_ids == ()


def test_routers_interface_goes_with_the_parting(cloud, sdk, net):
    sdk.network.update_ip(net["floating"].id, port_id=None)
    sdk.network.remove_interface_from_router(net["router"], subnet=net["subnet"].id)
    assert [p for p in read_all_pages(cloud.network.port_pages()) if p.device_id == net["router"].id] == []
    sdk.network.add_interface_to_router(net["router"], subnet=net["subnet"].id)
    sdk.network.update_ip(net["floating"].id, port_id=net["port"].id)


def test_port(cloud, sdk, net):
    made = sdk.network.get_port(net["port"].id)
    assert find(cloud.network.port_pages, made.id) == Port(
        id=made.id,
        name=made.name,
        status=made.status,
        network_id=net["network"].id,
        device_id="",
        device_owner="",
        mac_address=made.mac_address,
        fixed_ips=tuple(FixedIp(one["subnet_id"], one["ip_address"]) for one in made.fixed_ips),
        security_group_ids=(net["group"].id,),
        is_admin_state_up=True,
        project_id=cloud.project_id,
        revision=made.revision_number,
        created_at=dt.datetime.fromisoformat(made.created_at),
    )
    assert {p.id for p in sdk.network.ports(network_id=net["network"].id, device_owner="")} >= {made.id}
    # Another process of the suite has a network with the same addresses.
    same_address = {
        "network_id": net["network"].id,
        "fixed_ips": f"ip_address={made.fixed_ips[0]['ip_address']}",
    }
    assert [p.id for p in sdk.network.ports(**same_address)] == [made.id]


def test_floating_ip(cloud, sdk, net):
    # Its agent reports the status late.
    made = wait_for(
        lambda: sdk.network.get_ip(net["floating"].id), lambda one: one.status == "ACTIVE", "the status"
    )
    ours = find(cloud.network.floating_ip_pages, made.id)
    assert ours == FloatingIp(
        id=made.id,
        status=made.status,
        address=made.floating_ip_address,
        fixed_address=net["port"].fixed_ips[0]["ip_address"],
        floating_network_id=net["external"].id,
        port_id=net["port"].id,
        router_id=net["router"].id,
        project_id=cloud.project_id,
        description=net["floating"].description,
        revision=made.revision_number,
        created_at=dt.datetime.fromisoformat(made.created_at),
    )
    sdk.network.update_ip(made.id, port_id=None)
    loose = find(cloud.network.floating_ip_pages, made.id)
    assert (loose.port_id, loose.router_id, loose.fixed_address) == (None, None, None)
    sdk.network.update_ip(made.id, port_id=net["port"].id)


def test_security_group(cloud, sdk, net):
    group_id = net["group"].id
    made = sdk.network.get_security_group(group_id)
    wanted = SecurityGroup(
        id=group_id,
        name=net["group"].name,
        description="of a test",
        rule_count=2,
        project_id=cloud.project_id,
        rules=tuple(
            SecurityGroupRule(rule["id"], group_id, "egress", rule["ethertype"])
            for rule in sorted(made.security_group_rules, key=lambda rule: rule["id"])
        ),
        created_at=dt.datetime.fromisoformat(made.created_at),
    )
    assert find(cloud.network.security_group_pages, group_id) == wanted
    assert {rule.ethertype for rule in wanted.rules} == {"IPv4", "IPv6"}
    rule = sdk.network.create_security_group_rule(
        security_group_id=group_id, direction="ingress", protocol="tcp", port_range_min=22, port_range_max=22
    )
    ours = find(cloud.network.security_group_pages, group_id)
    assert (ours.rule_count, [one.id for one in ours.rules if one not in wanted.rules]) == (3, [rule.id])
    sdk.network.delete_security_group_rule(rule.id)
    assert find(cloud.network.security_group_pages, group_id) == wanted


def test_what_goes_leaves_its_listing(cloud, sdk, tag):
    network = sdk.network.create_network(name=tag)
    group = sdk.network.create_security_group(name=tag)
    for pages, made, remove in (
        (cloud.network.network_pages, network, sdk.network.delete_network),
        (cloud.network.security_group_pages, group, sdk.network.delete_security_group),
    ):
        assert find(pages, made.id).name == tag
        remove(made.id)
        assert find(pages, made.id) is None


def test_keypairs(cloud, sdk, tag, monkeypatch):
    names = [f"{tag}-{number}" for number in (3, 1, 2)]
    before = cloud.compute.list_keypairs()
    try:
        made = [sdk.compute.create_keypair(name=name) for name in names]
        ours = [pair for pair in cloud.compute.list_keypairs() if pair not in before]
        assert ours == [
            Keypair(pair.name, "ssh", pair.fingerprint, pair.public_key)
            for pair in sorted(made, key=lambda p: p.name)
        ]
        assert {p.name for p in cloud.compute.list_keypairs()} == {p.name for p in sdk.compute.keypairs()}
        # In pages too: their marker is a name.
        monkeypatch.setattr("openstack_client.keypairs._PAGE_SIZE", 2)
        assert [pair for pair in cloud.compute.list_keypairs() if pair not in before] == ours
    finally:
        for name in names:
            sdk.compute.delete_keypair(name)
    assert cloud.compute.list_keypairs() == before


def test_server_knows_its_key_and_its_groups(cloud, sdk, make_server, net, tag):
    sdk.compute.create_keypair(name=tag)
    try:
        server = make_server(key_name=tag, networks=[ServerNetwork(net["network"].id)])
        seen = wait_server_status(cloud, server.id, "ACTIVE")
        assert (seen.key_name, seen.security_groups) == (tag, ("default",))
        mine = [p for p in read_all_pages(cloud.network.port_pages()) if p.device_id == server.id]
        assert [p.device_owner.partition(":")[0] for p in mine] == ["compute"]
        assert {ip.ip_address for p in mine for ip in p.fixed_ips} == {a.ip for a in seen.addresses}
        sdk.network.update_port(mine[0].id, security_group_ids=[net["group"].id])
        wait_for(
            lambda: cloud.compute.get_server(server.id),
            lambda s: s.security_groups == (net["group"].name,),
            "the other group",
        )
        cloud.compute.delete_server(server.id)
        wait_for(lambda: is_gone(lambda: cloud.compute.get_server(server.id)), bool, "the removal")
        wait_for(
            lambda: find(cloud.network.port_pages, mine[0].id), lambda p: p is None, "the port's removal"
        )
    finally:
        sdk.compute.delete_keypair(tag)


def test_services(cloud, sdk):
    found = cloud.list_services()
    assert list(found) == sorted(found) and set(cloud.list_regions()) <= set(found)
    offered = found[cloud.list_regions()[0]]
    assert offered == sorted(set(offered))
    assert {"block-storage", "compute", "identity", "image", "network"} <= set(offered)
    assert not {"volumev3", "volumev2"} & set(offered)
    assert len(offered) <= len({service["type"] for service in sdk.service_catalog})


def test_service_that_a_region_does_not_have(credentials):
    with Cloud(credentials, region="Nowhere") as cloud:
        for call in (
            cloud.check,
            lambda: read_all_pages(cloud.network.network_pages()),
            cloud.image.list_images,
            cloud.block_storage.list_quotas,
        ):
            with pytest.raises(CloudServiceMissingError, match="Nowhere") as caught:
                call()
            assert caught.value.code == "service_missing" and caught.value.status_code is None


def quotas(found):
    assert [q.name for q in found] == sorted(q.name for q in found)
    return {q.name: (q.limit, q.in_use, q.reserved) for q in found}


def test_quotas_are_the_sdks(cloud, sdk, net):
    project_id = cloud.project_id
    ours = quotas(cloud.compute.list_quotas())
    theirs = sdk.compute.get_quota_set(project_id, usage=True)
    for name in ("instances", "cores", "ram", "key_pairs", "metadata_items", "server_groups"):
        assert ours[name] == (getattr(theirs, name), theirs.usage[name], theirs.reservation[name]), name
    assert {q.service for q in cloud.compute.list_quotas()} == {"compute"}

    ours = quotas(cloud.block_storage.list_quotas())
    theirs = sdk.block_storage.get_quota_set(project_id, usage=True)
    for name in ("volumes", "gigabytes", "snapshots", "backups", "per_volume_gigabytes", "groups"):
        assert ours[name] == (getattr(theirs, name), theirs.usage[name], theirs.reservation[name]), name
    assert "volumes_fake" in ours
    assert {q.service for q in cloud.block_storage.list_quotas()} == {"block-storage"}

    ours = quotas(cloud.network.list_quotas())
    theirs = sdk.network.get_quota(project_id, details=True)
    for name, attribute in {
        "network": "networks", "subnet": "subnets", "port": "ports", "router": "routers", "floatingip": "floating_ips",
        "security_group": "security_groups", "rbac_policy": "rbac_policies",
    }.items():  # fmt: skip
        said = getattr(theirs, attribute)
        assert ours[name] == (said["limit"], said["used"], said["reserved"]), name
    assert ours["router"][1] >= 1 and ours["floatingip"][1] >= 1
    assert {q.service for q in cloud.network.list_quotas()} == {"network"}


def test_quota_counts_a_volume(cloud, make_volume):
    before = quotas(cloud.block_storage.list_quotas())
    make_volume(size_gb=2)
    after = quotas(cloud.block_storage.list_quotas())
    assert after["volumes"][1] == before["volumes"][1] + 1
    assert after["gigabytes"][1] == before["gigabytes"][1] + 2


# On a busy machine a credential may be over before its first use; then a longer one is tried.
def test_application_credential_that_is_over(cloud, credentials, sdk, tag):
    # By the cloud's clock, which other tests have moved on in a simulated cloud.
    ahead = dt.timedelta(seconds=cloud.clock_offset() or 0)

    def now():
        return dt.datetime.now(dt.UTC) + ahead

    lifetimes = (4, 16, 64)
    for number, seconds in enumerate(lifetimes):
        ends = now() + dt.timedelta(seconds=seconds)
        made = sdk.identity.create_application_credential(
            sdk.current_user_id, f"{tag}-{number}", expires_at=ends.strftime("%Y-%m-%dT%H:%M:%S.%f")
        )
        try:
            login = CloudCredentials(
                auth_url=credentials.auth_url,
                application_credential_id=made.id,
                application_credential_secret=made.secret,
            )
            with Cloud(login) as opened:
                assert opened.project_id
            time.sleep(max(0.0, (ends - now()).total_seconds() + 1))
            with Cloud(login) as opened, pytest.raises(CloudAuthenticationError, match="expired") as caught:
                opened.check()
            assert caught.value.status_code == 401
            return
        except CloudAuthenticationError:
            if now() < ends or number == len(lifetimes) - 1:
                raise
        finally:
            sdk.identity.delete_application_credential(sdk.current_user_id, made.id)
