"""The stories about pools: each prepares a state and requests an operation.

The tests run a story undisturbed, then with a fault at each of its requests, with a death at each place that its worker
passes, and with a death at each statement that the service writes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from volumepool.models import SpareVolume, VolumePool
from volumepool.services import backfill

from .stage import PoolStage


@dataclass(frozen=True)
class Story:
    """One story: `prepare` is never disturbed, `act` is. `tenants` is the number of volumes of tenants at the end."""

    name: str
    prepare: Callable[[PoolStage], None]
    act: Callable[[PoolStage], object]
    tenants: int = 0


def prepare_full_pool(stage: PoolStage) -> None:
    """Prepare a full pool."""
    stage.clear()


def prepare_empty_pool(stage: PoolStage) -> None:
    """Prepare an empty pool."""
    stage.clear(spares=0)
    VolumePool.objects.update(desired=1)


def prepare_usable_and_broken_spare(stage: PoolStage) -> None:
    """Prepare a usable spare and one in error, for a claim of three."""
    stage.clear(spares=2)
    stage.change_volume(get_oldest_spare(stage).volume_id, status="error")


def prepare_differences(stage: PoolStage) -> None:
    """Prepare a spare in error, one that is gone, one that was taken, and an orphan that was seen once."""
    stage.clear(spares=4)
    broken, gone, taken, lost = SpareVolume.objects.order_by("available_at")
    SpareVolume.objects.filter(pk=lost.pk).delete()
    stage.reconcile()
    stage.change_volume(broken.volume_id, status="error")
    stage.cloud.call("DELETE", f"volumes/{gone.volume_id}")
    stage.change_volume(taken.volume_id, name="mine now")
    stage.changed.taken.add(str(taken.volume_id))


def prepare_surplus_spare(stage: PoolStage) -> None:
    """Prepare a pool that has one spare more than desired."""
    stage.clear()
    VolumePool.objects.update(desired=2)


def get_oldest_spare(stage: PoolStage) -> SpareVolume:
    """Return the oldest spare: the next one that a claim takes."""
    return SpareVolume.objects.claimable().filter(pool=stage.pool)[0]


STORIES = {
    story.name: story
    for story in (
        Story("claim a spare", prepare_full_pool, lambda stage: stage.claim(), 1),
        Story(
            "claim a good one, a bad one and one more",
            prepare_usable_and_broken_spare,
            lambda stage: stage.claim(3),
            3,
        ),
        Story("backfill", prepare_empty_pool, lambda stage: backfill(stage.pool.pk)),
        Story("reconcile", prepare_differences, lambda stage: stage.reconcile()),
        Story("remove a spare", prepare_surplus_spare, lambda stage: stage.reconcile()),
    )
}
