"""What only administrators may: hosts, and moving servers between them."""

import pytest

from openstack_client import (
    Cloud,
    CloudConflictError,
    CloudCredentials,
    CloudForbiddenError,
    CloudNotFoundError,
    InvalidCloudRequestError,
)

from .conftest import REAL_ADMIN, wait_for, wait_server_status

NOBODY = "11111111-1111-4111-8111-111111111111"


@pytest.fixture
def staff(simulated, administrator):
    """The cloud, as an administrator of it."""
    if simulated is None:
        opened = Cloud.from_clouds_yaml(REAL_ADMIN)
    else:
        opened = Cloud(
            CloudCredentials(
                auth_url=simulated.auth_url, username="admin", password="admin", project_name="admin"
            )
        )
    with opened:
        yield opened.compute


@pytest.fixture
def server_id(cloud, make_server):
    made = make_server()
    wait_server_status(cloud, made.id, "ACTIVE")
    return made.id


def list_hosts(staff):
    return [s.host for s in staff.list_compute_services() if s.binary == "nova-compute" and s.is_up]


def test_hosts(staff, administrator, server_id):
    hypervisors = staff.list_hypervisors()
    assert {h.id for h in hypervisors} == {h.id for h in administrator.compute.hypervisors(details=True)}
    assert all(h.name and h.type and h.is_up and h.is_enabled and h.vcpus for h in hypervisors)
    assert sum(h.server_count for h in hypervisors) >= 1
    services = staff.list_compute_services()
    assert {(s.binary, s.host) for s in services} == {
        (s.binary, s.host) for s in administrator.compute.services()
    }
    assert {h.host for h in hypervisors} == set(list_hosts(staff))
    assert {a.name for a in staff.list_host_aggregates()} == {
        a.name for a in administrator.compute.aggregates()
    }
    server = staff.get_server(server_id)
    assert server.host in list_hosts(staff) and server.hypervisor


def test_owner_may_not(cloud, server_id):
    compute = cloud.compute
    for call in (
        compute.list_hypervisors,
        compute.list_compute_services,
        compute.list_host_aggregates,
        lambda: compute.migrate_server(server_id),
        lambda: compute.live_migrate_server(server_id),
        lambda: compute.evacuate_server(server_id),
        lambda: compute.list_migrations(server_id),
        lambda: compute.abort_live_migration(server_id, 1),
    ):
        with pytest.raises(CloudForbiddenError, match="Policy doesn't allow"):
            call()


def read_last_migration(staff, server_id, statuses):
    return wait_for(
        lambda: next(iter(staff.list_migrations(server_id)), None),
        lambda m: m is not None and m.status in statuses,
        f"the migration's {statuses}",
    )


def test_cold_migration(cloud, staff, server_id):
    before = staff.get_server(server_id)
    staff.migrate_server(server_id)
    if len(list_hosts(staff)) == 1:
        failed = read_last_migration(staff, server_id, {"error"})
        assert failed.kind == "migration"
        assert wait_server_status(cloud, server_id, "ACTIVE").fault is None
        assert cloud.compute.list_server_actions(server_id)[0].message == "Error"
        return
    wait_server_status(cloud, server_id, "VERIFY_RESIZE")
    assert staff.get_server(server_id).host != before.host
    read_last_migration(staff, server_id, {"finished"})
    cloud.compute.revert_resize(server_id)
    wait_server_status(cloud, server_id, "ACTIVE")
    assert staff.get_server(server_id).host == before.host
    staff.migrate_server(server_id)
    wait_server_status(cloud, server_id, "VERIFY_RESIZE")
    cloud.compute.confirm_resize(server_id)
    wait_server_status(cloud, server_id, "ACTIVE")
    assert staff.get_server(server_id).host != before.host
    assert [m.status for m in staff.list_migrations(server_id)] == ["confirmed", "reverted"]


def test_live_migration(cloud, staff, server_id, slow_cloud):
    before = staff.get_server(server_id)
    with slow_cloud():
        staff.live_migrate_server(server_id)
        assert cloud.compute.get_server(server_id).status == "MIGRATING"
    only_one = len(list_hosts(staff)) == 1
    ended = read_last_migration(staff, server_id, {"error"} if only_one else {"completed"})
    assert ended.kind == "live-migration"
    wait_server_status(cloud, server_id, "ACTIVE")
    action = cloud.compute.list_server_actions(server_id)[0]
    assert (action.action, action.message) == ("live-migration", "Error" if only_one else None)
    assert (staff.get_server(server_id).host == before.host) is only_one


def test_aborted_live_migration(cloud, staff, server_id, slow_cloud):
    """A migration on a real cloud may end, or find no host, before it is aborted; it is then refused in one of these ways."""
    before = staff.get_server(server_id)
    with pytest.raises((CloudConflictError, CloudNotFoundError)):
        staff.abort_live_migration(server_id, 1)
    with slow_cloud():
        staff.live_migrate_server(server_id)
        try:
            running = read_last_migration(
                staff, server_id, {"queued", "preparing", "running", "error", "completed"}
            )
            staff.abort_live_migration(server_id, running.number)
            is_aborted = True
        except (CloudConflictError, CloudNotFoundError, InvalidCloudRequestError):
            is_aborted = False
    ended = read_last_migration(staff, server_id, {"cancelled", "error", "completed"})
    wait_server_status(cloud, server_id, "ACTIVE")
    if is_aborted and ended.status == "cancelled":
        assert staff.get_server(server_id).host == before.host
        assert cloud.compute.list_server_actions(server_id)[0].action == "live_migration_cancel"
    with pytest.raises((CloudConflictError, CloudNotFoundError, InvalidCloudRequestError)):
        staff.abort_live_migration(server_id, running.number)


def test_host_that_is_none_or_the_servers_own(staff, server_id):
    own = staff.get_server(server_id).host
    for call, words in (
        (lambda: staff.migrate_server(server_id, host="nowhere"), "Compute host nowhere could not be found"),
        (
            lambda: staff.live_migrate_server(server_id, host="nowhere"),
            "Compute host nowhere could not be found",
        ),
        (lambda: staff.migrate_server(server_id, host=own), "Cannot migrate to the host where the server"),
        (lambda: staff.evacuate_server(server_id), f"Compute service of {own} is still in use"),
        (lambda: staff.evacuate_server(server_id, host=own), "can't be the same one"),
    ):
        with pytest.raises(InvalidCloudRequestError, match=words):
            call()
    with pytest.raises(CloudNotFoundError, match="Compute host nowhere not found"):
        staff.evacuate_server(server_id, host="nowhere")


def test_nobodys(staff):
    for call in (staff.migrate_server, staff.live_migrate_server, staff.evacuate_server):
        with pytest.raises(CloudNotFoundError):
            call(NOBODY)
    assert staff.list_migrations(NOBODY) == []
