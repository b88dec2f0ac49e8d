"""The stock of pools: recorded, pruned, returned by the API and exported to Prometheus."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from portal.metrics import PortalCollector
from tasks.schedules import declared_schedules
from tests.factories import (
    CloudAccountFactory,
    SpareVolumeFactory,
    VolumePoolFactory,
)
from volumepool.models import Claim, OrphanVolume, PoolStock, SpareVolume, VolumePool
from volumepool.services import prune_history, record_stock
from volumepool.services.figures import PoolState, compute_figures, derive_state
from volumepool.tasks import backfill_all

from .pool_fixtures import claimed, minutes, pool, queries_of, staff, was

pytestmark = pytest.mark.django_db

__all__ = ["pool", "staff"]


# --- Writing down ------------------------------------------------------------------------------------------


def test_the_stock_is_recorded_when_it_changes(pool):
    assert record_stock() == 1
    assert record_stock() == 0, "nothing has changed"

    row = PoolStock.objects.get()
    assert (row.pool, row.desired, row.available, row.creating) == (pool, 4, 1, 1)
    for change in (
        lambda: SpareVolumeFactory(pool=pool),
        lambda: SpareVolumeFactory(pool=pool, status="creating", volume_id=None),
        lambda: VolumePool.objects.update(desired=5),
        lambda: SpareVolume.objects.all().delete(),
    ):
        change()
        assert record_stock() == 1
        assert record_stock() == 0
    newest = PoolStock.objects.latest("at")
    assert (newest.desired, newest.available, newest.creating) == (5, 0, 0)


def test_an_unchanged_stock_is_recorded_every_five_minutes(pool):
    record_stock()
    PoolStock.objects.update(at=timezone.now() - timedelta(minutes=4, seconds=58))
    assert record_stock() == 0

    PoolStock.objects.update(at=timezone.now() - timedelta(minutes=5, seconds=2))

    assert record_stock() == 1
    assert record_stock() == 0


def test_the_stock_is_compared_with_the_newest_row_of_the_same_pool(pool):
    VolumePoolFactory(desired=9)
    record_stock()
    was(pool, minutes(0), 3)

    assert record_stock() == 1
    assert PoolStock.objects.filter(pool=pool).latest("at").available == 1


def test_the_stock_of_a_disabled_pool_is_not_recorded(pool):
    VolumePool.objects.update(enabled=False)

    assert record_stock() == 0


def test_recording_many_pools_takes_as_many_statements_as_one(pool):
    few = queries_of(record_stock)
    for _ in range(20):
        SpareVolumeFactory(pool__desired=2)
    PoolStock.objects.all().delete()

    assert queries_of(record_stock) == few == 4
    assert PoolStock.objects.count() == 21


@pytest.mark.django_db(transaction=True)
def test_beat_has_it_written_down_and_forgotten(pool):
    backfill_all.run()

    assert PoolStock.objects.get().available == 1
    daily = {schedule.task for schedule in declared_schedules() if schedule.every_seconds == 86400}
    assert "volumepool.prune" in daily


# --- Forgetting --------------------------------------------------------------------------------------------


def test_old_history_is_deleted_in_batches(pool, settings):
    settings.POOL_HISTORY_DAYS = 20
    for _ in range(5):
        was(pool, timedelta(days=21), 1)
        claimed(pool, timedelta(days=21), 1)
    kept = was(pool, timedelta(days=19), 1), claimed(pool, timedelta(days=19), 1)

    prune_history(batch=2)

    assert (PoolStock.objects.get(), Claim.objects.get()) == kept


def test_claims_are_kept_as_long_as_figures_look_back_on_them(pool, settings):
    settings.POOL_HISTORY_DAYS = 1
    claimed(pool, timedelta(days=13), 1)
    was(pool, timedelta(days=13), 1)

    prune_history()

    assert compute_figures([pool])[pool.pk].hits == 1
    assert not PoolStock.objects.exists()


# --- Figures and states ------------------------------------------------------------------------------------


def test_the_figures_tell_how_often_it_was_empty_and_what_would_have_been_enough(pool):
    claimed(pool, timedelta(days=15), 0, 50)
    claimed(pool, timedelta(days=3, minutes=5), 2, 1)
    claimed(pool, timedelta(days=3), 0, 2)
    claimed(pool, timedelta(days=1), 3)

    figures = compute_figures([pool])[pool.pk]

    assert (figures.hits, figures.misses, figures.found_empty) == (5, 3, 2)
    assert figures.suggested == 5, "five were wanted within ten minutes"
    assert (figures.available, figures.creating) == (1, 1), "one is of another size by now"


def test_figures_of_many_pools_cost_as_much_as_of_one(pool):
    for _ in range(9):
        claimed(SpareVolumeFactory().pool, minutes(1), 1)
    pools = list(VolumePool.objects.all())

    assert queries_of(lambda: compute_figures(pools)) == queries_of(lambda: compute_figures(pools[:1])) == 3


@pytest.mark.parametrize(
    ("columns", "available", "state"),
    [
        ({}, 4, PoolState.FULL),
        ({}, 3, PoolState.FILLING),
        ({"desired": 0}, 0, PoolState.NONE_KEPT),
        ({"enabled": False}, 4, PoolState.OFF),
        ({"snapshot_prefix": "win-"}, 4, PoolState.SOURCE_MISSING),
        ({"image_id": "gone", "source_error": "It is gone."}, 4, PoolState.SOURCE_MISSING),
        ({"snapshot_prefix": "win-", "current_snapshot_id": "1"}, 3, PoolState.FILLING),
        ({"paused_until": timezone.now() + timedelta(minutes=50)}, 3, PoolState.PAUSED),
        ({"paused_until": timezone.now() + timedelta(minutes=50)}, 4, PoolState.FULL),
        ({"paused_until": timezone.now() - timedelta(hours=9)}, 3, PoolState.FILLING),
    ],
)
def test_a_pool_says_first_what_keeps_it_from_being_filled(columns, available, state):
    assert derive_state(VolumePoolFactory(**{"desired": 4, **columns}), available) == state


def test_a_pool_whose_account_is_off_is_off():
    assert derive_state(VolumePoolFactory(account__active=False, desired=1), 1) == PoolState.OFF


def test_the_figures_stand_at_the_top_of_a_pool(staff, pool):
    claimed(pool, minutes(1), 3, 1)
    VolumePool.objects.update(source_error="No such snapshot.")

    shown = staff.get("/api/v1/volume-pools/").json()["results"][0]

    assert shown == staff.get(f"/api/v1/volume-pools/{pool.pk}/").json()
    assert shown["desired"] == 4
    assert (shown["available"], shown["creating"], shown["claimed_today"]) == (1, 1, shown["claimed_today"])
    assert (shown["hits"], shown["misses"], shown["hit_rate"], shown["suggested"]) == (3, 1, 0.75, 4)
    assert (shown["seconds_saved"], shown["image_id"], shown["source_error"]) == (
        0.0,
        "",
        "No such snapshot.",
    )
    assert "figures" not in shown


# --- Metrics -----------------------------------------------------------------------------------------------


def told(client):
    text = client.get("/metrics").content.decode()
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_the_metrics_have_the_figures_of_the_pools(client, pool):
    quiet = VolumePoolFactory(desired=3, enabled=False, snapshot_prefix="none-")
    VolumePool.objects.filter(pk=pool.pk).update(paused_until=timezone.now() + timedelta(hours=1))
    claimed(pool, timedelta(hours=1), 3, 1)
    claimed(pool, timedelta(hours=25), 0, 90)
    OrphanVolume.objects.create(account=pool.account, region="RegionOne", volume_id="a")
    OrphanVolume.objects.create(account=CloudAccountFactory(name="poolless"), volume_id="b")

    found = told(client)

    of_pool, of_quiet = (str(pool.account_id), pool.type), (str(quiet.account_id), quiet.type)
    assert found["portal_pool_spares", *of_pool, "available"] == 1
    assert found["portal_pool_spares", *of_pool, "creating"] == 1
    assert found["portal_pool_spares", *of_pool, "removing"] == 0
    assert found["portal_pool_spares", *of_quiet, "available"] == 0
    assert (found["portal_pool_desired", *of_pool], found["portal_pool_desired", *of_quiet]) == (4, 0)
    assert found["portal_pool_claims_last_day", *of_pool, "hit"] == 3
    assert found["portal_pool_claims_last_day", *of_pool, "miss"] == 1
    assert found["portal_pool_hit_rate", *of_pool] == 0.75
    assert ("portal_pool_hit_rate", *of_quiet) not in found, "nobody wanted any"
    assert (found["portal_pool_paused", *of_pool], found["portal_pool_paused", *of_quiet]) == (1, 0)
    assert (
        found["portal_pool_source_missing", *of_pool],
        found["portal_pool_source_missing", *of_quiet],
    ) == (0, 1)
    assert found["portal_pool_strays", str(pool.account_id)] == 1
    assert found["portal_pool_strays", str(quiet.account_id)] == 0
    assert sum(value for (name, *_labels), value in found.items() if name == "portal_pool_strays") == 2


def test_many_pools_are_told_in_as_many_queries_as_one(pool):
    def tell():
        return list(PortalCollector().collect())

    tell()
    few = queries_of(tell)
    for _ in range(9):
        claimed(SpareVolumeFactory().pool, minutes(1), 1)

    assert queries_of(tell) == few
