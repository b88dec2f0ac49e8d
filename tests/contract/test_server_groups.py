"""Server groups: their life, their members, and what they forbid."""

import pytest

from openstack_client import CloudNotFoundError

from .conftest import is_gone, wait_for, wait_server_status


@pytest.fixture
def make_group(cloud, tag):
    yield lambda policy: cloud.compute.create_server_group(tag, policy)
    for group in cloud.compute.find_server_groups(tag):
        cloud.compute.delete_server_group(group.id)


def test_whole_life(cloud, sdk, make_group, tag):
    compute = cloud.compute
    made = make_group("soft-anti-affinity")
    assert (made.name, made.policy, made.max_servers_per_host) == (tag, "soft-anti-affinity", None)
    assert made.project_id == cloud.project_id and made.member_ids == ()
    assert compute.get_server_group(made.id) == made
    assert compute.find_server_groups(tag) == [made]
    # The name is not unique.
    second = make_group("affinity")
    assert {group.id for group in compute.find_server_groups(tag)} == {made.id, second.id}
    ours = {(group.id, group.policy) for group in compute.list_server_groups()}
    assert ours == {(group.id, group.policy) for group in sdk.compute.server_groups()}
    for _twice in range(2):
        compute.delete_server_group(made.id)
    assert compute.find_server_groups(tag) == [second]
    with pytest.raises(CloudNotFoundError):
        compute.get_server_group(made.id)


def test_listing_in_pages(cloud, make_group, monkeypatch):
    made = {make_group("affinity").id for _ in range(3)}
    monkeypatch.setattr("openstack_client.server_groups._PAGE_SIZE", 2)
    found = [group.id for group in cloud.compute.list_server_groups()]
    assert made <= set(found) and len(set(found)) == len(found)


def test_rule_of_anti_affinity(cloud, sdk, make_group, tag):
    rules = {"name": tag, "policy": "anti-affinity", "rules": {"max_server_per_host": 3}}
    answer = sdk.compute.post("/os-server-groups", json={"server_group": rules}, microversion="2.69")
    assert answer.status_code == 200, answer.text
    make_group("anti-affinity")
    found = {group.max_servers_per_host for group in cloud.compute.find_server_groups(tag)}
    assert found == {3, None}


def test_members(cloud, make_group, make_server, tag):
    group = make_group("affinity")
    made = [make_server(server_group_id=group.id).id for _ in range(2)]
    for server_id in made:
        wait_server_status(cloud, server_id, "ACTIVE")
    (found,) = cloud.compute.find_server_groups(tag)
    assert set(found.member_ids) == set(made)
    cloud.compute.delete_server(made[0])
    wait_for(lambda: is_gone(lambda: cloud.compute.get_server(made[0])), bool, "the removal")
    (found,) = cloud.compute.find_server_groups(tag)
    assert found.member_ids == (made[1],)
    # The group goes, its server stays.
    cloud.compute.delete_server_group(group.id)
    assert cloud.compute.get_server(made[1]).status == "ACTIVE"


def test_anti_affinity_without_another_host(cloud, administrator, make_group, make_server):
    answer = administrator.compute.get("/os-services?binary=nova-compute", microversion="2.69")
    hosts = [service for service in answer.json()["services"] if service["state"] == "up"]
    group = make_group("anti-affinity")
    for _each in hosts:
        wait_server_status(cloud, make_server(server_group_id=group.id).id, "ACTIVE")
    made = make_server(server_group_id=group.id)
    failed = wait_for(lambda: cloud.compute.get_server(made.id), lambda s: s.status == "ERROR", "ERROR")
    assert failed.fault == "No valid host was found. There are not enough hosts available."
