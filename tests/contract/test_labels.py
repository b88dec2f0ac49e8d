"""Tags and metadata of servers."""

import pytest

from openstack_client import CloudNotFoundError, InvalidCloudRequestError

from .conftest import wait_server_status

NOBODY = "11111111-1111-4111-8111-111111111111"


@pytest.fixture
def server_id(cloud, make_server):
    made = make_server(metadata={"a": "1"})
    wait_server_status(cloud, made.id, "ACTIVE")
    return made.id


def test_tags(cloud, server_id, tag):
    compute = cloud.compute
    for _twice in range(2):
        compute.add_tag(server_id, "web server? yes")
    assert set(compute.list_tags(server_id)) == {tag, "web server? yes"}
    assert server_id in {server.id for server in compute.find_servers_by_tag("web server? yes")}
    for _twice in range(2):
        compute.remove_tag(server_id, "web server? yes")
    compute.replace_tags(server_id, [tag, "one", "two"])
    assert set(compute.get_server(server_id).tags) == {tag, "one", "two"}
    for call in (
        lambda: compute.list_tags(NOBODY),
        lambda: compute.add_tag(NOBODY, "a"),
        lambda: compute.remove_tag(NOBODY, "a"),
        lambda: compute.replace_tags(NOBODY, ["a"]),
    ):
        with pytest.raises(CloudNotFoundError):
            call()


def test_metadata(cloud, server_id):
    compute = cloud.compute
    compute.update_metadata(server_id, {"b": "2"})
    assert compute.get_metadata(server_id) == {"a": "1", "b": "2"}
    for _twice in range(2):
        compute.remove_metadata(server_id, "a")
    compute.update_metadata(server_id, {"b": "3", "owner: x": "4"})
    compute.remove_metadata(server_id, "owner: x")
    assert compute.get_server(server_id).metadata == {"b": "3"}
    with pytest.raises(InvalidCloudRequestError) as caught:
        compute.update_metadata(server_id, {"no/slash": "x"})
    assert caught.value.status_code == 400
    for call in (
        lambda: compute.get_metadata(NOBODY),
        lambda: compute.update_metadata(NOBODY, {"a": "b"}),
        lambda: compute.remove_metadata(NOBODY, "a"),
    ):
        with pytest.raises(CloudNotFoundError):
            call()
