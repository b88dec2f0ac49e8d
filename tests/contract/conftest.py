"""The cloud under test: a simulator of our own, or the one that PORTAL_TEST_CLOUD names in clouds.yaml."""

import contextlib
import os
import time
import uuid
import warnings

import openstack
import pytest
import requests

import simulator
from openstack_client import (
    Cloud,
    CloudConflictError,
    CloudCredentials,
    CloudError,
    CloudNotFoundError,
    ServerNetwork,
)
from tests.listings import read_all_pages

from .processes import find_processes, slowed_processes
from .reach import (
    closed_network,
    external,
    limit_network,
    make_floating_ip,
    make_group,
    make_port,
    own_network,
    small_external_network,
)

__all__ = [
    "closed_network",
    "external",
    "limit_network",
    "make_floating_ip",
    "make_group",
    "make_port",
    "own_network",
    "small_external_network",
]

REAL = os.environ.get("PORTAL_TEST_CLOUD")
# The cloud in clouds.yaml whose user may set limits and states. Without it, the tests that need them are skipped.
REAL_ADMIN = os.environ.get("PORTAL_TEST_CLOUD_ADMIN", "admin")
# The programs on this machine that carry out a real cloud's actions, such as "nova-compute,cinder-volume". They are slowed down
# while a test looks at an action that is going on; otherwise the action may be over before the test's second request.
REAL_WORKERS = [name for name in os.environ.get("PORTAL_TEST_CLOUD_WORKERS", "").split(",") if name]
# A real cloud may be slow. No wait is longer than this.
MAX_WAIT_SECONDS = 60.0


def pytest_collection_modifyitems(items):
    for item in items:
        if "tests/contract" in str(item.path):
            # The calls of openstacksdk that the tests compare with raise its own deprecation warnings.
            item.add_marker(pytest.mark.filterwarnings("ignore::PendingDeprecationWarning:openstack"))
            if REAL:
                item.add_marker(pytest.mark.realcloud)


@pytest.fixture(scope="session")
def simulated():
    """The simulator with a fast clock; None against a real cloud."""
    if REAL:
        yield None
        return
    with simulator.start() as server:
        set_clock(server, **FAST)
        yield server


FAST = {"build_seconds": 0.3, "action_seconds": 0.1, "volume_seconds": 0.1}


def set_clock(server, **settings):
    requests.post(f"{server.url}/_control/clock", json=settings, timeout=5).raise_for_status()


@pytest.fixture
def slow_cloud(simulated):
    """A block in which the cloud is slow, for what it refuses during an action.

    A real cloud is slow by itself, but not surely so: see PORTAL_TEST_CLOUD_WORKERS.
    """

    @contextlib.contextmanager
    def block():
        if simulated is None:
            with slowed_processes(find_processes(REAL_WORKERS)):
                yield
            return
        set_clock(simulated, **dict.fromkeys(FAST, 5.0))
        try:
            yield
        finally:
            set_clock(simulated, **FAST)

    return block


@pytest.fixture(scope="session")
def credentials(simulated):
    if simulated is not None:
        return CloudCredentials(
            auth_url=simulated.auth_url, username="demo", password="demo", project_name="demo"
        )
    cloud = Cloud.from_clouds_yaml(REAL)
    found = cloud._credentials
    cloud.close()
    return found


@pytest.fixture(scope="session")
def cloud(credentials):
    with Cloud(credentials) as opened:
        yield opened


@pytest.fixture(scope="session")
def sdk(credentials):
    """A connection of openstacksdk, to compare with."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        connection = openstack.connection.Connection(
            auth={
                "auth_url": credentials.auth_url,
                "username": credentials.username,
                "password": credentials.password,
                "project_name": credentials.project_name,
                "user_domain_name": "Default",
                "project_domain_name": "Default",
            },
        )
    yield connection
    connection.close()


@pytest.fixture
def tag():
    """A unique name for everything that a test creates."""
    return f"contract-{uuid.uuid4()}"


def wait_for(read, is_wanted, what="it"):
    """Read until `is_wanted(read())` holds, and return what was read."""
    end = time.monotonic() + MAX_WAIT_SECONDS
    delay = 0.03
    while True:
        found = read()
        if is_wanted(found):
            return found
        assert time.monotonic() < end, f"{what} did not happen within {MAX_WAIT_SECONDS} s: {found}"
        time.sleep(delay)
        delay = min(delay * 1.5, 1.0)


def is_gone(read):
    """Return whether a read raises CloudNotFoundError."""
    try:
        read()
    except CloudNotFoundError:
        return True
    return False


@pytest.fixture(scope="session")
def server_resources(cloud):
    """The smallest flavor, an image and an internal network, none of them created by a test."""
    flavor = min(cloud.compute.list_flavors(), key=lambda f: (f.vcpus, f.memory_mb))
    images = [
        i for i in cloud.image.list_images() if i.status == "active" and not i.name.startswith("contract-")
    ]
    image = min(images, key=lambda i: i.min_disk_gb)
    networks = read_all_pages(cloud.network.network_pages())
    network = next(n for n in networks if not n.is_external and not n.name.startswith("contract-"))
    return flavor, image, network


@pytest.fixture
def make_server(cloud, server_resources, tag, make_volume):
    """Create servers, and remove them at the end of the test."""
    created = []

    def make(**more):
        flavor, image, network = server_resources
        wanted = {
            "name": tag,
            "flavor_id": flavor.id,
            "image_id": image.id,
            "networks": [ServerNetwork(network.id)],
            "tags": [tag],
            **more,
        }
        server = cloud.compute.create_server(**wanted)
        created.append(server.id)
        return server

    yield make
    for server_id in {*created, *(s.id for s in cloud.compute.find_servers_by_tag(tag))}:
        with contextlib.suppress(CloudNotFoundError):
            cloud.compute.delete_server(server_id)
    for server_id in created:
        wait_for(
            lambda server_id=server_id: is_gone(lambda: cloud.compute.get_server(server_id)),
            bool,
            "the removal",
        )


@pytest.fixture
def make_volume(cloud, tag):
    """Create volumes, and remove them at the end of the test."""
    created = []

    def make(**more):
        wanted = {"name": tag, "size_gb": 1, "metadata": {"contract": tag}, **more}
        volume = cloud.block_storage.create_volume(**wanted)
        created.append(volume.id)
        return volume

    yield make
    for volume_id in created:

        def remove(volume_id=volume_id):
            try:
                cloud.block_storage.delete_volume(volume_id)
            except CloudNotFoundError:
                return True
            except CloudError:
                return False
            return False

        wait_for(remove, bool, "the volume's removal")


@pytest.fixture
def made_snapshots(cloud, make_volume):
    """The ids of snapshots to remove at the end, before their volumes."""
    snapshot_ids = []
    yield snapshot_ids
    for snapshot_id in snapshot_ids:
        remove_snapshot(cloud, snapshot_id)


@pytest.fixture
def make_snapshot(cloud, tag, made_snapshots):
    """Create snapshots of volumes, and remove them at the end of the test."""

    def make(volume_id, **more):
        snapshot = cloud.block_storage.create_snapshot(
            volume_id, **{"name": tag, "metadata": {"contract": tag}, **more}
        )
        made_snapshots.append(snapshot.id)
        return snapshot

    return make


@pytest.fixture(scope="session")
def optional_administrator(simulated):
    """A connection of openstacksdk that may set limits and states; None if clouds.yaml has none."""
    if simulated is not None:
        found = {"auth_url": simulated.auth_url, "username": "admin", "password": "admin"}
        names = {"project_name": "admin", "user_domain_name": "Default", "project_domain_name": "Default"}
        connection = openstack.connection.Connection(auth={**found, **names})
    else:
        try:
            connection = openstack.connect(cloud=REAL_ADMIN)
        except openstack.exceptions.ConfigException:
            connection = None
    yield connection
    if connection is not None:
        connection.close()


@pytest.fixture
def administrator(optional_administrator):
    if optional_administrator is None:
        pytest.skip(f"clouds.yaml has no cloud {REAL_ADMIN!r}, which is needed to set limits and states")
    return optional_administrator


@pytest.fixture
def set_volume_status(administrator):
    """Set a volume's status for good. A status that the cloud sets during an action may be over too soon."""

    def put(volume_id, status):
        wanted = {"os-reset_status": {"status": status}}
        answer = administrator.block_storage.post(f"/volumes/{volume_id}/action", json=wanted)
        assert answer.status_code == 202, answer.text

    return put


@pytest.fixture
def limit_storage(cloud, administrator):
    """Set Cinder's limits for the project, each this much above its usage, and restore them at the end of the test."""
    path = f"/os-quota-sets/{cloud.project_id}"

    def put(limits):
        answer = administrator.block_storage.put(path, json={"quota_set": limits})
        assert answer.status_code == 200, answer.text

    before = {quota.name: quota for quota in cloud.block_storage.list_quotas()}

    def limit(**more):
        now = {quota.name: quota.in_use for quota in cloud.block_storage.list_quotas()}
        put({name: now[name] + count for name, count in more.items()})

    yield limit
    names = ("volumes", "gigabytes", "snapshots", "gigabytes_fake")
    put({name: -1 if before[name].limit is None else before[name].limit for name in names if name in before})


@pytest.fixture
def made_images(cloud):
    """The ids of images to remove at the end, together with their snapshots."""
    image_ids = []
    yield image_ids
    for image_id in image_ids:
        with contextlib.suppress(CloudNotFoundError):
            image = cloud.image.get_image(image_id)
            cloud.image.delete_image(image_id)
            for snapshot_id in image.snapshot_ids:
                remove_snapshot(cloud, snapshot_id)


def remove_snapshot(cloud, snapshot_id):
    """Delete a snapshot as soon as the cloud accepts that, and wait until it is gone."""

    def remove():
        with contextlib.suppress(CloudConflictError):
            cloud.block_storage.delete_snapshot(snapshot_id)
        return is_gone(lambda: cloud.block_storage.get_snapshot(snapshot_id))

    def done():
        try:
            return remove()
        except CloudNotFoundError:
            return True

    wait_for(done, bool, "the snapshot's removal")


def wait_volume_status(cloud, volume_id, status):
    return wait_for(
        lambda: cloud.block_storage.get_volume(volume_id), lambda v: v.status == status, f"volume {status}"
    )


def wait_server_status(cloud, server_id, status):
    return wait_for(
        lambda: cloud.compute.get_server(server_id),
        lambda s: s.status == status and s.task_state is None,
        status,
    )
