"""Reconciliations, backfills and claims at the same moment: nothing that is claimed is ever removed or adopted."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest
from django.db import connection

from tasks import engine
from volumepool.models import OrphanVolume, SpareVolume, Volume
from volumepool.services import backfill, orphans, reconciliation, remove_volume
from volumepool.sync import spares as sync_spares

from .killable_worker import killable_worker
from .pool.stage import REGION, PoolStage

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]


@pytest.fixture
def stage(cloud, account):
    with killable_worker() as worker:
        yield PoolStage.of(cloud, account, worker)


def create_orphan(stage):
    """Create a usable spare without a row, which a comparison has seen once."""
    spare = SpareVolume.objects.claimable().first()
    SpareVolume.objects.filter(pk=spare.pk).delete()
    stage.reconcile()
    assert OrphanVolume.objects.get().volume_id == spare.volume_id
    return spare.volume_id


def run_together(*works):
    """Run all at once, each in its own thread and connection, and return the errors."""
    raised, start = [], threading.Barrier(len(works))

    def one(work):
        try:
            start.wait()
            work()
        except Exception as error:  # noqa: BLE001 - looked at by the test.
            raised.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=one, args=[work]) for work in works]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    return raised


def interrupt_before(monkeypatch, name, do, module=reconciliation):
    """Call an action once, right before a function of the reconciliation is called."""
    monkeypatch.setattr(module, name, once_before(getattr(module, name), do))


def once_before(part, do):
    """Return the function, with an action before its first call."""
    done = []

    def first(*args, **options):
        if not done:
            done.append(1)
            do()
        return part(*args, **options)

    return first


def test_an_orphan_that_another_reconciliation_adopts_is_adopted_once(stage, monkeypatch):
    stage.clear()
    create_orphan(stage)
    interrupt_before(monkeypatch, "resolve_orphan", stage.reconcile, orphans)

    stage.reconcile()

    assert SpareVolume.objects.count() == 3
    assert stage.settle() == []


@pytest.mark.parametrize("desired", [3, 2], ids=["adopted", "removed"])
def test_an_orphan_that_was_adopted_and_claimed_meanwhile_stays_its_tenants(stage, monkeypatch, desired):
    stage.clear()
    volume_id = create_orphan(stage)

    def adopt_and_claim():
        stage.reconcile()
        stage.claim(volume_ids=[volume_id])
        type(stage.pool).objects.update(desired=desired)

    interrupt_before(monkeypatch, "resolve_orphan", adopt_and_claim, orphans)
    stage.reconcile()

    assert not SpareVolume.objects.filter(volume_id=volume_id).exists()
    stage.settle()
    assert Volume.objects.filter(volume_id=volume_id).exists()
    assert stage.find_violations() == []


def test_a_claimed_volume_that_is_removed_while_it_is_compared_is_not_named_any_more(stage, monkeypatch):
    """The claim is cancelled before the volume is named, and the tenant removes it after the comparison has read its row."""
    stage.clear()
    claim = stage.claim()
    engine.cancel(claim.job)
    stage.worker.settle()

    def remove():
        remove_volume(scope=stage.scope, volume_id=claim.volumes[0].pk)
        stage.worker.settle()

    monkeypatch.setattr(
        reconciliation,
        "engine",
        SimpleNamespace(
            submit=engine.submit,
            # In a thread: it must be committed, and the comparison's transaction is open here.
            submit_many=once_before(engine.submit_many, lambda: run_together(remove)),
        ),
    )
    stage.reconcile()
    monkeypatch.undo()

    assert stage.settle() == []


# Before which part of a comparison it is claimed, and what is wrong with it.
MOMENTS = [
    ("_compare_spares", "error"),
    ("_replace_outdated", "error"),
    ("_compare_spares", "stale listing"),
    ("handle_orphans", "stale listing"),
    ("fetch_listing", "surplus"),
    ("handle_orphans", "surplus"),
    ("_replace_outdated", "surplus"),
]


@pytest.mark.parametrize(("part", "trouble"), MOMENTS)
def test_what_is_claimed_while_it_is_compared_stays_its_tenants(stage, monkeypatch, part, trouble):
    """A spare that is about to be removed, or whose row is newer than the listing, is claimed during the comparison."""
    stage.clear()
    if trouble == "error":
        for spare in SpareVolume.objects.all():
            stage.change_volume(spare.volume_id, status="error")
    if trouble == "surplus":
        type(stage.pool).objects.update(desired=0)
    claimed = []
    interrupt_before(monkeypatch, part, lambda: claimed.extend(stage.claim(3).volumes))
    if trouble == "stale listing":
        old = sync_spares.fetch_listing(stage.account, REGION)
        monkeypatch.setattr(reconciliation, "fetch_listing", lambda *place: old)

    for _ in range(1 if trouble == "stale listing" else 2):
        stage.reconcile()

    kept = {str(one.pk) for one in claimed if one.source == Volume.Source.POOL}
    ids = {one.volume_id for one in claimed if one.source == Volume.Source.POOL}
    assert not SpareVolume.objects.filter(volume_id__in=ids).exists()
    assert {str(pk) for pk in Volume.objects.filter(pk__in=kept).values_list("pk", flat=True)} == kept
    monkeypatch.undo()


def test_claims_backfills_and_reconciliations_at_once_leave_each_volume_one_row(stage):
    stage.clear()
    claimed = []

    def claim():
        for _ in range(4):
            claimed.extend(stage.claim(2).volumes)

    def compare():
        for _ in range(4):
            stage.reconcile()

    def fill():
        for _ in range(4):
            backfill(stage.pool.pk)

    raised = run_together(claim, claim, compare, compare, fill)

    assert raised == []
    assert stage.settle() == []
    assert Volume.objects.count() == len(claimed) == 16
