"""Nova's calls for keys, interfaces, passwords, hosts and groups: what only the simulator can produce on request."""

import pytest

from openstack_client import (
    Cloud,
    CloudCredentials,
    CloudPasswordRefusedError,
    CloudQuotaExceededError,
    CloudUnavailableError,
    InvalidCloudRequestError,
    ServerNetwork,
)
from openstack_client.validation import MAX_USER_DATA_BYTES
from tests.listings import read_all_pages
from tests.simulator.test_clients import create

PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEREULwbKxBGxQLQ552qBh0BNBdH2dTJGETd03MvMGuE"


@pytest.fixture
def staff(control):
    found = {"username": "admin", "password": "admin", "project_name": "admin"}
    with Cloud(CloudCredentials(auth_url=control.server.auth_url, **found)) as opened:
        yield opened.compute


@pytest.fixture
def lose(control):
    """Let the next request of that method and path be carried out without an answer, or be lost inside the cloud."""

    def add(kind, method, path):
        control("POST", "faults", {"kind": kind, "method": method, "path": path, "times": 1})

    return add


@pytest.fixture
def network_id(cloud):
    return next(n.id for n in read_all_pages(cloud.network.network_pages()) if not n.is_external)


def create_port(cloud, network_id):
    body = {"port": {"network_id": network_id}}
    return cloud._transport.request("network", "POST", "/ports", doing="create it", json=body)["port"]["id"]


@pytest.mark.parametrize("fault", ["not_enabled", "failed", "unsupported"])
def test_server_that_takes_no_password(cloud, control, server_id, fault):
    control("POST", "passwords", {"fault": fault})
    with pytest.raises(CloudPasswordRefusedError, match="needs a running guest agent") as caught:
        cloud.compute.change_password(server_id, "Long-enough-1")
    assert caught.value.code == "password_refused" and "Long-enough-1" not in repr(caught.value)
    control("POST", "passwords", {"fault": ""})
    cloud.compute.change_password(server_id, "Long-enough-1")
    assert control("GET", f"servers/{server_id}")["admin_password"] == "Long-enough-1"


def test_password_that_a_windows_server_has_reported(cloud, control, server_id):
    control("PATCH", f"servers/{server_id}", {"encrypted_password": "c2VjcmV0"})
    assert cloud.compute.get_encrypted_password(server_id) == "c2VjcmV0"
    cloud.compute.clear_encrypted_password(server_id)
    assert cloud.compute.get_encrypted_password(server_id) is None


def test_keypair_whose_answer_was_lost_is_imported_once(cloud, control, lose):
    lose("lose_answer", "POST", "/os-keypairs$")
    with pytest.raises(CloudUnavailableError):
        cloud.compute.create_keypair("mine", PUBLIC_KEY)
    # Nova checks the quota before it looks for the name.
    control("POST", "quotas", {"key_pairs": 1})
    assert cloud.compute.create_keypair("mine", f"{PUBLIC_KEY} me").public_key == PUBLIC_KEY
    with pytest.raises(CloudQuotaExceededError, match="too many key pairs"):
        cloud.compute.create_keypair("another", PUBLIC_KEY)
    assert [pair["name"] for pair in control("GET", "objects")["keypairs"]] == ["mine"]


def test_keypair_and_group_that_the_cloud_has_lost(cloud, lose):
    lose("lose_all", "POST", "/os-keypairs$")
    cloud.compute.create_keypair("mine", PUBLIC_KEY)
    assert cloud.compute.find_keypair("mine") is None
    lose("lose_all", "POST", "/os-server-groups$")
    cloud.compute.create_server_group("spread", "anti-affinity")
    assert cloud.compute.find_server_groups("spread") == []


def test_group_whose_answer_was_lost_is_found_by_its_name(cloud, lose):
    lose("lose_answer", "POST", "/os-server-groups$")
    with pytest.raises(CloudUnavailableError):
        cloud.compute.create_server_group("spread", "anti-affinity")
    (found,) = cloud.compute.find_server_groups("spread")
    assert found.policy == "anti-affinity"


def test_quota_of_groups(cloud, control):
    control("POST", "quotas", {"server_groups": 1, "server_group_members": 1})
    group = cloud.compute.create_server_group("one", "affinity")
    with pytest.raises(CloudQuotaExceededError, match="too many server groups"):
        cloud.compute.create_server_group("two", "affinity")
    create(cloud, server_group_id=group.id)
    with pytest.raises(CloudQuotaExceededError, match="too many servers in group"):
        create(cloud, server_group_id=group.id)


def test_port_whose_attachment_was_not_answered_is_attached_once(cloud, lose, server_id, network_id):
    port_id = create_port(cloud, network_id)
    lose("lose_answer", "POST", "/os-interface$")
    with pytest.raises(CloudUnavailableError):
        cloud.compute.attach_port(server_id, port_id)
    cloud.compute.attach_port(server_id, port_id)
    assert [i.port_id for i in cloud.compute.list_interfaces(server_id)].count(port_id) == 1


def test_detachment_and_rescue_that_the_cloud_has_lost(cloud, lose, server_id):
    (interface,) = cloud.compute.list_interfaces(server_id)
    lose("lose_begun", "DELETE", "/os-interface/")
    cloud.compute.detach_interface(server_id, interface.port_id)
    assert cloud.compute.list_interfaces(server_id) == [interface]
    cloud.compute.detach_interface(server_id, interface.port_id)
    assert cloud.compute.list_interfaces(server_id) == []
    assert cloud.compute.get_server(server_id).addresses == ()
    lose("lose_begun", "POST", "/action$")
    cloud.compute.rescue_server(server_id)
    seen = cloud.compute.get_server(server_id)
    assert (seen.status, seen.task_state) == ("ACTIVE", "rescuing")


def test_server_lost_at_its_creation_leaves_no_port(cloud, control, lose, network_id):
    before = {port["id"] for port in control("GET", "objects")["ports"]}
    lose("lose_all", "POST", "/servers$")
    create(cloud, networks=[ServerNetwork(network_id)])
    assert {port["id"] for port in control("GET", "objects")["ports"]} == before


def test_states_of_rescue_and_rebuild(cloud, control, server_id):
    def look():
        server = cloud.compute.get_server(server_id)
        return server.status, server.task_state

    control("POST", "clock", {"action_seconds": 100})
    cloud.compute.rescue_server(server_id)
    seen = [look()]
    control("POST", "clock", {"advance_seconds": 101})
    cloud.compute.unrescue_server(server_id)
    seen.append(look())
    control("POST", "clock", {"advance_seconds": 101})
    assert seen == [("ACTIVE", "rescuing"), ("RESCUE", "unrescuing")]
    cloud.compute.stop_server(server_id)
    control("POST", "clock", {"advance_seconds": 101})
    image_id = cloud.compute.get_server(server_id).image_id
    cloud.compute.rebuild_server(server_id, image_id)
    seen = []
    for _ in range(4):
        seen.append(look())
        control("POST", "clock", {"advance_seconds": 32})
    assert seen == [
        ("REBUILD", "rebuilding"),
        ("REBUILD", "rebuild_block_device_mapping"),
        ("REBUILD", "rebuild_spawning"),
        ("ACTIVE", "powering-off"),
    ]
    assert look() == ("SHUTOFF", None)


def test_migration_without_another_host(cloud, control, staff, server_id):
    control("POST", "hosts", {"hosts": {"compute1": True}})
    for migrate, kind in ((staff.migrate_server, "migration"), (staff.live_migrate_server, "live-migration")):
        migrate(server_id)
        server = staff.get_server(server_id)
        assert (server.status, server.task_state, server.host) == ("ACTIVE", None, "compute1")
        assert cloud.compute.list_server_actions(server_id)[0].message == "Error"
        newest = staff.list_migrations(server_id)[0]
        assert (newest.kind, newest.status) == (kind, "error")


def test_migration_that_fails_leaves_the_server_where_it_is(control, staff, server_id):
    host = staff.get_server(server_id).host
    control("POST", "failing_migrations", {"times": 1})
    staff.live_migrate_server(server_id)
    assert staff.get_server(server_id).host == host
    assert staff.list_migrations(server_id)[0].status == "error"
    staff.live_migrate_server(server_id)
    assert staff.get_server(server_id).host != host


def test_evacuation_of_a_dead_host(control, staff, server_id):
    host = staff.get_server(server_id).host
    control("PATCH", f"hosts/{host}", {"up": False})
    assert [h.host for h in staff.list_hypervisors() if not h.is_up] == [host]
    staff.evacuate_server(server_id)
    server = staff.get_server(server_id)
    assert (server.status, server.task_state) == ("ACTIVE", None) and server.host != host
    newest = staff.list_migrations(server_id)[0]
    assert (newest.kind, newest.status) == ("evacuation", "done")


def test_groups_decide_on_the_host(cloud, staff):
    policies = {"affinity": 1, "anti-affinity": 2, "soft-anti-affinity": 2}
    for policy, hosts in policies.items():
        group = cloud.compute.create_server_group(policy, policy)
        made = [create(cloud, server_group_id=group.id).id for _ in range(2)]
        assert len({staff.get_server(server_id).host for server_id in made}) == hosts
        (found,) = cloud.compute.find_server_groups(policy)
        assert found.member_ids == tuple(made)
        third = cloud.compute.get_server(create(cloud, server_group_id=group.id).id)
        assert (third.status == "ERROR") == (policy == "anti-affinity")


def test_zones_have_hosts_and_aggregates(cloud, control, staff):
    control("POST", "zones", {"zones": {"north": True, "south": True}})
    assert {a.name: a.hosts for a in staff.list_host_aggregates()} == {
        "north": ("compute1",),
        "south": ("compute2",),
    }
    made = create(cloud, availability_zone="south")
    assert staff.get_server(made.id).host == "compute2"


def test_arguments_are_checked_before_anything_is_sent(cloud, control):
    control("DELETE", "requests")
    compute = cloud.compute
    for call in (
        lambda: compute.create_keypair("a@b", PUBLIC_KEY),
        lambda: compute.create_keypair(" a", PUBLIC_KEY),
        lambda: compute.create_keypair("a", ""),
        lambda: compute.create_keypair("a", "x" * 10_001),
        lambda: compute.create_keypair("a", "-----BEGIN OPENSSH PRIVATE KEY-----\nsecret\n"),
        lambda: compute.find_keypair("../servers"),
        lambda: compute.delete_keypair(""),
        lambda: create(cloud, networks=[]),
        lambda: create(cloud, networks=[ServerNetwork("")]),
        lambda: create(cloud, networks=[ServerNetwork("a", "10.0.0.300")]),
        lambda: create(cloud, networks=[ServerNetwork("a", "10.0.0.1")] * 2),
        lambda: create(cloud, user_data="x" * (MAX_USER_DATA_BYTES + 1)),
        lambda: create(cloud, security_groups="web"),
        lambda: create(cloud, server_group_id="a/b"),
        lambda: compute.attach_port("a", "../b"),
        lambda: compute.create_server_group("", "affinity"),
        lambda: compute.create_server_group("a", "apart"),
        lambda: compute.rebuild_server("a", ""),
        lambda: compute.change_password("a", ""),
        lambda: compute.change_password("a", "two\nlines"),
        lambda: compute.migrate_server("a", host=""),
    ):
        with pytest.raises(InvalidCloudRequestError) as caught:
            call()
        assert caught.value.status_code is None and "secret" not in str(caught.value)
    # `create` reads what it needs first.
    assert {entry["method"] for entry in control("GET", "requests")["requests"]} <= {"GET"}
