"""Pools are filled, claimed from, reconciled with Cinder, and moved to new snapshots."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db.models.functions import Now
from django.utils import timezone

from api.domain_errors import DomainError
from tasks.models import Job
from tests.working import work
from volumepool.models import Claim, OrphanVolume, SpareVolume, Volume, VolumePool
from volumepool.services import backfill, reconcile, select_pools_to_fill
from volumepool.services.figures import compute_figures


def available():
    return SpareVolume.objects.filter(status="available").count()


# --- Backfill ----------------------------------------------------------------------------------------------


def test_a_pool_is_filled_up_to_what_is_desired_and_no_further(pool, cinder):
    assert select_pools_to_fill() == [pool.pk]

    assert len(backfill(pool.pk)) == 3
    assert backfill(pool.pk) == [], "what is in creation counts"
    work()
    assert backfill(pool.pk) == []

    assert available() == len(cinder.volumes()) == 3
    assert cinder.is_consistent()
    pool.refresh_from_db()
    assert pool.creation_seconds is not None


def test_no_more_are_asked_for_at_once_than_the_pool_allows(pool):
    VolumePool.objects.update(max_in_flight=2)

    assert len(backfill(pool.pk)) == 2
    assert backfill(pool.pk) == []
    work()
    assert len(backfill(pool.pk)) == 1


@pytest.mark.parametrize("columns", [{"enabled": False}, {"desired": 0}, {"account__active": False}])
def test_a_pool_that_is_off_is_not_filled(pool, columns):
    if "account__active" in columns:
        pool.account.active = False
        pool.account.save()
    else:
        VolumePool.objects.update(**columns)

    assert select_pools_to_fill() == []
    assert backfill(pool.pk) == []


def test_a_full_quota_makes_the_pool_wait_longer_each_time(pool, cloud, cinder):
    cloud.call("POST", "quotas", {"project": "demo", "volumes": 0})
    pauses = []
    for _ in range(3):
        VolumePool.objects.update(paused_until=None, max_in_flight=1)
        backfill(pool.pk)
        work()
        pool.refresh_from_db()
        pauses.append((pool.paused_until - timezone.now()).total_seconds())
        assert select_pools_to_fill() == []

    assert pauses[0] < pauses[1] < pauses[2]
    assert "quota" in pool.last_error.lower() or "exceed" in pool.last_error.lower()
    assert not SpareVolume.objects.exists()
    assert cinder.volumes() == {}


# --- Claims ------------------------------------------------------------------------------------------------


def test_a_claim_takes_spares_as_they_are_and_renames_them_afterwards(full, request_claim, cinder):
    claim = request_claim(2, name="data")

    assert [(v.source, v.status, v.name) for v in claim.volumes] == [
        ("pool", "available", "data-1"),
        ("pool", "available", "data-2"),
    ]
    assert available() == 1
    work()
    named = {one["name"]: one["metadata"] for one in cinder.volumes().values()}
    assert {"data-1", "data-2"} < set(named)
    assert named["data-1"]["portal_volume"] == str(claim.volumes[0].pk)
    assert cinder.is_consistent()


def test_volumes_that_the_pool_lacks_are_created_for_the_claim(full, request_claim, cinder):
    claim = request_claim(5)

    assert [v.source for v in claim.volumes] == ["pool"] * 3 + ["created"] * 2
    work()
    assert Job.objects.get(pk=claim.job.pk).status == "succeeded"
    assert set(Volume.objects.values_list("status", flat=True)) == {"available"}
    assert cinder.is_consistent()
    figures = compute_figures([full])[full.pk]
    assert (figures.hits, figures.misses, figures.hit_rate, figures.suggested) == (3, 2, 0.6, 5)
    assert Claim.objects.get().seconds_saved > 0


def test_volumes_named_by_id_are_kept_replaced_or_claimed(full, request_claim, cloud, cinder):
    healthy, broken = request_claim(2).volumes
    work()
    Volume.objects.filter(pk=broken.pk).update(status="error")
    cloud.call("PATCH", f"volumes/{broken.volume_id}", {"status": "error"})
    spare = SpareVolume.objects.claimable().get()

    claim = request_claim(4, volume_ids=[healthy.volume_id, broken.volume_id, spare.volume_id, ""])

    assert claim.volumes[0].pk == healthy.pk
    assert broken.pk not in {volume.pk for volume in claim.volumes}
    assert spare.volume_id in {volume.volume_id for volume in claim.volumes}
    work()
    assert not Volume.objects.filter(pk=broken.pk).exists()
    assert broken.volume_id not in cinder.volumes()
    assert Volume.objects.count() == 4
    assert cinder.is_consistent()


def test_when_all_are_healthy_nothing_is_done(full, request_claim):
    (healthy,) = request_claim(1).volumes
    work()

    claim = request_claim(1, volume_ids=[healthy.volume_id])

    assert (claim.volumes, claim.job) == ([healthy], None)
    assert available() == 2


def test_an_unusable_boot_spare_is_replaced(full, request_claim, cloud, cinder):
    first = SpareVolume.objects.claimable().first()
    cloud.call("PATCH", f"volumes/{first.volume_id}", {"status": "error"})

    (volume,) = request_claim(1).volumes
    work()

    volume.refresh_from_db()
    assert (volume.status, volume.source) == ("available", "created")
    assert volume.volume_id != first.volume_id
    assert first.volume_id not in cinder.volumes()
    assert cinder.is_consistent()


def test_nothing_is_made_of_what_is_refused(full, request_claim, system):
    refusals = {}
    for what, send_request in {
        "type": lambda: request_claim(1, "unicorn"),
        "volume_ids": lambda: request_claim(1, volume_ids=["no such volume"]),
        "quota": lambda: request_claim(50),
    }.items():
        system.tenant.quota_disk_gb = 20
        system.tenant.save()
        with pytest.raises(DomainError) as refused:
            send_request()
        refusals[what] = refused.value

    assert set(refusals["type"].errors) == {"type"}
    assert set(refusals["volume_ids"].errors) == {"volume_ids"}
    assert refusals["quota"].code == "quota_exceeded"
    assert available() == 3
    assert not Volume.objects.exists()


# --- Reconciliation ----------------------------------------------------------------------------------------


def places(pool):
    return pool.account_id, pool.region


def test_a_spare_in_error_goes_in_cinder_too_and_is_made_anew(full, cloud, cinder):
    bad = SpareVolume.objects.claimable().first()
    cloud.call("PATCH", f"volumes/{bad.volume_id}", {"status": "error"})

    assert reconcile(*places(full))
    work()
    backfill(full.pk)
    work()

    assert bad.volume_id not in cinder.volumes()
    assert available() == 3
    assert cinder.is_consistent()


def test_a_spare_is_deleted_after_two_listings_without_it(full, cloud, cinder):
    gone = SpareVolume.objects.claimable().first()
    cloud.call("DELETE", f"volumes/{gone.volume_id}")

    reconcile(*places(full))
    assert SpareVolume.objects.filter(pk=gone.pk).exists()
    reconcile(*places(full))

    assert not SpareVolume.objects.filter(pk=gone.pk).exists()
    assert cinder.is_consistent()


@pytest.mark.parametrize("change", [{"name": "mine now"}, {"status": "in-use"}])
def test_a_spare_used_without_the_portal_is_left_alone(full, cloud, cinder, change):
    taken = SpareVolume.objects.claimable().first()
    cloud.call("PATCH", f"volumes/{taken.volume_id}", change)

    for _ in range(4):
        reconcile(*places(full))
        work()

    assert not SpareVolume.objects.filter(pk=taken.pk).exists()
    assert taken.volume_id in cinder.volumes(), "nobody removes what somebody uses"


def test_an_orphan_is_adopted_or_deleted_at_its_second_sighting(full, cloud, cinder):
    lost = SpareVolume.objects.claimable().first()
    SpareVolume.objects.filter(pk=lost.pk).delete()

    reconcile(*places(full))
    assert OrphanVolume.objects.get().volume_id == lost.volume_id
    reconcile(*places(full))
    assert SpareVolume.objects.get(volume_id=lost.volume_id).status == "available"
    assert not OrphanVolume.objects.exists()

    SpareVolume.objects.filter(volume_id=lost.volume_id).delete()
    backfill(full.pk)
    work()
    reconcile(*places(full))
    reconcile(*places(full))
    work()
    assert lost.volume_id not in cinder.volumes()
    assert available() == 3
    assert cinder.is_consistent()


def test_another_snapshot_rolls_the_pool_over_without_falling_below_what_is_desired(pool, cloud, cinder):
    VolumePool.objects.update(snapshot_prefix="golden", size_gb=20)
    reconcile(*places(pool))
    pool.refresh_from_db()
    assert backfill(pool.pk) == []
    assert "golden" in pool.source_error
    (old,) = cloud.call("POST", "seed", {"project": "demo", "snapshots": 1, "name_prefix": "golden-1"})[
        "snapshots"
    ]
    reconcile(*places(pool))
    backfill(pool.pk)
    work()
    assert set(SpareVolume.objects.values_list("snapshot_id", flat=True)) == {old}

    (new,) = cloud.call("POST", "seed", {"project": "demo", "snapshots": 1, "name_prefix": "golden-2"})[
        "snapshots"
    ]
    cloud.call("PATCH", f"snapshots/{new}", {"created_at": "2099-01-01T00:00:00.000000"})
    for _ in range(4):
        reconcile(*places(pool))
        assert SpareVolume.objects.claimable().count() >= 3
        backfill(pool.pk)
        work()
    assert set(SpareVolume.objects.values_list("snapshot_id", flat=True)) == {new}
    assert available() == 3
    assert cinder.is_consistent()


def test_spares_that_are_too_old_are_replaced_new_ones_first(full, cinder):
    before = set(SpareVolume.objects.values_list("volume_id", flat=True))
    VolumePool.objects.update(max_age_days=7)
    SpareVolume.objects.update(available_at=Now() - timedelta(days=8))

    for _ in range(2):
        reconcile(*places(full))
        assert SpareVolume.objects.claimable().count() >= 3
        backfill(full.pk)
        work()
    reconcile(*places(full))
    work()

    assert before.isdisjoint(SpareVolume.objects.values_list("volume_id", flat=True))
    assert available() == 3
    assert cinder.is_consistent()


def test_a_pool_whose_size_is_reduced_deletes_its_oldest_spares(full, cinder):
    VolumePool.objects.update(desired=1)

    reconcile(*places(full))
    work()

    assert available() == 1
    assert cinder.is_consistent()


def test_a_cloud_that_is_away_changes_nothing(full, cloud):
    cloud.faults({"service": "volume", "kind": "status", "status": 503})

    assert reconcile(*places(full)) is False
    assert available() == 3
