"""Requests for new VMs: each field at its limits, all errors at once, and no trace of a refused request."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from cloudaccounts.models import CloudResource
from cloudaccounts.sync.resources import sync_resource
from tasks import engine
from tasks.models import Job
from tenants.scoping import Role
from tests.factories import InformationSystemFactory, MembershipFactory, TenantFactory, VMSnapshotFactory
from tests.working import work
from vms.models import VirtualMachine, VMOperationLog
from volumepool.models import Volume

from .conftest import AdminClient

pytestmark = pytest.mark.usefixtures("catalogue")


def is_nothing_left(cloud):
    """Check that neither rows nor objects in the cloud are left."""
    assert not VirtualMachine.objects.exists()
    assert not Volume.objects.exists()
    objects = cloud.call("GET", "objects")
    assert objects["servers"] == []
    assert [volume["name"] for volume in objects["volumes"]] == ["igw-base-volume"]
    assert [port for port in objects["ports"] if port.get("device_id")] == []
    return True


def errors_of(answer):
    assert answer.status_code == 400, answer.json()
    assert answer.json()["code"] == "invalid"
    return answer.json()["errors"]


@pytest.mark.parametrize(
    ("field", "right", "wrong"),
    [
        ("cpu_cores", [1, 16], [0, 65, -1, 2.5, "many", None, True]),
        ("memory_gb", [1, 32], [0, 513, "4GB"]),
        ("disk_gb", [10, 500], [9, 10001, ""]),
        ("name", ["a", "n" * 200, "Bestellungen für Köln", "商店"], ["", "   ", "n" * 201]),
        ("name", [], ["a\x00b", "a\nb", "a\tb", "a\u200fb", "a\u202eb", "a\u200bb", "shop 📦", "𝔸"]),
        ("os_version", ["22.04", ""], ["22.05", "x" * 51]),
        ("os_type", ["linux", "Ubuntu", "WINDOWS"], ["plan9", "", "x" * 51]),
        ("availability_zone", ["nova", ""], ["mars"]),
        ("network", [""], ["no-such-network", "11111111-1111-1111-1111-111111111111"]),
        ("region", ["RegionOne", ""], ["Elsewhere"]),
        ("account", [], [4711, 0, -1, 2**63, "first"]),
        ("image", [], ["no-such-image", "", "x" * 65]),
        ("data_center_type", ["testing"], ["attic"]),
        ("description", ["", "d" * 2000, "two\nlines"], ["d" * 2001, "a\x00b"]),
        ("runtime_end", ["2999-12-31"], ["2000-01-01", "31.12.2999", "2999-02-30"]),
        ("metadata", [{}, {"owner": "sales"}], [{"portal_vm": "x"}, {"a" * 256: "b"}, {"a": "b" * 256}, [], "a=b"]),
        ("metadata", [], [{str(n): "" for n in range(51)}, {"": "x"}, {"a/b": "c"}]),
        ("information_system", [], ["x", None, "11111111-1111-1111-1111-111111111111"]),
    ],
)  # fmt: skip
def test_each_field_at_its_bounds(admin, system, cloud, field, right, wrong):
    if field in {"cpu_cores", "memory_gb", "disk_gb"} or right == ["linux", "Ubuntu", "WINDOWS"]:
        # The largest that there is: the standard content's biggest flavor.
        others = {"boot_volume": True, "disk_gb": 100}
    else:
        others = {}
    for value in right:
        answer = admin.new_vm(system, **{**others, field: value, "dry_run": True})
        assert answer.status_code == 200, (value, answer.json())
        assert answer.json()["job"] is None
    for value in wrong:
        params = {"information_system": str(system.pk), "name": "shop-1", "os_type": "linux", field: value}
        size = {"cpu_cores": 2, "memory_gb": 4, "disk_gb": 40}
        answer = admin.post("/api/v1/vms/", {**size, **params}, format="json")
        assert list(errors_of(answer)) == [field], value

    assert not Job.objects.exists()
    assert is_nothing_left(cloud)


def test_all_errors_are_said_at_once_also_of_what_has_to_be_chosen(admin, system):
    answer = admin.new_vm(
        system,
        name="",
        cpu_cores=65,
        os_type="plan9",
        availability_zone="mars",
        network="nowhere",
        runtime_start="2999-02-01",
        runtime_end="2999-01-01",
        colour="red",
    )

    errors = errors_of(answer)
    assert set(errors) == {
        "name", "cpu_cores", "os_type", "availability_zone", "network", "runtime_end", "colour",
    }  # fmt: skip
    assert "ubuntu" in errors["os_type"][0], "the closest there is"
    assert "nova" in errors["availability_zone"][0]
    assert "internal" in errors["network"][0]


def test_a_flavor_that_exists_only_without_enough_disk(admin, system):
    answer = admin.new_vm(system, cpu_cores=1, memory_gb=1, disk_gb=600)

    (message,) = errors_of(answer)["cpu_cores"]
    assert "600 GiB" in message
    assert "16c-32g-500g" in message, "the closest there is"
    assert admin.new_vm(system, cpu_cores=1, disk_gb=600, boot_volume=True, dry_run=True).status_code == 200


def test_the_smallest_flavor_that_fits_is_what_the_vm_has(admin, system):
    answer = admin.new_vm(system, cpu_cores=3, memory_gb=5, disk_gb=40)
    admin.done(answer)

    vm = admin.get(f"/api/v1/vms/{answer.json()['vm']['id']}/").json()
    shown = {name: vm[name] for name in ("flavor_name", "cpu_cores", "memory_gb", "disk_gb")}
    assert shown == {"flavor_name": "4c-8g-100g", "cpu_cores": 4, "memory_gb": 8, "disk_gb": 100}


def test_what_an_image_needs_is_asked_for(admin, system):
    answer = admin.new_vm(system, os_type="windows", cpu_cores=1, memory_gb=1, disk_gb=20)

    assert set(errors_of(answer)) == {"memory_gb", "disk_gb"}


def test_a_system_or_an_image_has_to_be_named(admin, system):
    assert list(errors_of(admin.new_vm(system, os_type=None))) == ["os_type"]


@pytest.mark.parametrize("body", [[], "x", 7, None])
def test_a_body_that_is_no_object(admin, body):
    assert admin.post("/api/v1/vms/", body, format="json").status_code == 400


def test_the_newest_image_of_the_version_is_taken(admin, system, account):
    old = CloudResource.objects.get(account=account, type="image", name="Ubuntu 22.04")
    newer = CloudResource(
        account=account, region=old.region, type="image", cloud_id="newer", name="Ubuntu 22.04 b"
    )
    newer.status, newer.attributes = "active", {**old.attributes, "created_at": "2999-01-01T00:00:00"}
    newer.save()
    CloudResource.objects.filter(pk=old.pk).update(name="Ubuntu 22.04 a")

    vm = admin.new_vm(system, os_version="22.04", dry_run=True).json()["vm"]

    assert vm["image_name"] == "Ubuntu 22.04 b"


def test_an_image_that_went_away_between_choice_and_boot(admin, system, cloud, account):
    image = CloudResource.objects.get(account=account, type="image", name="Ubuntu 22.04")
    answer = admin.new_vm(system)
    cloud.call("DELETE", f"images/{image.cloud_id}")

    job = admin.ended(answer)

    assert (job["status"], job["outcome"]["code"]) == ("failed", "invalid_request")
    assert "image" in job["outcome"]["message"].lower()
    assert is_nothing_left(cloud)
    entry = VMOperationLog.objects.get()
    assert (entry.operation, entry.success, str(entry.job_id)) == ("create", False, job["id"])
    assert entry.detail == f"{job['outcome']['code']}: {job['outcome']['message']}"
    sync_resource(account.pk, "image")
    assert list(errors_of(admin.new_vm(system))) == ["os_type"], "and then it cannot be chosen any more"


def test_a_server_that_ends_in_error_keeps_novas_reason_and_nothing_else(admin, system, cloud):
    cloud.call("POST", "failing_builds", {"times": 1, "fault": "No valid host was found."})

    job = admin.ended(admin.new_vm(system, boot_volume=True))

    assert job["status"] == "failed"
    assert "No valid host was found." in job["outcome"]["message"]
    assert is_nothing_left(cloud)


def test_a_quota_that_the_cloud_has_is_said_in_its_words(admin, system, cloud, account):
    cloud.call("POST", "quotas", {"project": "demo", "instances": -1, "cores": 1, "ram": -1})

    job = admin.ended(admin.new_vm(system, boot_volume=True))

    assert (job["status"], job["outcome"]["code"]) == ("failed", "quota_exceeded")
    assert "cores" in job["outcome"]["message"]
    assert is_nothing_left(cloud)


def test_the_tenants_quota_says_what_is_needed_and_what_is_left(admin, system, cloud):
    tenant = admin.member.tenant
    tenant.quota_cpu_cores, tenant.quota_vms, tenant.quota_disk_gb = 3, 5, 100
    tenant.save()

    answer = admin.new_vm(system, cpu_cores=8, memory_gb=16, disk_gb=200)

    assert (answer.status_code, answer.json()["code"]) == (409, "quota_exceeded")
    assert "8 CPU cores needed, 3 of 3 left" in answer.json()["detail"]
    assert answer.json()["quota"] == {
        "cpu_cores": {"needed": 8, "left": 3, "total": 3},
        "disk_gb": {"needed": 200, "left": 100, "total": 100},
    }
    assert is_nothing_left(cloud)
    assert admin.new_vm(system, dry_run=True).status_code == 200
    assert admin.new_vm(system, boot_volume=True).status_code == 202
    assert admin.new_vm(system).json()["quota"]["cpu_cores"] == {"needed": 2, "left": 1, "total": 3}
    usage = admin.get(f"/api/v1/tenants/{tenant.pk}/usage/").json()
    assert usage["disk_gb"] == {"used": 40, "total": 100}, "a boot volume is its VM's disk, once"
    assert usage["vms"] == {"used": 1, "total": 5}, "what is in flight counts"
    work()
    assert admin.get(f"/api/v1/tenants/{tenant.pk}/usage/").json() == usage


def test_a_dry_run_by_query_writes_nothing(admin, system, cloud):
    params = {"information_system": str(system.pk), "name": "shop-1", "os_type": "ubuntu"}
    size = {"cpu_cores": 2, "memory_gb": 4, "disk_gb": 40}

    answer = admin.post("/api/v1/vms/?dry_run=true", {**params, **size}, format="json")

    assert (answer.status_code, answer.json()["job"]) == (200, None)
    assert answer.json()["vm"]["image_name"] == "Ubuntu 22.04"
    assert admin.post("/api/v1/vms/?dry_run=perhaps", {**params, **size}, format="json").status_code == 400
    assert is_nothing_left(cloud)


def test_who_may_create(admin, system):
    for role in (Role.VIEWER, Role.OPERATOR):
        client = AdminClient(MembershipFactory(tenant=admin.member.tenant, role=role))
        assert client.new_vm(system).json()["code"] == "role_too_low"
    stranger = AdminClient(MembershipFactory(role=Role.ADMIN))
    assert list(errors_of(stranger.new_vm(system))) == ["information_system"]


def test_the_account_and_the_network_of_the_system_are_taken(admin, system, cloud, account):
    second = cloud.account(name="second", tenant=admin.member.tenant)
    for type_code in ("flavor", "image", "network", "zone"):
        sync_resource(second.pk, type_code)
    foreign = cloud.account(name="foreign", tenant=TenantFactory())
    sync_resource(foreign.pk, "flavor")

    (message,) = errors_of(admin.new_vm(system))["account"]
    assert "second" in message
    assert "foreign" not in message, "another tenant's account is not told of"
    assert list(errors_of(admin.new_vm(system, account=foreign.pk))) == ["account"]
    system.default_account, system.default_network = second, "gone"
    system.save()
    (message,) = errors_of(admin.new_vm(system))["network"]
    network = CloudResource.objects.get(account=second, type="network", name="internal").cloud_id
    assert network in message
    system.default_network = network
    system.save()
    assert admin.new_vm(system, dry_run=True).json()["vm"]["account"] == second.pk


def test_the_same_key_makes_one_vm(admin, system):
    for _ in range(2):
        answer = admin.post(
            "/api/v1/vms/",
            {
                "information_system": str(system.pk),
                "name": "shop-1",
                "cpu_cores": 2,
                "memory_gb": 4,
                "disk_gb": 40,
                "os_type": "ubuntu",
            },
            format="json",
            headers={"Idempotency-Key": "one"},
        )
        assert answer.status_code == 202
    assert VirtualMachine.objects.count() == 1


def test_a_creation_that_is_cancelled_leaves_nothing(admin, system, cloud):
    cloud.clock(build_seconds=30)
    answer = admin.new_vm(system, boot_volume=True)
    job_id = answer.json()["job"]["id"]
    for _ in range(20):
        for job in Job.objects.filter(ended_at=None):
            engine.advance(job.pk)
    cancelled = admin.post(f"/api/v1/jobs/{job_id}/cancel/")
    assert cancelled.status_code == 202
    work()

    assert admin.get(f"/api/v1/jobs/{job_id}/").json()["status"] == "cancelled"
    assert is_nothing_left(cloud)


def test_a_gateway_that_no_sync_has_seen_is_refused_before_anything_is_built(admin, system, cloud, catalogue):
    network = catalogue.get(type="network", name="internal").cloud_id

    job = admin.ended(admin.new_vm(system, networks=[{"network": network, "fixed_ip": "10.20.0.1"}]))

    assert (job["status"], job["outcome"]["code"]) == ("failed", "address_is_gateway")
    assert "Choose another one" in job["outcome"]["message"]
    assert not [one for one in cloud.call("GET", "requests")["requests"] if one["action"] == "create"]
    assert is_nothing_left(cloud)


def test_a_snapshot_is_chosen_by_its_own_tenant_alone(admin, system, account):
    image = {"visibility": "private", "is_snapshot": True, "portal_tenant": str(admin.member.tenant_id)}
    row = CloudResource.objects.create(
        account=account, region="RegionOne", type="image", cloud_id="mine", status="active", attributes=image
    )
    assert list(errors_of(admin.new_vm(system, os_type=None, image="mine"))) == ["image"], "no row of ours"
    VMSnapshotFactory(information_system=system, account=account, image_id="mine")
    assert admin.new_vm(system, os_type=None, image="mine", dry_run=True).status_code == 200

    other = AdminClient(MembershipFactory(role=Role.ADMIN))
    theirs = InformationSystemFactory(tenant=other.member.tenant)
    assert list(errors_of(other.new_vm(theirs, os_type=None, image="mine"))) == ["image"]
    shown = other.get("/api/v1/vms/options/").json()["images"]
    assert row.cloud_id not in {image["id"] for image in shown}


def test_options_are_what_can_be_chosen(admin, system):
    options = admin.get(f"/api/v1/vms/options/?information_system={system.pk}").json()

    assert options["missing"] == {}
    assert [flavor["name"] for flavor in options["flavors"]][:2] == ["1c-1g-10g", "1c-2g-20g"]
    assert {image["name"] for image in options["images"]} >= {"Ubuntu 22.04", "Debian 12"}
    assert [network["name"] for network in options["networks"]] == ["internal"], "external ones are none"
    assert options["zones"] == [{"id": "nova", "name": "nova"}]
    assert admin.get("/api/v1/vms/options/?region=Elsewhere").status_code == 400
    assert admin.get("/api/v1/vms/options/?information_system=x").status_code == 400


def test_a_vm_runs_until_its_end_at_least_today(admin, system):
    today = timezone.localdate()

    answer = admin.new_vm(system, runtime_start=str(today), runtime_end=str(today), dry_run=True)

    assert answer.status_code == 200
    yesterday = str(today - timedelta(days=1))
    assert list(errors_of(admin.new_vm(system, runtime_end=yesterday))) == ["runtime_end"]


def test_a_step_with_nothing_to_do_is_skipped_and_not_undone(admin, system, cloud):
    created = admin.ended(admin.new_vm(system))
    cloud.call("POST", "failing_builds", {"times": 1})
    failed = admin.ended(admin.new_vm(system, name="fails-1"))

    for job, ending in ((created, "succeeded"), (failed, "failed")):
        assert job["status"] == ending
        first = job["steps"][0]
        assert (first["name"], first["status"]) == ("create_boot_volume", "skipped")
    assert created["progress"] == 100
