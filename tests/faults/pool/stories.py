"""What may be done to pools, each as a story: what has to be there before, and what is asked for.

A story is told undisturbed; then with a fault at each of its requests, with a death at each place that its worker passes,
and at each statement that the service itself writes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from volumepool.models import SpareVolume, VolumePool
from volumepool.services import backfill

from .stage import PoolStage


@dataclass(frozen=True)
class Story:
    """`prepare` is never disturbed; `act` is. `tenants` is how many volumes tenants have in the end."""

    name: str
    prepare: Callable[[PoolStage], None]
    act: Callable[[PoolStage], object]
    tenants: int = 0


def three_spares(stage: PoolStage) -> None:
    """A full pool."""
    stage.clear()


def no_spare(stage: PoolStage) -> None:
    """An empty pool."""
    stage.clear(spares=0)
    VolumePool.objects.update(desired=1)


def one_of_each(stage: PoolStage) -> None:
    """A good spare and one in error, for a claim of three."""
    stage.clear(spares=2)
    stage.change(first(stage).volume_id, status="error")


def everything_to_compare(stage: PoolStage) -> None:
    """A spare in error, one that is gone, one that was taken, and a stray that was seen once."""
    stage.clear(spares=4)
    broken, gone, taken, lost = SpareVolume.objects.order_by("available_at")
    SpareVolume.objects.filter(pk=lost.pk).delete()
    stage.reconcile()
    stage.change(broken.volume_id, status="error")
    stage.cloud.call("DELETE", f"volumes/{gone.volume_id}")
    stage.change(taken.volume_id, name="mine now")
    stage.done.taken.add(str(taken.volume_id))


def one_too_many(stage: PoolStage) -> None:
    """A pool that is to be smaller."""
    stage.clear()
    VolumePool.objects.update(desired=2)


def first(stage: PoolStage) -> SpareVolume:
    """The oldest spare: the next to be given."""
    return SpareVolume.objects.claimable().filter(pool=stage.pool)[0]


STORIES = {
    story.name: story
    for story in (
        Story("claim a spare", three_spares, lambda stage: stage.claim(), 1),
        Story("claim a good one, a bad one and one more", one_of_each, lambda stage: stage.claim(3), 3),
        Story("backfill", no_spare, lambda stage: backfill(stage.pool.pk)),
        Story("reconcile", everything_to_compare, lambda stage: stage.reconcile()),
        Story("remove a spare", one_too_many, lambda stage: stage.reconcile()),
    )
}
