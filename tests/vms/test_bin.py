"""The bin: a deleted VM is stopped and hidden, restored as it was, and deleted when its time is over."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from tests.factories import InformationSystemFactory, MembershipFactory
from tests.working import work
from vms.models import VirtualMachine, VMStatus
from vms.services import empty_vm_bin
from vms.sync.adopted_servers import adopt_servers
from vms.sync.status import sync_region

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def bin_days(settings):
    settings.BIN_DAYS = 7


@pytest.fixture
def vms_of(cloud, account, system):
    """Return a function that creates VMs of the administrator's tenant, bound to servers of a status."""

    def make(count, **options):
        ids = cloud.seed(count, **options)
        adopt_servers(account=account, region="RegionOne", system_for=lambda n, name: system)
        cloud.call("DELETE", "requests")
        return list(VirtualMachine.objects.filter(openstack_id__in=ids).order_by("name"))

    return make


def url_of(vm, ending=""):
    return f"/api/v1/vms/{vm.pk}/{ending}"


def listed(admin, query=""):
    return [vm["id"] for vm in admin.get(f"/api/v1/vms/{query}").json()["results"]]


def test_a_running_vm_is_stopped_hidden_and_restored_running(admin, cloud, account, vms_of):
    (vm,) = vms_of(1)

    admin.done(admin.delete(url_of(vm)))

    binned = admin.get(url_of(vm)).json()
    assert binned["status"] == "stopped"
    assert binned["bin_until"] > (timezone.now() + timedelta(days=6)).isoformat()
    assert binned["allowed_actions"] == []
    assert (listed(admin), listed(admin, "?in_bin=true")) == ([], [str(vm.pk)])

    # The sync follows the server as always, and leaves the VM in the bin.
    sync_region(account.pk, "RegionOne")
    assert listed(admin) == []

    restored = admin.done(admin.post(url_of(vm, "restore/"), {}, format="json"))
    assert restored["kind"] == "vms.restore"
    vm.refresh_from_db()
    assert (vm.status, vm.desired_state, vm.binned_at) == (VMStatus.RUNNING, "running", None)
    assert listed(admin) == [str(vm.pk)]
    assert cloud.accepted(vm.openstack_id, "os-start") == cloud.accepted(vm.openstack_id, "os-stop") == 1
    operations = [row["operation"] for row in admin.get(url_of(vm, "operations/")).json()["results"]]
    assert operations == ["restore", "start", "bin", "stop"]


def test_a_stopped_vm_stays_stopped(admin, cloud, vms_of):
    (vm,) = vms_of(1, status="SHUTOFF")

    admin.done(admin.delete(url_of(vm)))
    admin.done(admin.post(url_of(vm, "restore/"), {}, format="json"))

    vm.refresh_from_db()
    assert (vm.status, vm.desired_state) == (VMStatus.STOPPED, "stopped")
    assert cloud.accepted(vm.openstack_id, "os-start") == 0


def test_what_is_in_the_bin_can_only_be_restored_or_deleted(admin, vms_of, catalogue):
    (vm,) = vms_of(1, status="SHUTOFF")
    admin.done(admin.delete(url_of(vm)))

    answers = [
        admin.post(url_of(vm, "actions/"), {"action": "start"}),
        admin.post(url_of(vm, "actions/"), {"action": "stop"}),
        admin.post(url_of(vm, "resize/"), {"cpu_cores": 4, "memory_gb": 8}),
        admin.post(url_of(vm, "snapshots/"), {"name": "late"}),
        admin.post(url_of(vm, "console/"), {"reading": "log"}),
        admin.post(url_of(vm, "volumes/"), {"size_gb": 1}),
        admin.patch(url_of(vm), {"description": "late"}),
        admin.delete(url_of(vm)),
    ]

    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(409, "in_bin")] * 8


def test_a_vm_that_is_not_in_the_bin_is_not_restored(admin, vms_of):
    (vm,) = vms_of(1)

    answer = admin.post(url_of(vm, "restore/"), {}, format="json")

    assert (answer.status_code, answer.json()["code"]) == (409, "not_in_bin")


def test_the_quota_counts_what_is_in_the_bin(admin, vms_of):
    (vm,) = vms_of(1, status="SHUTOFF")
    tenant = f"/api/v1/tenants/{admin.member.tenant.pk}/usage/"
    before = admin.get(tenant).json()

    admin.done(admin.delete(url_of(vm)))

    assert admin.get(tenant).json() == before


def test_deleting_permanently_empties_the_bin(admin, cloud, vms_of):
    (vm,) = vms_of(1, status="SHUTOFF")
    admin.done(admin.delete(url_of(vm)))

    admin.done(admin.delete(f"{url_of(vm)}?permanent=true"))

    assert admin.get(url_of(vm)).status_code == 404
    assert cloud.accepted(vm.openstack_id, "delete") == 1


def test_the_bin_is_passed_by_when_that_is_requested(admin, vms_of):
    running, stopped = vms_of(1)[0], vms_of(1, status="SHUTOFF")[0]

    refused = admin.delete(f"{url_of(running)}?permanent=true")
    admin.done(admin.delete(f"{url_of(stopped)}?permanent=true"))

    assert (refused.status_code, refused.json()["code"]) == (409, "wrong_state")
    assert admin.get(url_of(stopped)).status_code == 404


def test_the_beat_deletes_what_is_over_and_nothing_else(admin, vms_of):
    over, kept, protected = vms_of(3, status="SHUTOFF")
    for vm in (over, kept, protected):
        admin.done(admin.delete(url_of(vm)))
    past = {"binned_at": timezone.now() - timedelta(days=8), "bin_until": timezone.now() - timedelta(days=1)}
    VirtualMachine.objects.filter(pk__in=[over.pk, protected.pk]).update(**past)
    VirtualMachine.objects.filter(pk=protected.pk).update(deletion_protection=True)

    assert empty_vm_bin() == 1
    assert empty_vm_bin() == 0  # Its job is in flight.
    work()

    assert set(VirtualMachine.objects.values_list("pk", flat=True)) == {kept.pk, protected.pk}


def test_a_server_that_vanished_in_the_bin_is_not_restored(admin, cloud, account, vms_of):
    unseen, seen = vms_of(2, status="SHUTOFF")
    for vm in (unseen, seen):
        admin.done(admin.delete(url_of(vm)))
    for vm in (unseen, seen):
        cloud.remove(vm.openstack_id)

    # The portal finds out during the restoring, or has found out before by a sync.
    job = admin.ended(admin.post(url_of(unseen, "restore/"), {}, format="json"))
    VirtualMachine.objects.filter(pk=seen.pk).update(status=VMStatus.ERROR, missing_count=2)
    refused = admin.post(url_of(seen, "restore/"), {}, format="json")

    assert (job["status"], job["outcome"]["code"]) == ("failed", "gone")
    assert (refused.status_code, refused.json()["code"]) == (409, "gone")
    unseen.refresh_from_db()
    assert (unseen.status, unseen.is_in_bin) == (VMStatus.REMOVED, True)
    admin.done(admin.delete(f"{url_of(unseen)}?permanent=true"))
    assert not VirtualMachine.objects.filter(pk=unseen.pk).exists()


def test_a_vm_past_its_end_date_is_restored_stopped(admin, vms_of):
    (vm,) = vms_of(1)
    admin.done(admin.delete(url_of(vm)))
    VirtualMachine.objects.filter(pk=vm.pk).update(runtime_end=timezone.now().date() - timedelta(days=3))

    admin.done(admin.post(url_of(vm, "restore/"), {}, format="json"))

    vm.refresh_from_db()
    assert (vm.status, vm.is_in_bin) == (VMStatus.STOPPED, False)
    log = admin.get(url_of(vm, "operations/")).json()["results"][0]
    assert log["detail"] == "The VM was not started, because its end date has passed."


def test_only_administrators_restore(vms_of, admin):
    (vm,) = vms_of(1)
    admin.done(admin.delete(url_of(vm)))
    operator = MembershipFactory(tenant=admin.member.tenant)
    admin.force_authenticate(operator.user)

    assert admin.post(url_of(vm, "restore/"), {}, format="json").json()["code"] == "role_too_low"


def test_a_failed_stop_leaves_the_vm_out_of_the_bin(admin, cloud, vms_of):
    (vm,) = vms_of(1)
    cloud.change(vm.openstack_id, locked=True)

    job = admin.ended(admin.delete(url_of(vm)))

    assert (job["status"], job["outcome"]["code"]) == ("failed", "locked_in_cloud")
    assert "not the portal's deletion protection" in job["outcome"]["message"]
    assert listed(admin) == [str(vm.pk)]


def test_a_locked_server_is_not_deleted(admin, cloud, vms_of, settings):
    settings.BIN_DAYS = 0
    (vm,) = vms_of(1, status="SHUTOFF")
    cloud.change(vm.openstack_id, locked=True)

    job = admin.ended(admin.delete(url_of(vm)))

    assert (job["status"], job["outcome"]["code"]) == ("failed", "locked_in_cloud")
    assert admin.get(url_of(vm)).json()["status"] == "stopped"


def test_the_choice_about_volumes_is_kept_until_the_bin_is_emptied(admin, vms_of):
    keeping, deleting = vms_of(2, status="SHUTOFF")

    admin.done(admin.delete(f"{url_of(keeping)}?volumes=keep"))
    admin.done(admin.delete(url_of(deleting)))

    keeping.refresh_from_db()
    deleting.refresh_from_db()
    assert (keeping.bin_deletes_volumes, deleting.bin_deletes_volumes) == (False, True)


def test_a_host_of_another_system_knows_nothing_of_the_bin(admin, vms_of):
    """A VM of another tenant in the bin is as unknown as any other."""
    (vm,) = vms_of(1, status="SHUTOFF")
    admin.done(admin.delete(url_of(vm)))
    stranger = InformationSystemFactory()
    admin.force_authenticate(MembershipFactory(tenant=stranger.tenant, role="admin").user)

    assert admin.post(url_of(vm, "restore/"), {}, format="json").status_code == 404
    assert listed(admin, "?in_bin=true") == []
