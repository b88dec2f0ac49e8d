"""Resource sync: what is found becomes rows, what is gone expires, and half a listing is no listing."""

from __future__ import annotations

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from cloudaccounts.models import CloudResource, SyncLog
from cloudaccounts.sync.resources import accounts_to_sync, sync_resource
from cloudaccounts.sync.syncers import known_types
from tests.vms.conftest import account, cloud

__all__ = ["account", "cloud"]


@pytest.mark.parametrize("type_code", known_types())
def test_every_type_is_found_and_found_unchanged_again(account, type_code):
    first = sync_resource(account.pk, type_code)
    assert (first.state, first.message) == ("success", "")
    assert first.created == CloudResource.objects.filter(type=type_code).count() > 0

    second = sync_resource(account.pk, type_code)

    assert (second.created, second.updated, second.expired, second.unchanged) == (0, 0, 0, first.created)


def test_a_change_is_counted_and_dated(cloud, account):
    sync_resource(account.pk, "image")
    image = CloudResource.objects.filter(type="image").first()
    cloud.call("PATCH", f"images/{image.cloud_id}", {"name": "Renamed"})

    log = sync_resource(account.pk, "image")

    assert log.updated == 1
    renamed = CloudResource.objects.get(pk=image.pk)
    assert renamed.name == "Renamed"
    assert renamed.changed_at > image.changed_at
    assert renamed.first_seen_at == image.first_seen_at


def test_what_is_gone_expires_and_what_comes_back_is_present_again(cloud, account):
    sync_resource(account.pk, "image")
    image = CloudResource.objects.filter(type="image").first()
    cloud.call("DELETE", f"images/{image.cloud_id}")
    assert sync_resource(account.pk, "image").expired == 1
    assert not CloudResource.objects.present().filter(pk=image.pk).exists()
    assert sync_resource(account.pk, "image").expired == 0, "it expires once"

    # As if it were back: another image whose id the row has.
    other = CloudResource.objects.present().filter(type="image").first()
    CloudResource.objects.filter(pk=other.pk).update(expired_at=Now())
    assert sync_resource(account.pk, "image").updated == 1
    assert CloudResource.objects.present().filter(pk=other.pk).exists()


def test_a_listing_that_fails_changes_nothing_and_says_why(cloud, account):
    sync_resource(account.pk, "network")
    before = list(CloudResource.objects.values_list("pk", "last_seen_at", "expired_at"))
    cloud.faults({"service": "network", "path": "/networks", "kind": "status", "status": 500})

    log = sync_resource(account.pk, "network")

    assert log.state == "failed"
    assert "500" in log.message
    assert list(CloudResource.objects.values_list("pk", "last_seen_at", "expired_at")) == before


def test_a_region_that_fails_leaves_the_others_done(cloud, account):
    cloud.reset(regions=["RegionOne", "RegionTwo"])
    # Another user: tokens are shared between tests, and this one's catalog has a region that theirs have not.
    account.access_id = "admin"
    account.set_secret("admin")
    account.regions = ["RegionOne", "Nowhere", "RegionTwo"]
    account.save()

    log = sync_resource(account.pk, "flavor")

    assert log.state == "failed"
    assert "Nowhere" in log.message
    regions = CloudResource.objects.order_by("region").values_list("region", flat=True).distinct()
    assert list(regions) == ["RegionOne", "RegionTwo"]


def test_one_sync_of_an_account_and_type_at_a_time_and_a_dead_one_is_closed(account):
    running = SyncLog.objects.create(account=account, type="flavor", owner="dead", lease_until=Now())
    SyncLog.objects.filter(pk=running.pk).update(lease_until=None)
    assert sync_resource(account.pk, "flavor") is None
    assert sync_resource(account.pk, "zone") is not None, "another type is another sync"

    SyncLog.objects.filter(pk=running.pk).update(lease_until=Now())
    assert sync_resource(account.pk, "flavor").state == "success"

    running.refresh_from_db()
    assert running.state == "failed"


def test_a_page_costs_the_same_however_many_are_in_it(cloud, account):
    def queries():
        with CaptureQueriesContext(connection) as captured:
            sync_resource(account.pk, "flavor")
        return len(captured)

    few = queries()
    CloudResource.objects.filter(type="flavor").delete()

    assert queries() == few


def test_accounts_that_are_switched_off_are_not_asked(account):
    assert accounts_to_sync() == [account.pk]
    account.active = False
    account.save()
    assert accounts_to_sync() == []
