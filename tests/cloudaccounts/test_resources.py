"""Resource sync: listed objects become rows, missing ones expire, and incomplete listings expire nothing."""

from __future__ import annotations

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from cloudaccounts.connect import open_cloud
from cloudaccounts.models import CloudResource, ResourceChange, ResourceLink, SyncLog
from cloudaccounts.registry import list_syncers
from cloudaccounts.services import sweep_syncs
from cloudaccounts.sync import resources
from cloudaccounts.sync.resources import run_sync, sync_resource
from tasks.clock import database_now

TYPES = [syncer.type for syncer in list_syncers("openstack")]


def resource(type_code, **which):
    return CloudResource.objects.filter(type=type_code, **which).order_by("name", "pk").first()


@pytest.mark.parametrize("type_code", TYPES)
def test_every_type_is_synced_and_unchanged_by_the_next_sync(cloud, account, type_code):
    cloud.call(
        "POST",
        "seed",
        {"project": "demo", "servers": 2, "volumes": 2, "snapshots": 2, "routers": 1, "floating_ips": 2},
    )
    if type_code == "keypair":
        open_cloud(account, "RegionOne").compute._call(
            "POST", "/os-keypairs", "make a keypair", json={"keypair": {"name": "key"}}
        )
    if type_code == "server_group":
        open_cloud(account, "RegionOne").compute.create_server_group("spread", "anti-affinity")
    first = sync_resource(account.pk, type_code)
    assert (first.state, first.message) == ("success", "")
    assert first.created == CloudResource.objects.filter(type=type_code).count()
    assert first.created > 0

    second = sync_resource(account.pk, type_code)

    assert (second.created, second.updated, second.expired, second.unchanged) == (0, 0, 0, first.created)


def test_change_is_counted_dated_and_recorded_by_field(cloud, account):
    sync_resource(account.pk, "image")
    image = resource("image")
    cloud.call("PATCH", f"images/{image.cloud_id}", {"name": "Renamed"})

    log = sync_resource(account.pk, "image")

    assert log.updated == 1
    renamed = CloudResource.objects.get(pk=image.pk)
    assert renamed.name == "Renamed"
    assert renamed.changed_at > image.changed_at
    assert renamed.first_seen_at == image.first_seen_at
    (change,) = ResourceChange.objects.all()
    assert (change.resource_id, change.log_id) == (image.pk, log.pk)
    assert change.fields == {"name": [image.name, "Renamed"]}


def test_resource_expires_after_two_listings_without_it_and_returns_when_listed(cloud, account):
    sync_resource(account.pk, "image")
    image = resource("image")
    cloud.call("DELETE", f"images/{image.cloud_id}")

    rumour = sync_resource(account.pk, "image")
    assert (rumour.expired, rumour.missing) == (0, 1)
    assert CloudResource.objects.present().filter(pk=image.pk).exists()

    gone = sync_resource(account.pk, "image")
    assert (gone.expired, gone.missing) == (1, 0)
    assert not CloudResource.objects.present().filter(pk=image.pk).exists()
    assert sync_resource(account.pk, "image").expired == 0, "it expires once"
    assert ResourceChange.objects.get(resource=image).fields == {"expired": [False, True]}

    # As if it were back: another image whose id the row has.
    other = CloudResource.objects.present().filter(type="image").first()
    CloudResource.objects.filter(pk=other.pk).update(expired_at=Now())
    assert sync_resource(account.pk, "image").updated == 1
    assert CloudResource.objects.present().filter(pk=other.pk).exists()
    assert ResourceChange.objects.get(resource=other).fields == {"expired": [True, False]}


def test_missing_count_is_reset_when_the_resource_is_listed(cloud, account):
    sync_resource(account.pk, "image")
    image = resource("image")
    CloudResource.objects.filter(pk=image.pk).update(missing_count=1)

    sync_resource(account.pk, "image")

    assert CloudResource.objects.get(pk=image.pk).missing_count == 0


def test_mass_loss_waits_for_confirmation(cloud, account):
    cloud.call("POST", "seed", {"project": "demo", "volumes": 6})
    sync_resource(account.pk, "volume")
    for volume in CloudResource.objects.filter(type="volume")[:4]:
        cloud.call("DELETE", f"volumes/{volume.cloud_id}")
    sync_resource(account.pk, "volume")

    held = sync_resource(account.pk, "volume")

    assert (held.state, held.expired, held.held_back) == ("failed", 0, 4)
    assert "4" in held.message
    (log_id,) = SyncLog.objects.open(account.pk, ["volume"], losses_accepted=True)
    accepted = run_sync(log_id)
    assert (accepted.state, accepted.expired) == ("success", 4)


def test_failed_listing_changes_nothing_and_logs_the_reason(cloud, account):
    sync_resource(account.pk, "network")
    before = list(CloudResource.objects.values_list("pk", "last_seen_at", "expired_at"))
    cloud.faults({"service": "network", "path": "/networks", "kind": "status", "status": 500})

    log = sync_resource(account.pk, "network")

    assert log.state == "failed"
    assert "500" in log.message
    assert list(CloudResource.objects.values_list("pk", "last_seen_at", "expired_at")) == before


def test_failed_region_does_not_affect_others(cloud, account):
    cloud.reset(regions=["RegionOne", "RegionTwo"])
    # Another user: tokens are shared between tests, and this one's catalog has a region that theirs have not.
    account.access_id = "admin"
    account.set_secret("admin")
    account.regions = ["RegionOne", "Nowhere", "RegionTwo"]
    account.save()

    log = sync_resource(account.pk, "flavor")

    assert log.state == "failed"
    assert "Nowhere" in log.message
    assert {region: bool(problem) for region, problem in log.regions.items()} == {
        "RegionOne": False,
        "Nowhere": True,
        "RegionTwo": False,
    }
    regions = CloudResource.objects.order_by("region").values_list("region", flat=True).distinct()
    assert list(regions) == ["RegionOne", "RegionTwo"]


def test_resources_of_a_removed_region_expire(cloud, account):
    cloud.reset(regions=["RegionOne", "RegionTwo"])
    account.access_id = "admin"
    account.set_secret("admin")
    account.save()
    sync_resource(account.pk, "flavor")
    account.regions = ["RegionOne"]
    account.save()

    log = sync_resource(account.pk, "flavor")

    assert log.state == "success"
    assert set(CloudResource.objects.present().values_list("region", flat=True)) == {"RegionOne"}
    assert log.expired == CloudResource.objects.filter(region="RegionTwo").count() > 0


def test_misspelled_region_expires_nothing(cloud, account):
    sync_resource(account.pk, "flavor")
    account.regions = ["RegionOn"]
    account.save()

    logs = [sync_resource(account.pk, "flavor") for _ in range(3)]

    assert {(log.state, log.expired) for log in logs} == {("failed", 0)}
    assert CloudResource.objects.present().exists()


def test_one_sync_per_account_and_type_and_dead_ones_are_closed(account):
    (running,) = SyncLog.objects.open(account.pk, ["flavor"])
    SyncLog.objects.filter(pk=running).update(owner="dead", lease_until=None)
    assert sync_resource(account.pk, "flavor") is None
    assert run_sync(running) is None, "another has it"
    assert sync_resource(account.pk, "zone") is not None, "another type is another sync"

    SyncLog.objects.filter(pk=running).update(lease_until=Now())
    sweep_syncs()
    assert SyncLog.objects.get(pk=running).state == "failed"
    assert sync_resource(account.pk, "flavor").state == "success"


def test_worker_without_the_claim_writes_nothing(cloud, account, monkeypatch):
    (log_id,) = SyncLog.objects.open(account.pk, ["flavor"])

    def closed_meanwhile():
        SyncLog.objects.close("away")
        return database_now()

    monkeypatch.setattr(resources, "database_now", closed_meanwhile)

    log = run_sync(log_id)

    assert (log.state, log.message) == ("failed", "away")
    assert not CloudResource.objects.exists()


def test_links_do_not_depend_on_the_order_of_syncs(cloud, account):
    cloud.call("POST", "seed", {"project": "demo", "servers": 1})
    for type_code in ("port", "network", "server"):
        sync_resource(account.pk, type_code)

    port, server, network = resource("port"), resource("server"), resource("network", name="internal")

    links = ResourceLink.objects.filter(source=port).values_list("kind", "target_type", "target_cloud_id")
    assert ("port-server", "server", server.cloud_id) in links
    assert ("port-network", "network", network.cloud_id) in links


def test_page_takes_a_fixed_number_of_statements(cloud, account):
    sync_resource(account.pk, "volume")

    def queries(volumes):
        cloud.call("POST", "seed", {"project": "demo", "volumes": volumes})
        with CaptureQueriesContext(connection) as captured:
            assert sync_resource(account.pk, "volume").created == volumes
        return len(captured)

    assert queries(3) == queries(300)


def test_disabled_account_is_not_synced(cloud, account):
    account.active = False
    account.save()

    log = sync_resource(account.pk, "flavor")

    assert (log.state, bool(log.message)) == ("failed", True)
