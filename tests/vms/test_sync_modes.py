"""Full syncs and syncs of changes, syncs on request, faster syncs of moving VMs, and stale regions."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from tasks.models import EntityLock, Job
from tenants.scoping import Role
from tests.factories import MembershipFactory, TenantFactory, UserFactory
from vms.models import SyncRun, SyncState, VirtualMachine, VMOperationLog
from vms.services import request_sync
from vms.services.status_sync import prune_runs, select_stale_states
from vms.sync.regions import select_moving_regions
from vms.sync.status import sync_region

REGION = "RegionOne"


@pytest.fixture
def synced(account, vms_of):
    """Create ten running VMs, sync them, and return their rows by name."""
    vms = vms_of(10, status="ACTIVE", name_prefix="shop")
    assert sync_region(account.pk, REGION).full
    return vms


def run(account, **options):
    result = sync_region(account.pk, REGION, **options)
    assert result.state == SyncRun.State.SUCCESS, result.message
    return result


def servers_listed(cloud):
    """Return the queries of the listings since the log was cleared."""
    requests = cloud.call("GET", "requests")["requests"]
    return [entry for entry in requests if entry["path"].endswith("/servers/detail")]


def test_after_a_full_run_only_what_has_changed_is_listed(cloud, account, synced):
    cloud.change(synced[3].openstack_id, status="SHUTOFF")

    changes = run(account)

    assert not changes.full
    assert changes.updated == 1
    assert VirtualMachine.objects.get(pk=synced[3].pk).status == "stopped"
    entry = VMOperationLog.objects.get()
    assert (entry.operation, entry.detail) == ("sync", "running -> stopped")


def test_what_the_cloud_says_is_deleted_is_removed_at_once_and_not_missing_later(cloud, account, synced):
    for vm in synced[:6]:
        cloud.remove(vm.openstack_id)

    assert run(account).updated == 6
    gone = VirtualMachine.objects.filter(pk__in=[vm.pk for vm in synced[:6]])
    assert set(gone.values_list("status", flat=True)) == {"removed"}

    full = run(account, full=True)
    assert (full.missing, full.updated) == (0, 0), "more than a third is gone, and the cloud has said so"
    assert set(gone.values_list("status", "missing_count")) == {("removed", 0)}


def test_a_sudden_mass_loss_is_held_back_and_earlier_losses_do_not_block_the_sync(
    cloud, account, synced, settings
):
    def vanish(vms):
        for vm in vms:
            VirtualMachine.objects.filter(pk=vm.pk).update(openstack_id=f"lost-{vm.pk}", reading="")

    vanish(synced[:3])
    assert run(account, full=True).missing == 3
    assert run(account, full=True).missing == 3
    lost = VirtualMachine.objects.filter(openstack_id__startswith="lost")
    assert set(lost.values_list("status", flat=True)) == {"error"}
    vanish(synced[3:5])
    assert run(account, full=True).missing == 5, "half is missing, but only two are new"

    vanish(synced[5:])
    failed = sync_region(account.pk, REGION, full=True)

    assert failed.state == "failed"
    assert "5 of 10" in failed.message
    assert not lost.filter(pk__in=[vm.pk for vm in synced[5:]], missing_count__gt=0).exists()


def test_a_change_that_had_to_be_left_alone_is_told_again(cloud, account, synced):
    held = synced[0]
    job = Job.objects.create(kind="vms.read_console", deadline=timezone.now() + timedelta(hours=1))
    EntityLock.objects.create(key=held.lock_key, job=job)
    cloud.change(held.openstack_id, status="SHUTOFF")
    assert run(account).skipped == 1
    SyncState.objects.update(changes_from=SyncState.objects.get().full_listed_at)
    assert run(account).skipped == 1
    assert SyncState.objects.get().changes_from <= SyncState.objects.get().full_listed_at

    EntityLock.objects.all().delete()

    assert run(account).updated == 1
    assert VirtualMachine.objects.get(pk=held.pk).status == "stopped"


def test_full_runs_come_every_hour_and_on_demand(account, synced, settings, member):
    assert not run(account).full
    SyncState.objects.update(full_listed_at=timezone.now() - timedelta(seconds=settings.VM_FULL_SYNC_SECONDS))
    assert run(account).full
    client = APIClient()
    client.force_authenticate(member.user)

    answer = client.post("/api/v1/vms/sync/", {}, format="json")

    assert answer.status_code == 202
    (region,) = answer.json()["regions"]
    assert (region["account"], region["region"]) == (account.pk, REGION)
    assert run(account).full
    assert not run(account).full
    assert client.post("/api/v1/vms/sync/", {"account": account.pk + 1}, format="json").json() == {
        "regions": []
    }


def test_a_viewer_starts_no_sync_and_nobody_one_of_others(account, synced, member):
    viewer = APIClient()
    viewer.force_authenticate(MembershipFactory(tenant=member.tenant, role=Role.VIEWER).user)
    assert viewer.post("/api/v1/vms/sync/", {}, format="json").json()["code"] == "role_too_low"
    stranger = APIClient()
    stranger.force_authenticate(MembershipFactory(role=Role.OPERATOR).user)

    assert stranger.post("/api/v1/vms/sync/", {}, format="json").json() == {"regions": []}

    assert SyncState.objects.get().full_wanted_at is None


def test_the_runs_of_a_shared_account_tell_a_tenant_no_counts(account, synced, member):
    clients = {"member": member.user, "staff": UserFactory(is_staff=True, is_superuser=True)}
    shown = {}
    for name, user in clients.items():
        client = APIClient()
        client.force_authenticate(user)
        (shown[name],) = client.get("/api/v1/vms/sync/").json()["results"]
    assert (shown["member"]["synced"], shown["member"]["state"]) == (None, "success")
    assert shown["staff"]["synced"] == 10
    account.tenant = TenantFactory()
    account.save()
    client = APIClient()
    client.force_authenticate(member.user)
    assert client.get("/api/v1/vms/sync/").json()["count"] == 0, "another tenant's account"


def test_regions_with_a_moving_vm_are_synced_more_often(cloud, account, synced):
    assert select_moving_regions() == []
    cloud.change(synced[0].openstack_id, task_state="rebooting")
    run(account)
    assert select_moving_regions() == [(account.pk, REGION)]

    cloud.change(synced[0].openstack_id, task_state=None)
    run(account)

    assert select_moving_regions() == []


def test_regions_without_a_recent_sync_are_stale(account, synced, client, settings):
    assert not select_stale_states().exists()
    settings.METRICS_TOKEN = ""
    SyncState.objects.update(
        listed_at=timezone.now() - timedelta(seconds=3 * settings.VM_STATUS_SYNC_SECONDS + 1)
    )

    assert [state.account for state in select_stale_states()] == [account]
    client.force_login(UserFactory(is_staff=True))
    health = client.get("/health/ready").json()
    assert [row["account"] for row in health["vm_sync_stale"]] == [account.name]
    serving = client.get("/health/serving").json()
    assert serving["status"] == "ok", "a cloud that is away is no reason to take a web process out"
    assert "portal_vm_sync_stale 1.0" in client.get("/metrics").content.decode()
    account.active = False
    account.save()
    assert not select_stale_states().exists(), "an account that was switched off is silent on purpose"


def test_a_request_during_a_run_is_for_the_next_run(account, synced, scope):
    began = SyncState.objects.get().full_listed_at

    request_sync(scope=scope)
    SyncState.objects.update(full_listed_at=began)

    assert run(account).full


def test_old_runs_are_forgotten(account, synced, settings):
    SyncRun.objects.create(
        account=account, ended_at=timezone.now() - timedelta(days=settings.SYNC_RUN_RETENTION_DAYS + 1)
    )

    prune_runs(batch=1)

    assert SyncRun.objects.count() == 1


def test_a_listing_of_changes_that_breaks_off_is_a_failed_run(cloud, account, synced):
    cloud.change(synced[0].openstack_id, status="SHUTOFF")
    cloud.faults({"service": "compute", "path": "/servers/detail", "kind": "status", "status": 500})

    failed = sync_region(account.pk, REGION)

    assert failed.state == "failed"
    cloud.no_faults()
    assert run(account).updated == 1
    assert len(servers_listed(cloud)) >= 2
