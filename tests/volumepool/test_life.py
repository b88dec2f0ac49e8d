"""The life of pools of every kind over REST, in the simulated cloud, or in the cloud of PORTAL_TEST_CLOUD.

    PORTAL_TEST_CLOUD=demo python -m pytest -n 0 -s tests/volumepool/test_life.py

prints the time to claim a spare, and the time to create a volume.
"""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections import Counter
from contextlib import contextmanager

import pytest
from django.db import connection

from cloudaccounts.connect import fill_from_clouds_yaml, open_cloud
from cloudaccounts.models import CloudAccount
from openstack_client import CloudConflictError, CloudError, CloudNotFoundError
from tests.factories import grant_everything
from tests.vms.conftest import admin, system
from tests.working import work
from volumepool.models import SpareVolume, Volume, VolumePool
from volumepool.services import backfill, reconcile, select_pools_to_fill

__all__ = ["admin", "system"]

REAL = os.environ.get("PORTAL_TEST_CLOUD")
PATIENCE = 180.0 if REAL else 20.0
DESIRED = 3


@pytest.fixture
def account(cloud, transactional_db):
    """The simulator's account, or a real cloud's."""
    if not REAL:
        # Long enough to be told from a claim, which waits for nothing.
        cloud.clock(volume_seconds=0.3)
        return cloud.account()
    account = CloudAccount(name=REAL)
    account.regions = [fill_from_clouds_yaml(account, REAL) or "RegionOne"]
    account.save()
    grant_everything(account)
    return account


@pytest.fixture
def region(account):
    return account.regions[0] if account.regions else "RegionOne"


@pytest.fixture
def mark(settings):
    """Return a unique tag for everything that the portal creates in this test."""
    settings.CLOUD_TAG = f"life-{uuid.uuid4().hex[:8]}"
    return settings.CLOUD_TAG


@pytest.fixture
def storage(account, region, mark):
    """Return Cinder's client, and delete everything that the test has created at the end."""
    storage = open_cloud(account, region).block_storage
    yield storage
    for snapshot in ours(storage, mark)[1]:
        gone(storage.delete_snapshot, storage.get_snapshot, snapshot)
    for volume in ours(storage, mark)[0]:
        gone(storage.delete_volume, storage.get_volume, volume)


def ours(storage, mark):
    """Return the volumes and snapshots in Cinder with the test's metadata, under any key."""
    return [
        [one.id for page in pages for one in page if mark in one.metadata.values()]
        for pages in (storage.volume_pages(), storage.snapshot_pages())
    ]


def gone(remove, look, cinder_id):
    """Delete an object and wait until it is gone; repeat a deletion that its state does not allow yet."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        try:
            remove(cinder_id)
        except CloudNotFoundError:
            return
        except CloudError:
            time.sleep(0.1)
    pytest.fail(f"{cinder_id} did not go: it is {look(cinder_id).status}")


class Golden:
    """The operator's volume, of which new snapshots are created."""

    def __init__(self, storage, mark):
        self.storage, self.mark = storage, mark
        self.volume = storage.create_volume(name=f"{mark}-golden", size_gb=1, metadata={"life": mark})

    def snapshot(self):
        """Create a snapshot, and wait until it is available."""
        until = time.monotonic() + PATIENCE
        while True:
            try:
                made = self.storage.create_snapshot(
                    self.volume.id, name=f"{self.mark}-golden", metadata={"life": self.mark}
                )
                break
            except CloudConflictError:
                # The volume is still being made.
                assert time.monotonic() < until
                time.sleep(0.1)
        while self.storage.get_snapshot(made.id).status != "available":
            assert time.monotonic() < until
            time.sleep(0.1)
        # Cinder's times are whole seconds, and the newest is to be the newest.
        time.sleep(1.1)
        return made.id


@pytest.fixture
def golden(storage, mark):
    return Golden(storage, mark)


@pytest.fixture
def pools(account, region, mark, storage, golden):
    """Create a pool of blank volumes, one of a snapshot by its name, and one of an image."""
    image = min(
        (one for one in open_cloud(account, region).image.list_images() if one.status == "active"),
        key=lambda one: one.min_disk_gb,
    )
    shared = {"account": account, "region": region, "desired": DESIRED, "max_in_flight": DESIRED}
    return {
        "empty": VolumePool.objects.create(type="empty", size_gb=1, **shared),
        "golden": VolumePool.objects.create(
            type="golden", size_gb=1, snapshot_prefix=f"{mark}-golden", **shared
        ),
        "system": VolumePool.objects.create(
            type="system", size_gb=max(1, image.min_disk_gb), image_id=image.id, **shared
        ),
    }


def beat(account, region):
    """Run the scheduled tasks until the pools have their desired stock."""
    for _round in range(6):
        before = list(SpareVolume.objects.order_by("pk").values_list("pk", "status", "snapshot_id"))
        assert reconcile(account.pk, region)
        work(PATIENCE)
        for pool_id in select_pools_to_fill():
            backfill(pool_id)
        work(PATIENCE)
        if before == list(SpareVolume.objects.order_by("pk").values_list("pk", "status", "snapshot_id")):
            return
    pytest.fail("the pools do not come to rest")


def stock():
    """Return the number of ready spares of each pool."""
    ready = SpareVolume.objects.claimable().order_by()
    return Counter(ready.values_list("pool__type", flat=True))


@contextmanager
def sampled(seen):
    """Read the stock repeatedly in a thread while the block runs."""
    over = threading.Event()

    def look():
        try:
            while not over.is_set():
                seen.append(stock())
                time.sleep(0.01)
        finally:
            connection.close()

    looker = threading.Thread(target=look)
    looker.start()
    try:
        yield
    finally:
        over.set()
        looker.join()


def claimed(admin, system, type_code, count):
    """Claim volumes over REST; return them, and the seconds until the claim and until the end of its job."""
    began = time.monotonic()
    wish = {"information_system": str(system.pk), "type": type_code, "count": count}
    answer = admin.post("/api/v1/volumes/", wish, format="json")
    answered = time.monotonic() - began
    admin.done(answer, PATIENCE)
    return answer.json()["volumes"], answered, time.monotonic() - began


def test_the_whole_life_of_pools(admin, system, account, region, mark, storage, golden, pools):
    lines = []

    def tell(what, seconds):
        lines.append(f"{what:44} {seconds * 1000:8.0f} ms")

    old = golden.snapshot()
    began = time.monotonic()
    beat(account, region)
    tell(f"fill three pools with {DESIRED} each", time.monotonic() - began)
    full = Counter(dict.fromkeys(pools, DESIRED))
    assert stock() == full
    assert {s.snapshot_id for s in SpareVolume.objects.filter(pool=pools["golden"])} == {old}
    look_at_contents(storage, pools, old)

    for type_code, pool in pools.items():
        pool.refresh_from_db()
        tell(f"{type_code}: creation of a spare, mean", pool.creation_seconds)
        spares, answered, done = claimed(admin, system, type_code, DESIRED)
        assert {one["source"] for one in spares} == {"pool"}
        assert all(one["volume_id"] for one in spares), "it is his with the answer"
        tell(f"{type_code}: {DESIRED} spares, his with the answer", answered)
        tell(f"{type_code}: and renamed in Cinder", done)
        (made,), _answered, done = claimed(admin, system, type_code, 1)
        assert made["source"] == "created", "the pool is dry"
        tell(f"{type_code}: one that has to be made", done)
    assert not stock()
    for volume in Volume.objects.all():
        found = storage.get_volume(volume.volume_id)
        assert (found.status, found.name) == ("available", volume.name)
        assert found.metadata["portal_volume"] == str(volume.pk)

    began = time.monotonic()
    beat(account, region)
    assert stock() == full
    tell("fill them again", time.monotonic() - began)

    new, seen = golden.snapshot(), []
    began = time.monotonic()
    with sampled(seen):
        beat(account, region)
    tell("roll over to a newer snapshot", time.monotonic() - began)
    assert {s.snapshot_id for s in SpareVolume.objects.filter(pool=pools["golden"])} == {new}
    assert stock() == full
    assert len(seen) > 10
    lowest = min(one["golden"] for one in seen)
    lines.append(f"{'lowest stock meanwhile':44} {lowest:8} of {DESIRED}, {len(seen)} times looked")
    assert lowest >= DESIRED
    print("\n".join(["", *lines]))  # noqa: T201 - what it is run for.

    for volume in Volume.objects.all():
        answer = admin.delete(f"/api/v1/volumes/{volume.pk}/")
        assert answer.status_code == 202, answer.json()
    VolumePool.objects.update(desired=0)
    beat(account, region)
    assert not Volume.objects.exists()
    assert not SpareVolume.objects.exists()
    assert ours(storage, mark)[0] == [golden.volume.id], "what is left is the operator's"


def look_at_contents(storage, pools, snapshot_id):
    """Return the sources of the spares according to Cinder."""
    for type_code, pool in pools.items():
        for spare in SpareVolume.objects.filter(pool=pool):
            found = storage.get_volume(spare.volume_id)
            assert found.size_gb == pool.size_gb
            assert found.snapshot_id == (snapshot_id if type_code == "golden" else None)
            assert found.image_id == (pool.image_id or None)
