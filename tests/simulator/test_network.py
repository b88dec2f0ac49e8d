"""The simulated Neutron, key pairs and quotas refuse the same requests as the real ones."""

import pytest

from openstack_client import (
    Cloud,
    CloudConflictError,
    CloudCredentials,
    CloudError,
    CloudNoRouteError,
    CloudNotFoundError,
    CloudUnavailableError,
    InvalidCloudRequestError,
)
from tests.listings import read_all_pages


@pytest.fixture
def neutron(cloud):
    """Sends to Neutron, and returns the answer's inner object."""

    def send(method, path, body=None):
        return cloud._transport.request("network", method, path, doing="try", json=body)

    return send


@pytest.fixture
def routed(cloud, neutron):
    """A router between the internal and the external network, and a port that it can reach."""
    networks = {n.name: n for n in read_all_pages(cloud.network.network_pages())}
    subnets = read_all_pages(cloud.network.subnet_pages())
    subnet = next(one.id for one in subnets if one.network_id == networks["internal"].id)
    gateway = {"network_id": networks["external"].id}
    router = neutron("POST", "/routers", {"router": {"name": "r", "external_gateway_info": gateway}})[
        "router"
    ]
    neutron("PUT", f"/routers/{router['id']}/add_router_interface", {"subnet_id": subnet})
    port = neutron("POST", "/ports", {"port": {"network_id": networks["internal"].id}})["port"]
    return {"router": router["id"], "subnet": subnet, "port": port["id"], "external": networks["external"].id}


def float_on(neutron, routed, **more):
    wanted = {"floating_network_id": routed["external"], "port_id": routed["port"], **more}
    return neutron("POST", "/floatingips", {"floatingip": wanted})["floatingip"]


def test_floating_ip_needs_a_router(cloud, neutron, routed):
    path = f"/routers/{routed['router']}/remove_router_interface"
    neutron("PUT", path, {"subnet_id": routed["subnet"]})
    with pytest.raises(CloudNoRouteError, match="not reachable from subnet"):
        float_on(neutron, routed)
    with pytest.raises(CloudNotFoundError, match="has no interface on subnet"):
        neutron("PUT", path, {"subnet_id": routed["subnet"]})


def test_resources_in_use_are_not_deleted(cloud, neutron, routed):
    floating = float_on(neutron, routed)
    assert floating["router_id"] == routed["router"]
    interface = next(
        p for page in cloud.network.port_pages() for p in page if p.device_id == routed["router"]
    )
    group = next(g for page in cloud.network.security_group_pages() for g in page)
    for method, path, body in (
        ("PUT", f"/routers/{routed['router']}/remove_router_interface", {"subnet_id": routed["subnet"]}),
        ("PUT", f"/routers/{routed['router']}", {"router": {"external_gateway_info": None}}),
        ("DELETE", f"/routers/{routed['router']}", None),
        ("DELETE", f"/ports/{interface.id}", None),
        ("DELETE", f"/security-groups/{group.id}", None),
        ("DELETE", f"/subnets/{routed['subnet']}", None),
        ("DELETE", f"/networks/{interface.network_id}", None),
    ):
        with pytest.raises(CloudConflictError):
            neutron(method, path, body)
    with pytest.raises(InvalidCloudRequestError, match="already has a port"):
        neutron("PUT", f"/routers/{routed['router']}/add_router_interface", {"subnet_id": routed["subnet"]})
    # A port that goes takes nothing along but the way to it.
    neutron("DELETE", f"/ports/{routed['port']}")
    assert [f.router_id for page in cloud.network.floating_ip_pages() for f in page] == [None]
    neutron("PUT", f"/routers/{routed['router']}/remove_router_interface", {"port_id": interface.id})
    neutron("DELETE", f"/routers/{routed['router']}")


def test_addresses_are_released(cloud, neutron, routed):
    first = float_on(neutron, routed)
    neutron("DELETE", f"/floatingips/{first['id']}")
    assert cloud.network.list_quotas()
    second = float_on(neutron, routed)
    assert second["fixed_ip_address"] == first["fixed_ip_address"]


def test_interface_by_a_port_and_a_named_address(cloud, neutron, routed):
    network = neutron("POST", "/networks", {"network": {"name": "n"}})["network"]["id"]
    wanted = {"network_id": network, "cidr": "10.9.0.0/24", "ip_version": 4}
    subnet = neutron("POST", "/subnets", {"subnet": wanted})["subnet"]["id"]
    fixed = [{"subnet_id": subnet, "ip_address": "10.9.0.1"}]
    port = neutron("POST", "/ports", {"port": {"network_id": network, "fixed_ips": fixed}})["port"]
    assert port["fixed_ips"] == fixed
    with pytest.raises(CloudConflictError, match="already allocated"):
        neutron("POST", "/ports", {"port": {"network_id": network, "fixed_ips": fixed}})
    path = f"/routers/{routed['router']}/add_router_interface"
    with pytest.raises(CloudConflictError, match="already allocated"):
        neutron("PUT", path, {"subnet_id": subnet})
    neutron("PUT", path, {"port_id": port["id"]})
    with pytest.raises(CloudConflictError, match="attached device"):
        neutron("PUT", path, {"port_id": port["id"]})
    with pytest.raises(InvalidCloudRequestError, match="not an external network"):
        neutron(
            "PUT",
            f"/routers/{routed['router']}",
            {"router": {"external_gateway_info": {"network_id": network}}},
        )


def test_filters_and_markers(cloud, neutron, routed):
    def ids(query):
        return {port["id"] for port in neutron("GET", f"/ports?{query}")["ports"]}

    read_all_pages = ids("")
    interface = ids("device_owner=network:router_interface")
    assert len(interface) == 1 and ids(f"device_id={routed['router']}") == interface
    assert ids(f"fixed_ips=subnet_id%3D{routed['subnet']}") == read_all_pages == interface | {routed["port"]}
    assert ids("limit=0") == read_all_pages and ids("admin_state_up=False") == set()
    with pytest.raises(CloudNotFoundError):
        ids("limit=1&marker=none")
    with pytest.raises(InvalidCloudRequestError):
        ids("limit=-1")


def test_server_with_groups_of_its_own(cloud, control, neutron):
    groups = [neutron("POST", "/security-groups", {"security_group": {"name": n}}) for n in ("web", "db")]
    flavor, image = cloud.compute.list_flavors()[0], cloud.image.list_images()[0]
    network = next(n for n in read_all_pages(cloud.network.network_pages()) if not n.is_external)
    wanted = {
        "name": "s", "flavorRef": flavor.id, "imageRef": image.id, "networks": [{"uuid": network.id}],
        "security_groups": [{"name": "web"}, {"name": "db"}],
    }  # fmt: skip
    made = cloud.compute._call("POST", "/servers", "try", json={"server": wanted})["server"]["id"]
    assert cloud.compute.get_server(made).security_groups == ("db", "web")
    port = next(p for page in cloud.network.port_pages() for p in page if p.device_id == made)
    assert set(port.security_group_ids) == {group["security_group"]["id"] for group in groups}
    with pytest.raises(InvalidCloudRequestError, match="nobody"):
        wanted["security_groups"] = [{"name": "nobody"}]
        cloud.compute._call("POST", "/servers", "try", json={"server": wanted})


PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEREULwbKxBGxQLQ552qBh0BNBdH2dTJGETd03MvMGuE me"


def test_keypairs(cloud):
    def send(method, path="", **more):
        return cloud.compute._call(method, f"/os-keypairs{path}", "try", **more)

    assert "private_key" in send("POST", json={"keypair": {"name": "b"}})["keypair"]
    given = send("POST", json={"keypair": {"name": "a", "public_key": PUBLIC_KEY}})["keypair"]
    assert "private_key" not in given and len(given["fingerprint"]) == 47
    assert [k.name for k in cloud.compute.list_keypairs()] == ["a", "b"]
    assert send("GET", "/a")["keypair"]["public_key"] == PUBLIC_KEY
    with pytest.raises(CloudConflictError, match="already exists"):
        send("POST", json={"keypair": {"name": "a"}})
    with pytest.raises(InvalidCloudRequestError, match="Marker nope could not be found"):
        send("GET", params={"limit": 1, "marker": "nope"})
    assert "keypairs_links" in send("GET", params={"limit": 1})
    send("DELETE", "/a")
    with pytest.raises(CloudNotFoundError):
        send("DELETE", "/a")
    assert [k.name for k in cloud.compute.list_keypairs()] == ["b"]


def test_quotas_have_limits_and_figures(cloud, control):
    control("POST", "quotas", {"project": "demo", "instances": 7, "gigabytes": 100, "router": 3})
    control("POST", "seed", {"project": "demo", "servers": 2, "volumes": 3, "routers": 1})
    lists = (cloud.compute.list_quotas(), cloud.block_storage.list_quotas(), cloud.network.list_quotas())
    found = {(q.service, q.name): (q.limit, q.in_use) for quotas in lists for q in quotas}
    assert found["compute", "instances"] == (7, 2)
    # The standard content has a volume of 10 GB and a snapshot of it.
    assert found["block-storage", "gigabytes"] == (100, 50)
    assert found["block-storage", "volumes_fake"] == (-1, 4)
    assert found["network", "router"] == (3, 1)


def test_neutron_without_quota_usage(cloud, control):
    control("POST", "faults", [{"kind": "status", "status": 404, "path": "quotas/.*/details"}])
    found = {q.name: q for q in cloud.network.list_quotas()}
    assert found["router"].limit == -1 and found["router"].in_use is found["router"].reserved is None
    control("DELETE", "faults")
    control("POST", "faults", [{"kind": "status", "status": 500, "path": "quotas"}])
    with pytest.raises(CloudError):
        cloud.network.list_quotas()


def test_quota_of_another_project_is_forbidden(cloud, control):
    control("GET", "objects")
    other = control("GET", "objects")["projects"]["other"]
    for service, path in (
        ("compute", f"/os-quota-sets/{other}/detail"),
        ("block-storage", f"/os-quota-sets/{other}?usage=true"),
        ("network", f"/quotas/{other}/details.json"),
    ):
        with pytest.raises(CloudError) as caught:
            cloud._transport.request(service, "GET", path, doing="look")
        assert caught.value.status_code == 403


def test_expired_application_credential(control, cloud):
    control("POST", "clock", {"token_seconds": 10**6})
    user_id = cloud._transport.get_access().user_id
    session = cloud._transport._connection.session
    answer = session.post(
        f"{control.server.auth_url}/users/{user_id}/application_credentials",
        json={"application_credential": {"name": "short", "expires_at": "2999-01-01T00:00:00.000000"}},
    )
    made = answer.json()["application_credential"]
    login = CloudCredentials(
        auth_url=control.server.auth_url,
        application_credential_id=made["id"],
        application_credential_secret=made["secret"],
    )
    with Cloud(login) as other:
        other.check()
    control("POST", "clock", {"advance_seconds": 1000 * 366 * 86400})
    with Cloud(login) as other, pytest.raises(CloudError) as caught:
        other.check()
    assert caught.value.code == "authentication_failed"


def test_seeded_cloud_is_reachable(cloud, control, neutron):
    wanted = {"project": "demo", "servers": 2, "reachable": True}
    servers = control("POST", "seed", wanted)["servers"]
    (router,) = read_all_pages(cloud.network.router_pages())
    assert router.external_addresses
    groups = {group.name: group for group in read_all_pages(cloud.network.security_group_pages())}
    assert set(groups) == {"default", "web", "ssh-office"}
    assert groups["web"].rule_count == 5
    floating = read_all_pages(cloud.network.floating_ip_pages())
    (attached,) = [one for one in floating if one.port_id]
    assert len(floating) == 3 and attached.status == "ACTIVE" and attached.device_id in servers
    addresses = {address.ip for address in cloud.compute.get_server(attached.device_id).addresses}
    assert attached.address in addresses
    # Once more adds nothing.
    control("POST", "seed", {"project": "demo", "reachable": True})
    assert len(read_all_pages(cloud.network.floating_ip_pages())) == 3
    assert len(read_all_pages(cloud.network.router_pages())) == 1


def test_lost_answer_of_a_creation_leaves_what_its_marker_finds(cloud, control, routed):
    control("POST", "faults", {"service": "network", "method": "POST", "kind": "lose_answer", "times": 3})
    for create, find in (
        (
            lambda: cloud.network.create_security_group(name="web", marker="portal:1"),
            cloud.network.find_security_groups_by_marker,
        ),
        (
            lambda: cloud.network.create_floating_ip(routed["external"], marker="portal:1"),
            cloud.network.find_floating_ips_by_marker,
        ),
        (
            lambda: cloud.network.create_port(
                cloud.network.get_port(routed["port"]).network_id, marker="portal:1"
            ),
            cloud.network.find_ports_by_marker,
        ),
    ):
        with pytest.raises(CloudUnavailableError):
            create()
        (found,) = find("portal:1")
        assert found.marker == "portal:1"


def test_change_that_neutron_loses_leaves_no_trace(cloud, control, routed):
    quota = {one.name: one.in_use for one in cloud.network.list_quotas()}
    control("POST", "faults", {"service": "network", "method": "POST", "kind": "lose_all", "times": 2})
    cloud.network.create_security_group(name="web", marker="portal:1")
    lost = cloud.network.create_floating_ip(routed["external"], marker="portal:1")
    assert cloud.network.find_security_groups_by_marker("portal:1") == []
    assert cloud.network.find_floating_ips_by_marker("portal:1") == []
    assert {one.name: one.in_use for one in cloud.network.list_quotas()} == quota
    # Its address is free again.
    again = [cloud.network.create_floating_ip(routed["external"]).address for _ in range(2)]
    assert lost.address in again


def test_what_operators_remove_in_the_cloud(cloud, control, routed):
    group = cloud.network.create_security_group(name="web")
    rule = cloud.network.create_security_group_rule(group.id, direction="ingress")
    floating = cloud.network.create_floating_ip(routed["external"])
    cloud.network.attach_floating_ip(floating.id, routed["port"])
    port = cloud.network.get_port(routed["port"])
    cloud.network.set_port_security_groups(port.id, [group.id], revision=port.revision)
    control("PATCH", f"floating_ips/{floating.id}", {"status": "ERROR"})
    assert cloud.network.get_floating_ip(floating.id).status == "ERROR"
    control("DELETE", f"security_group_rules/{rule.id}")
    assert cloud.network.get_security_group(group.id).rule_count == 2
    control("DELETE", f"security_groups/{group.id}")
    control("DELETE", f"floating_ips/{floating.id}")
    assert cloud.network.get_port(port.id).security_group_ids == ()
    for read, missing in (
        (cloud.network.get_security_group, group),
        (cloud.network.get_floating_ip, floating),
    ):
        with pytest.raises(CloudNotFoundError):
            read(missing.id)
