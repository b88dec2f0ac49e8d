"""A claim whose job is cancelled at each place: the tenant keeps the claimed volumes, and none is left over.

By default at each step, while it runs; `make stories` cancels at every place that a worker passes.
"""

from __future__ import annotations

import pytest

from tasks import engine
from tasks.models import JobStatus
from tests.stories import ALL
from volumepool.models import SpareVolume, Volume

from .killable_worker import killable_worker
from .pool.stage import PoolStage

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]

TOLD = {"volumepool.provide_volumes", "volumepool.take_spare"}


@pytest.fixture
def stage(cloud, account):
    with killable_worker() as worker:
        yield PoolStage.of(cloud, account, worker)


def claim_mixed_volumes(stage):
    """Claim a usable spare, one that is in error, and a volume that the pool lacks."""
    stage.clear(spares=2)
    bad = SpareVolume.objects.claimable().first()
    stage.change_volume(bad.volume_id, status="error")
    return stage.claim(3)


def cancel_at(stage, place):
    claim = claim_mixed_volumes(stage)
    good = [one for one in claim.volumes if one.volume_id][1]
    heard = []

    def look(*at):
        if at == place and not heard:
            heard.append(engine.cancel(claim.job))

    stage.worker.on_point = look
    stage.worker.work()
    wrong = stage.settle()
    claim.job.refresh_from_db()
    if not Volume.objects.filter(pk=good.pk, volume_id=good.volume_id).exists():
        wrong.append("the good spare is not his any more")
    return claim.job.status, wrong


@pytest.mark.story
def test_wherever_a_claim_is_cancelled_the_tenant_keeps_his_and_nothing_leaks(stage):
    claim_mixed_volumes(stage)
    stage.worker.work()
    assert stage.settle() == []
    passed = [place for place in stage.worker.passed if place[0] not in {"submitted", "ended"}]
    places = passed if ALL else [place for place in passed if place[0] == "called" and place[1] in TOLD]
    wrong, ends = [], set()
    for place in places:
        status, found = cancel_at(stage, place)
        ends.add(status)
        wrong += [f"cancelled at {place}: {one}" for one in found]
    assert wrong == [], "\n".join(wrong)
    assert JobStatus.CANCELLED in ends


def test_a_claim_that_is_cancelled_before_it_begins_leaves_no_row_without_a_volume(stage):
    stage.clear(spares=1)
    claim = stage.claim(2)
    assert engine.cancel(claim.job)

    assert stage.settle() == []
