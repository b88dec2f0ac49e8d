"""Pools create no more spares than the quota of their account allows, and users come first; pools come from the admin and from settings."""

from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.core.management.base import CommandError

from api.domain_errors import InvalidFieldsError
from tasks.models import Job
from tests.factories import InformationSystemFactory, VolumeFactory
from tests.vms.conftest import account, catalogue, cloud
from tests.working import work
from volumepool.models import SpareVolume, VolumePool
from volumepool.services import backfill, reconcile, select_pools_to_fill
from volumepool.services.pools import seed_pools, validate_pool
from volumepool.sync.quotas import RemainingQuota

__all__ = ["account", "catalogue", "cloud"]


def limit(cloud, **quotas):
    cloud.call("POST", "quotas", {"project": "demo", **quotas})


# --- Room in the account -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("quotas", "kept", "made"),
    [
        # The project has a volume of 10 GB already, and a snapshot of it.
        ({"volumes": 3}, 0, 2),
        ({"gigabytes": 25}, 0, 2),
        ({"volumes": 10, "gigabytes": 100}, 0, 3),
        ({"volumes": 10}, 70, 2),
        ({"volumes_fake": 2}, 0, 1),
        ({"per_volume_gigabytes": 1}, 0, 0),
    ],
)
def test_no_more_is_asked_for_than_fits_beside_what_is_kept_for_users(
    pool, cloud, settings, quotas, kept, made
):
    limit(cloud, **quotas)
    settings.POOL_QUOTA_KEPT_PERCENT = kept
    VolumePool.objects.update(volume_type="fake")

    assert len(backfill(pool.pk)) == made
    assert backfill(pool.pk) == []
    assert Job.objects.filter(kind="volumepool.create_spare").count() == made


def test_a_pool_without_room_pauses_and_says_why_without_asking_cinder_for_a_volume(pool, cloud):
    limit(cloud, gigabytes=1)

    assert backfill(pool.pk) == []

    pool.refresh_from_db()
    assert "gigabytes" in pool.last_error
    assert pool.pauses == 1
    assert select_pools_to_fill() == []


def test_two_pools_of_an_account_share_its_room_and_what_it_makes_at_once(pool, account, cloud, settings):
    other = VolumePool.objects.create(
        account=account, region="RegionOne", type="data", size_gb=2, desired=3, max_in_flight=5
    )
    settings.POOL_IN_FLIGHT_PER_ACCOUNT = 4
    assert (len(backfill(pool.pk)), len(backfill(other.pk))) == (3, 1)
    work()
    settings.POOL_IN_FLIGHT_PER_ACCOUNT = 10
    settings.POOL_QUOTA_KEPT_PERCENT = 0
    limit(cloud, volumes=6)
    assert len(backfill(other.pk)) == 1


def test_creations_of_users_come_before_those_of_spares(pool, account, settings):
    settings.POOL_IN_FLIGHT_PER_ACCOUNT = 3
    system = InformationSystemFactory()
    VolumeFactory.create_batch(
        2, information_system=system, account=account, region="RegionOne", volume_id=None
    )

    assert len(backfill(pool.pk)) == 1


def test_without_an_answer_of_cinder_no_row_is_created(pool, cloud):
    cloud.faults({"kind": "status", "status": 503})

    assert backfill(pool.pk) == []
    assert not SpareVolume.objects.exists()


@pytest.mark.parametrize(
    ("left", "size", "fits"),
    [
        ({}, 5, 1_000_000),
        ({"volumes": 3, "gigabytes": 11}, 5, 2),
        ({"volumes": 1, "gigabytes": 11}, 5, 1),
        ({"volumes": -2}, 5, 0),
        ({"volumes_ssd": 0}, 5, 0),
        ({"volumes_other": 0}, 5, 1_000_000),
    ],
)
def test_room(left, size, fits):
    assert RemainingQuota(left).count_fitting(size, "ssd", volumes=0, gigabytes=0) == fits


# --- Where spares come from --------------------------------------------------------------------------------


def test_a_tenants_own_snapshot_never_becomes_what_others_get(pool, account, cloud):
    """A tenant's snapshot may have any name, and could be the newest."""
    VolumePool.objects.update(snapshot_prefix="golden-", size_gb=20)
    made = cloud.call("POST", "seed", {"project": "demo", "volumes": 1})["volumes"][0]
    VolumeFactory(account=account, region="RegionOne", volume_id=made)
    cloud.call(
        "POST", "seed", {"project": "demo", "snapshots": 1, "name_prefix": "golden", "volume_id": made}
    )

    reconcile(account.pk, "RegionOne")

    pool.refresh_from_db()
    assert pool.current_snapshot_id == ""
    assert "golden-" in pool.source_error


def test_a_snapshot_that_is_gone_is_said_before_anything_is_made(pool, account, request_claim, cloud, cinder):
    VolumePool.objects.update(snapshot_id="11111111-1111-4111-8111-111111111111")
    reconcile(account.pk, "RegionOne")

    with pytest.raises(InvalidFieldsError) as refused:
        request_claim(1)

    assert "11111111" in str(refused.value.errors)
    assert cinder.volumes() == {}


# --- From settings -----------------------------------------------------------------------------------------


def test_pools_are_made_from_settings_once_and_then_left_alone(account, catalogue, settings):
    settings.VOLUME_POOLS = {
        "igw": {
            "account": account.name,
            "region": "RegionOne",
            "size_gb": 10,
            "snapshot_prefix": "igw-",
            "desired": 3,
        },
        "other": {"account": "nowhere", "size_gb": 1},
    }
    call_command("write_volume_pools")
    VolumePool.objects.update(desired=9)
    assert seed_pools(settings.VOLUME_POOLS) == [
        ("igw", "kept"),
        ("other", "not created: the cloud account 'nowhere' does not exist yet"),
    ]
    pool = VolumePool.objects.get()
    assert (pool.type, pool.snapshot_prefix, pool.desired) == ("igw", "igw-", 9)


@pytest.mark.parametrize(
    "said",
    [
        {"size_gb": 1},
        {"account": "simulator"},
        {"account": "simulator", "size_gb": 0},
        {"account": "simulator", "size_gb": 1, "colour": "red"},
        {"account": "simulator", "size_gb": 1, "snapshot_id": "a", "snapshot_prefix": "b"},
    ],
)
def test_a_setting_that_can_be_no_pool_is_refused(account, settings, said):
    settings.VOLUME_POOLS = {"igw": said}
    with pytest.raises(ImproperlyConfigured, match="igw"):
        seed_pools(settings.VOLUME_POOLS)
    with pytest.raises(CommandError):
        call_command("write_volume_pools")
    assert not VolumePool.objects.exists()


@pytest.mark.parametrize(
    ("columns", "field"),
    [
        ({"region": "Nowhere"}, "region"),
        ({"volume_type": "gold"}, "volume_type"),
        ({"snapshot_id": "gone"}, "snapshot_id"),
        ({"image_id": "gone"}, "image_id"),
        ({"snapshot_id": "igw-base", "size_gb": 1}, "size_gb"),
    ],
)
def test_a_pool_that_its_account_cannot_have_is_refused_by_field(account, catalogue, columns, field):
    from cloudaccounts.sync.resources import sync_resource

    sync_resource(account.pk, "snapshot")
    if columns.get("snapshot_id") == "igw-base":
        columns = {**columns, "snapshot_id": catalogue.get(type="snapshot", name="igw-base").cloud_id}
    pool = VolumePool(**{"account": account, "region": "RegionOne", "type": "x", "size_gb": 10, **columns})

    assert list(validate_pool(pool)) == [field]
