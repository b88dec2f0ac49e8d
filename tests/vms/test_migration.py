"""Staff move VMs to other hosts; tenants never see a host."""

from __future__ import annotations

import pytest
from django.test import Client
from rest_framework.test import APIClient

from cloudaccounts.models import ComputeHost
from tasks import engine
from tasks.models import Job
from tenants.scoping import Role
from tests.factories import InformationSystemFactory, MembershipFactory, UserFactory
from tests.lost import work_with_losses
from tests.stories import select_evenly
from tests.vms.conftest import AdminClient
from tests.vms.dying import work_while_dying
from tests.working import work
from vms.models import VMOperationLog
from vms.sync.adopted_servers import adopt_servers
from vms.sync.status import sync_region

ACTION = r"/servers/[^/]+/action$"


@pytest.fixture
def account(cloud, transactional_db):
    """An account of a cloud's administrator."""
    account = cloud.account(access_id="admin")
    account.set_secret("admin")
    account.save()
    return account


@pytest.fixture
def staff(transactional_db):
    client = APIClient()
    client.force_authenticate(UserFactory(is_staff=True, is_superuser=True))
    return client


@pytest.fixture
def owner(transactional_db):
    """An administrator of the VM's tenant."""
    return AdminClient(MembershipFactory(role=Role.ADMIN))


@pytest.fixture
def vm(cloud, account, owner):
    system = InformationSystemFactory(tenant=owner.member.tenant)
    cloud.seed(1)
    adopt_servers(account=account, region="RegionOne", system_for=lambda n, name: system)
    return system.vms.get()


@pytest.fixture
def url(vm):
    return f"/api/v1/vms/{vm.pk}/"


def ended(answer):
    assert answer.status_code == 202, answer.json()
    work_with_losses()
    return Job.objects.get(pk=answer.json()["job"]["id"])


def other_host(vm):
    return "compute2" if vm.host == "compute1" else "compute1"


@pytest.mark.parametrize("kind", ["live", "cold"])
def test_a_vm_is_moved_to_another_host(staff, vm, url, cloud, kind):
    target = other_host(vm)

    job = ended(staff.post(f"{url}migrate/", {"kind": kind, "host": target}))

    assert job.status == "succeeded", job.outcome_message
    shown = staff.get(url).json()
    assert (shown["host"], shown["status"], shown["resize"]) == (target, "running", None)
    assert cloud.call("GET", f"servers/{vm.openstack_id}")["status"] == "ACTIVE", "it is confirmed"


def test_a_vm_is_evacuated_from_a_host_that_is_down_and_not_before(staff, vm, url, cloud):
    refused = ended(staff.post(f"{url}evacuate/", {}))
    assert (refused.status, refused.outcome_code) == ("failed", "evacuation_refused")
    assert vm.host not in refused.outcome_message

    cloud.call("PATCH", f"hosts/{vm.host}", {"up": False})
    job = ended(staff.post(f"{url}evacuate/", {}))

    assert job.status == "succeeded", job.outcome_message
    assert staff.get(url).json()["host"] == other_host(vm)


def test_a_migration_for_which_there_is_no_host_fails_in_words(staff, vm, url, cloud):
    cloud.call("POST", "hosts", {"hosts": {vm.host: True}})

    job = ended(staff.post(f"{url}migrate/", {"kind": "cold"}))

    assert (job.status, job.outcome_code) == ("failed", "not_migrated")
    entry = VMOperationLog.objects.first()
    assert (entry.operation, entry.success) == ("migrate", False)


@pytest.mark.parametrize("kind", ["live", "cold"])
@pytest.mark.parametrize("fault", ["lose_answer", "lose_begun"])
def test_a_migration_whose_answer_was_lost_is_requested_once(staff, vm, url, cloud, kind, fault):
    cloud.faults({"kind": fault, "method": "POST", "path": ACTION, "times": 1})

    job = ended(staff.post(f"{url}migrate/", {"kind": kind}))

    name = {"live": "os-migrateLive", "cold": "migrate"}[kind]
    assert cloud.accepted(vm.openstack_id, name) == 1
    assert job.status == ("succeeded" if fault == "lose_answer" else "failed"), job.outcome_message


def test_a_cancelled_cold_migration_is_reverted(staff, vm, url, cloud):
    answer = staff.post(f"{url}migrate/", {"kind": "cold"})
    job = Job.objects.get(pk=answer.json()["job"]["id"])
    engine.advance(job.pk)
    staff.post(f"/api/v1/jobs/{job.pk}/cancel/")
    work_with_losses()

    assert Job.objects.get(pk=job.pk).status == "cancelled"
    server = cloud.call("GET", f"servers/{vm.openstack_id}")
    assert (server["status"], server["host"]) == ("ACTIVE", vm.host)


def begin_migration(staff, vm, url, cloud, *, seconds=300):
    """Begin a live migration that takes 1000 seconds, of which some are over, and return its job."""
    cloud.clock(action_seconds=1000)
    answer = staff.post(f"{url}migrate/", {"kind": "live"})
    job = Job.objects.get(pk=answer.json()["job"]["id"])
    for _ in range(5):
        engine.advance(job.pk)
    job.refresh_from_db()
    assert job.status == "waiting"
    cloud.clock(action_seconds=0, advance_seconds=seconds)
    return job


def test_staff_abort_a_live_migration_and_the_vm_stays(staff, vm, url, cloud):
    job = begin_migration(staff, vm, url, cloud)

    answers = [staff.post(f"{url}abort-migration/", {}) for _ in range(2)]
    work_with_losses()

    assert [(one.status_code, one.json()["changed"]) for one in answers] == [(202, True), (202, False)]
    job.refresh_from_db()
    assert (job.status, job.cancel_requested_at is None) == ("cancelled", False)
    server = cloud.call("GET", f"servers/{vm.openstack_id}")
    assert (server["status"], server["host"]) == ("ACTIVE", vm.host)
    entry = VMOperationLog.objects.first()
    assert (entry.operation, entry.success) == ("live_migrate", False)


def test_a_migration_that_was_begun_in_the_cloud_is_aborted_by_a_job(staff, vm, url, cloud):
    job = begin_migration(staff, vm, url, cloud)
    Job.objects.filter(pk=job.pk).delete()

    aborted = ended(staff.post(f"{url}abort-migration/", {}))

    assert aborted.status == "succeeded", aborted.outcome_message
    server = cloud.call("GET", f"servers/{vm.openstack_id}")
    assert (server["status"], server["host"]) == ("ACTIVE", vm.host)
    assert VMOperationLog.objects.first().operation == "abort_migration"
    nothing = ended(staff.post(f"{url}abort-migration/", {}))
    assert (nothing.status, nothing.outcome_code) == ("failed", "not_migrating")


def test_a_migration_that_nova_no_longer_aborts_ends_as_it_would_have(staff, vm, url, cloud):
    job = begin_migration(staff, vm, url, cloud, seconds=950)

    staff.post(f"{url}abort-migration/", {})
    engine.advance(job.pk)
    assert cloud.call("GET", f"servers/{vm.openstack_id}")["status"] == "MIGRATING"
    cloud.clock(advance_seconds=100)
    work_with_losses()

    job.refresh_from_db()
    assert job.status == "cancelled"
    assert cloud.call("GET", f"servers/{vm.openstack_id}")["host"] == other_host(vm)


def test_members_of_a_tenant_abort_no_migration_and_cancel_none(staff, owner, vm, url, cloud):
    job = begin_migration(staff, vm, url, cloud)
    cancel_address = f"/jobs/{job.pk}/cancel/"
    for person, sees_button in ((owner.member.user, False), (staff.handler._force_user, True)):
        client = Client()
        client.force_login(person)
        for page in ("/tasks/", f"/jobs/{job.pk}/"):
            assert (cancel_address in client.get(page).content.decode()) is sees_button, page

    for answer in (
        owner.post(f"{url}abort-migration/", {}),
        owner.post(f"/api/v1/jobs/{job.pk}/cancel/", {}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (403, "staff_only")

    job.refresh_from_db()
    assert job.cancel_requested_at is None


def test_an_account_without_the_rights_of_an_administrator_is_told_so(staff, vm, url, account):
    account.access_id = "demo"
    account.set_secret("demo")
    account.version += 1
    account.save()

    job = ended(staff.post(f"{url}migrate/", {"kind": "live"}))
    reading = ended(staff.post(f"/api/v1/cloud-accounts/{account.pk}/hosts/", {}))

    assert job.outcome_code == reading.outcome_code == "needs_cloud_administrator"


def test_members_of_a_tenant_migrate_nothing_and_see_no_host(staff, owner, vm, url, account, cloud):
    hosts = f"/api/v1/cloud-accounts/{account.pk}/hosts/"
    assert ended(staff.post(hosts, {})).status == "succeeded"
    job = ended(staff.post(f"{url}migrate/", {"kind": "live"}))
    cloud.call("PATCH", f"hosts/{vm.host}", {"up": True})
    refused = ended(staff.post(f"{url}evacuate/", {"host": vm.host}))
    assert refused.status == "failed"

    for route, body in (("migrate", {"kind": "live"}), ("migrate", {"kind": "moon"}), ("evacuate", {})):
        answer = owner.post(f"{url}{route}/", body)
        assert (answer.status_code, answer.json()["code"]) == (403, "staff_only")
    assert owner.get(hosts).json()["code"] == owner.post(hosts, {}).json()["code"] == "staff_only"

    page = Client()
    page.force_login(owner.member.user)
    answers = [
        owner.get(url),
        owner.get("/api/v1/vms/"),
        owner.get(f"{url}operations/"),
        owner.get("/api/v1/vms/export/"),
        owner.get("/api/v1/jobs/"),
        *(owner.get(f"/api/v1/jobs/{one.pk}/{part}") for one in (job, refused) for part in ("", "lines/")),
        *(page.get(f"/vms/{vm.pk}/?tab={tab}") for tab in ("overview", "activity", "settings")),
        *(page.get(f"/jobs/{one.pk}/") for one in (job, refused)),
    ]
    for answer in answers:
        content = answer.getvalue() if answer.streaming else answer.content
        assert answer.status_code == 200, answer
        assert b"compute1" not in content and b"compute2" not in content
        assert b'"host"' not in content
    assert page.get(f"/accounts/{account.pk}/hosts/").status_code in {403, 404}
    assert "host" not in owner.get(url).json()


def test_the_hosts_are_listed_and_a_wrong_one_is_refused(staff, vm, url, account, cloud):
    hosts = f"/api/v1/cloud-accounts/{account.pk}/hosts/"
    assert staff.get(hosts).json()["results"] == []
    cloud.call("POST", "hosts", {"hosts": {"compute1": True, "compute2": True, "compute3": False}})

    assert ended(staff.post(hosts, {})).status == "succeeded"

    found = {host["name"]: host for host in staff.get(hosts).json()["results"]}
    assert {name: host["is_up"] for name, host in found.items()} == {
        "compute1": True,
        "compute2": True,
        "compute3": False,
    }
    assert found[vm.host]["server_count"] == 1
    for host, text in (("moon", "not found"), ("compute3", "down"), (vm.host, "already")):
        answer = staff.post(f"{url}migrate/", {"kind": "live", "host": host})
        assert answer.status_code == 400
        assert text in answer.json()["errors"]["host"][0]
    ended(staff.post(hosts, {}))
    assert ComputeHost.objects.count() == 3, "a second reading replaces the first"


def test_the_sync_follows_a_server_that_was_moved_outside_of_the_portal(vm, cloud, account):
    sync_region(account.pk, "RegionOne", full=True)
    vm.refresh_from_db()
    before = vm.host
    cloud.change(vm.openstack_id, host=other_host(vm))

    sync_region(account.pk, "RegionOne", full=True)

    vm.refresh_from_db()
    assert before and vm.host == other_host_of(before)


def other_host_of(name):
    return "compute2" if name == "compute1" else "compute1"


def test_a_vm_with_a_job_in_flight_is_not_moved(staff, owner, vm, url):
    owner.post(f"{url}actions/", {"action": "stop"})

    assert staff.post(f"{url}migrate/", {"kind": "live"}).json()["code"] == "busy"
    work()
    assert staff.post(f"{url}migrate/", {"kind": "live"}).json()["code"] == "wrong_state"


@pytest.mark.parametrize("passes", select_evenly(range(6), 3))
@pytest.mark.parametrize("kind", ["live", "cold"])
def test_a_worker_that_dies_leaves_one_migration(staff, vm, url, cloud, monkeypatch, kind, passes):
    cloud.clock(action_seconds=0.05)
    answer = staff.post(f"{url}migrate/", {"kind": kind})

    work_while_dying(monkeypatch, "called", passes)

    job = Job.objects.get(pk=answer.json()["job"]["id"])
    assert job.status == "succeeded", job.outcome_message
    assert cloud.accepted(vm.openstack_id, {"live": "os-migrateLive", "cold": "migrate"}[kind]) == 1
    assert staff.get(url).json()["host"] == other_host(vm)
