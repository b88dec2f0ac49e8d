"""The cloud under test: a simulator of our own, or the one that PORTAL_TEST_CLOUD names in clouds.yaml."""

import contextlib
import os
import time
import uuid
import warnings

import openstack
import pytest
import requests

from openstack_client import Cloud, CloudCredentials, CloudError, Conflict, NotFound, simulator

REAL = os.environ.get("PORTAL_TEST_CLOUD")
# A real cloud may take its time; nothing is waited for longer than this.
PATIENCE_SECONDS = 60.0


def pytest_collection_modifyitems(items):
    for item in items:
        if "tests/contract" in str(item.path):
            # Openstacksdk's own calls, which we compare with, warn of openstacksdk's own plans.
            item.add_marker(pytest.mark.filterwarnings("ignore::PendingDeprecationWarning:openstack"))
            if REAL:
                item.add_marker(pytest.mark.realcloud)


@pytest.fixture(scope="session")
def simulated():
    """The simulator with a fast clock, or None against a real cloud."""
    if REAL:
        yield None
        return
    with simulator.start() as server:
        requests.post(
            f"{server.url}/_control/clock",
            json={"build_seconds": 0.3, "action_seconds": 0.1, "volume_seconds": 0.1},
            timeout=5,
        ).raise_for_status()
        yield server


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
    """Openstacksdk itself, to compare with."""
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
    """Unique: everything a test makes carries it."""
    return f"contract-{uuid.uuid4()}"


def wait_for(look, wanted, what="it"):
    """Look again and again until `wanted(look())`; returns what was seen."""
    end = time.monotonic() + PATIENCE_SECONDS
    delay = 0.03
    while True:
        seen = look()
        if wanted(seen):
            return seen
        assert time.monotonic() < end, f"{what} did not come about within {PATIENCE_SECONDS} s: {seen}"
        time.sleep(delay)
        delay = min(delay * 1.5, 1.0)


def gone(look):
    """Whether looking raises NotFound."""
    try:
        look()
    except NotFound:
        return True
    return False


@pytest.fixture(scope="session")
def parts(cloud):
    """The smallest flavor, an image and an internal network. None that a test has made, and removes again."""
    flavor = min(cloud.compute.list_flavors(), key=lambda f: (f.vcpus, f.memory_mb))
    images = [
        i for i in cloud.image.list_images() if i.status == "active" and not i.name.startswith("contract-")
    ]
    image = min(images, key=lambda i: i.min_disk_gb)
    networks = cloud.network.list_networks()
    network = next(n for n in networks if not n.is_external and not n.name.startswith("contract-"))
    return flavor, image, network


@pytest.fixture
def make_server(cloud, parts, tag, make_volume):
    """Makes servers, and removes them at the end whatever happened."""
    made = []

    def make(**more):
        flavor, image, network = parts
        wanted = {
            "name": tag,
            "flavor_id": flavor.id,
            "image_id": image.id,
            "network_ids": [network.id],
            "tags": [tag],
            **more,
        }
        server = cloud.compute.create_server(**wanted)
        made.append(server.id)
        return server

    yield make
    for server_id in {*made, *(s.id for s in cloud.compute.find_servers_by_tag(tag))}:
        with contextlib.suppress(NotFound):
            cloud.compute.delete_server(server_id)
    for server_id in made:
        wait_for(
            lambda server_id=server_id: gone(lambda: cloud.compute.get_server(server_id)), bool, "the removal"
        )


@pytest.fixture
def make_volume(cloud, tag):
    """Makes volumes, and removes them at the end whatever happened."""
    made = []

    def make(**more):
        wanted = {"name": tag, "size_gb": 1, "metadata": {"contract": tag}, **more}
        volume = cloud.block_storage.create_volume(**wanted)
        made.append(volume.id)
        return volume

    yield make
    for volume_id in made:

        def remove(volume_id=volume_id):
            try:
                cloud.block_storage.delete_volume(volume_id)
            except NotFound:
                return True
            except CloudError:
                return False
            return False

        wait_for(remove, bool, "the volume's removal")


@pytest.fixture
def made_images(cloud):
    """Ids of images to remove at the end, together with the snapshots that they name."""
    made = []
    yield made
    for image_id in made:
        with contextlib.suppress(NotFound):
            image = cloud.image.get_image(image_id)
            cloud.image.delete_image(image_id)
            for snapshot_id in image.snapshot_ids:
                remove_snapshot(cloud, snapshot_id)


def remove_snapshot(cloud, snapshot_id):
    """Ask for its end when it can be, and wait for that."""

    def remove():
        with contextlib.suppress(Conflict):
            cloud.block_storage.delete_snapshot(snapshot_id)
        return gone(lambda: cloud.block_storage.get_snapshot(snapshot_id))

    def done():
        try:
            return remove()
        except NotFound:
            return True

    wait_for(done, bool, "the snapshot's removal")


def volume_status(cloud, volume_id, status):
    return wait_for(
        lambda: cloud.block_storage.get_volume(volume_id), lambda v: v.status == status, f"volume {status}"
    )


def wait_status(cloud, server_id, status):
    return wait_for(
        lambda: cloud.compute.get_server(server_id),
        lambda s: s.status == status and s.task_state is None,
        status,
    )
