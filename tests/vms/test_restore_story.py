"""A whole day of a restored portal: a dump is restored hours later, checked and mended, and then the database and the cloud agree."""

from __future__ import annotations

import random

import pytest
from django.db import transaction

from tasks import engine, restore_guard
from tasks.models import Job, JobStatus
from tenants.models import User
from tests.factories import InformationSystemFactory, UserFactory
from tests.restoring import Dump, forget_epoch, list_findings, run_check
from tests.vms.test_restores import REGION, list_servers, sweep_at_once
from tests.working import work
from vms.models import Orphan, VirtualMachine, VMStatus
from vms.services.orphans import sweep_orphans
from vms.sync.status import sync_region
from volumepool.models import GONE, SpareVolume, Volume, VolumePool
from volumepool.services import backfill, reconcile
from volumepool.sync import status as volume_status

__all__ = ["sweep_at_once"]

pytestmark = [pytest.mark.story, pytest.mark.timeout(900), pytest.mark.usefixtures("catalogue")]


@pytest.mark.parametrize("seed", range(3))
def test_a_restored_portal_owns_what_it_owned(cloud, account, admin, system, sweep_at_once, tmp_path, seed):
    chance = random.Random(seed)
    UserFactory(is_staff=True, is_superuser=True, username="root")
    systems = [system, InformationSystemFactory(tenant=system.tenant)]
    pool = VolumePool.objects.create(account=account, region=REGION, type="debian", size_gb=2, desired=4)
    backfill(pool.pk)
    work(90)
    portal = Portal(admin, systems, chance)
    for _ in range(6):
        portal.create_vm()
    portal.claim()
    # Jobs that the backup shows as recorded, and that go on after it.
    portal.request_vm()
    portal.request_deletion()
    restore_guard.record_epoch()
    dump = Dump(tmp_path)
    dump.take()

    work(90)
    actions = [portal.create_vm, portal.create_vm, portal.delete_vm, portal.claim, portal.attach, portal.stop]
    for _ in range(14):
        chance.choice(actions)()
    backfill(pool.pk)
    work(90)
    owned = portal.list_owned()
    cloud_before = list_cloud(cloud)
    dump.restore()

    assert restore_guard.find_suspension() == restore_guard.OTHER_PLACE
    sweep_orphans(account.pk, REGION)
    assert not Orphan.objects.exists()
    evidence = {finding["cloud_id"]: finding for finding in list_findings()["job_in_doubt"]}
    code, printed = run_check("--mend", "--user", "root", "--accept-losses")
    assert code == 1
    assert run_check("--end")[0] == 0, printed
    for job in Job.objects.filter(status=JobStatus.STUCK):
        decide(job, evidence[str(job.pk)]["detail"])
    work(90)
    for _ in range(2):
        sweep_at_once()
        reconcile(account.pk, REGION)
        work(90)
        sync_region(account.pk, REGION, full=True)
        volume_status.sync_region(account.pk, REGION)

    assert cloud_before <= list_cloud(cloud) | portal.spares_of(cloud_before), "something was deleted"
    assert set(owned) ^ set(portal.list_owned()) == set(), "something was lost, doubled or given away"
    spares = set(SpareVolume.objects.values_list("volume_id", flat=True))
    assert spares.isdisjoint(Volume.objects.values_list("volume_id", flat=True))
    assert run_check()[0] == 0, run_check()[1]


def test_without_the_guard_a_tenant_loses_its_servers(cloud, admin, system, sweep_at_once, tmp_path):
    forget_epoch()
    dump = Dump(tmp_path)
    dump.take()
    admin.done(admin.new_vm(system))
    dump.restore()
    sweep_at_once()
    assert list_servers(cloud) == set()


def decide(job, detail):
    """Decide about a job as staff do: a creation of which the cloud has nothing any more is undone, anything else goes on."""
    root = User.objects.get(username="root")
    with transaction.atomic():
        if job.kind == "vms.create" and "nothing of it" in detail:
            engine.end_stuck(engine.lock_for_decision(job, "end"), root, "deleted since", undo=True)
        else:
            engine.resume(engine.lock_for_decision(job, "resume"), root, "checked")


def list_cloud(cloud):
    objects = cloud.call("GET", "objects")
    return {one["id"] for kind in ("servers", "volumes") for one in objects[kind]}


class Portal:
    """What members of a tenant do."""

    def __init__(self, admin, systems, chance):
        self.admin, self.systems, self.chance, self.number = admin, systems, chance, 0

    def request_vm(self):
        self.number += 1
        system = self.chance.choice(self.systems)
        return self.admin.new_vm(system, name=f"vm-{self.number}", boot_volume=self.chance.random() < 0.5)

    def create_vm(self):
        self.admin.done(self.request_vm(), 90)

    def pick(self):
        vms = VirtualMachine.objects.filter(openstack_id__isnull=False, status=VMStatus.RUNNING).order_by(
            "name"
        )
        return self.chance.choice(list(vms))

    def request_deletion(self):
        return self.admin.delete(f"/api/v1/vms/{self.pick().pk}/?force=true&volumes=delete")

    def delete_vm(self):
        self.admin.done(self.request_deletion(), 90)

    def stop(self):
        self.admin.done(
            self.admin.post(f"/api/v1/vms/{self.pick().pk}/actions/", {"action": "stop"}, format="json")
        )

    def claim(self):
        self.number += 1
        claim = {
            "information_system": str(self.chance.choice(self.systems).pk),
            "type": "debian",
            "count": 1,
            "name": f"data-{self.number}",
        }
        self.admin.done(self.admin.post("/api/v1/volumes/", claim, format="json"), 90)

    def attach(self):
        volume = Volume.objects.filter(vm=None, status="available").order_by("name").first()
        if volume is not None:
            body = {"volume": str(volume.pk)}
            self.admin.done(
                self.admin.post(f"/api/v1/vms/{self.pick().pk}/volumes/", body, format="json"), 90
            )

    def list_owned(self):
        """Return each server and volume of the tenant with its row and its application."""
        vms = (
            VirtualMachine.objects.exclude(status=VMStatus.REMOVED)
            .filter(missing_count__lt=2)
            .values_list("pk", "openstack_id", "information_system")
        )
        volumes = Volume.objects.exclude(status=GONE).values_list(
            "pk", "volume_id", "information_system", "vm"
        )
        return sorted(map(str, [*vms, *volumes]))

    def spares_of(self, ids):
        """Return those of some volumes that belong to no tenant: the pool may have deleted them."""
        return {
            one
            for one in ids
            if not VirtualMachine.objects.filter(openstack_id=one).exists()
            and not Volume.objects.filter(volume_id=one).exists()
        }
