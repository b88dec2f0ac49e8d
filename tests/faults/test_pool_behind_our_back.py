"""Volumes that are deleted, broken, attached, renamed or extended in Cinder without the portal, at each state of a spare."""

from __future__ import annotations

import pytest

from tasks import engine
from tasks.models import Job
from tests.stories import select_evenly
from volumepool.commands import RemoveSpareCommand
from volumepool.models import SpareVolume, Volume
from volumepool.services import backfill

from .killable_worker import killable_worker
from .pool.stage import PoolStage

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]

CHANGES = {
    "deleted": None,
    "in error": {"status": "error"},
    "attached": {"status": "in-use", "attachments": [{"server_id": "x", "device": "/dev/vdb"}]},
    "renamed": {"name": "mine now"},
    "resized": {"size": 9},
}
TAKEN = {"attached", "renamed"}


@pytest.fixture
def stage(cloud, account):
    with killable_worker() as worker:
        yield PoolStage.of(cloud, account, worker)


def change_externally(stage, volume_id, change):
    """Change one volume without the portal, and record that for the invariants."""
    if CHANGES[change] is None:
        stage.cloud.call("DELETE", f"volumes/{volume_id}")
        stage.changed.removed.add(volume_id)
    else:
        stage.change_volume(volume_id, **CHANGES[change])
    if change in TAKEN:
        stage.changed.taken.add(volume_id)


def exists(stage, volume_id):
    return volume_id in {one["id"] for one in stage.cloud.call("GET", "objects")["volumes"]}


changes = pytest.mark.parametrize("change", select_evenly(CHANGES, 3))


@changes
def test_a_spare_that_is_ready(stage, change):
    stage.clear()
    spare = SpareVolume.objects.claimable().first()
    change_externally(stage, spare.volume_id, change)

    assert stage.settle() == []
    assert not SpareVolume.objects.filter(volume_id=spare.volume_id).exists()
    assert exists(stage, spare.volume_id) == (change in TAKEN)


@changes
def test_a_spare_that_is_being_made(stage, change):
    stage.clear(spares=0)
    stage.cloud.clock(volume_seconds=60)
    backfill(stage.pool.pk)
    stage.worker.run_round()
    (made, *_others) = [one["id"] for one in stage.cloud.call("GET", "objects")["volumes"]]
    change_externally(stage, made, change)
    stage.worker.run_rounds(3)
    stage.cloud.clock(volume_seconds=0, advance_seconds=61)

    stage.settle()

    if change == "attached":  # It was never a spare: its own job has removed it, or waits until it may.
        stage.changed.taken.discard(made)
    assert stage.find_violations() == []


@pytest.mark.parametrize("change", sorted(set(CHANGES) - TAKEN))
def test_a_spare_that_is_being_removed(stage, change):
    stage.clear()
    old = SpareVolume.objects.claimable().first()
    type(stage.pool).objects.update(desired=2)
    stage.reconcile()
    assert Job.objects.get().kind == RemoveSpareCommand.kind
    change_externally(stage, old.volume_id, change)
    stage.worker.run_rounds(3)

    assert stage.settle() == []


@changes
def test_a_spare_between_its_claim_and_the_look_at_it(stage, change):
    stage.clear()
    (volume,) = stage.claim().volumes
    change_externally(stage, volume.volume_id, change)

    assert stage.settle() == []
    given = Volume.objects.get(pk=volume.pk)
    assert (given.status, given.source) == ("available", "created")
    assert given.volume_id != volume.volume_id
    assert exists(stage, volume.volume_id) == (change in TAKEN)


@pytest.mark.parametrize("at", ["before it is replaced", "before the bad one is removed"])
def test_what_is_on_somebodys_server_is_not_removed_when_it_comes_off(stage, at):
    """The spare was attached without the portal, and is detached while the claim's job replaces it."""
    step = {"before it is replaced": "replace_unusable", "before the bad one is removed": "delete_unusable"}[
        at
    ]
    stage.clear()
    (volume,) = stage.claim().volumes
    change_externally(stage, volume.volume_id, "attached")

    def detach(*place):
        if place == ("recorded", "volumepool.take_spare", step):
            stage.change_volume(volume.volume_id, status="available", attachments=[])

    stage.worker.on_point = detach
    stage.worker.work()
    assert exists(stage, volume.volume_id), "somebody's data were removed"


def test_what_has_been_on_a_server_is_no_spare_again(stage):
    """A spare that was attached and detached may have been written to, so no tenant may get it."""
    stage.clear()
    used = SpareVolume.objects.claimable().first().volume_id
    change_externally(stage, used, "attached")
    stage.reconcile()
    stage.change_volume(used, status="available", attachments=[])

    stage.settle()
    for _ in range(3):
        stage.reconcile()

    assert not SpareVolume.objects.filter(volume_id=used).exists()
    assert exists(stage, used), "it is somebody's"


@pytest.mark.parametrize("change", sorted(TAKEN))
def test_what_somebody_takes_while_it_is_to_be_removed_stays_his(stage, change):
    """The spare is surplus, and the job that removes it has not begun."""
    stage.clear()
    old = SpareVolume.objects.claimable().first()
    type(stage.pool).objects.update(desired=2)
    stage.reconcile()
    change_externally(stage, old.volume_id, change)
    stage.worker.run_rounds(2)
    if change == "attached":
        stage.change_volume(old.volume_id, status="available", attachments=[])

    stage.settle()

    assert exists(stage, old.volume_id), "somebody's data were removed"
    assert stage.find_violations() == []


@pytest.mark.parametrize("ends", ["refused", "cancelled"])
def test_a_spare_whose_removal_came_to_nothing_is_removed_later(stage, ends):
    stage.clear()
    type(stage.pool).objects.update(desired=2)
    stage.reconcile()
    if ends == "refused":
        stage.cloud.faults({"method": "DELETE", "path": "/volumes/", "kind": "status", "status": 403})
    else:
        engine.cancel(Job.objects.get())
    stage.worker.work()
    assert Job.objects.get().status in {"failed", "cancelled"}

    assert stage.settle() == []
