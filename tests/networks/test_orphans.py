"""What the portal has made in Neutron, and server groups, without a row: found and removed; what is in use or another's never."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from cloudaccounts.connect import open_cloud
from cloudaccounts.models import CloudAccount
from networks.markers import build_marker, read_row_id
from networks.models import FloatingIp, SecurityGroup, ServerGroup
from tests.working import work
from vms.models import Orphan, VirtualMachine, VmPort
from vms.services.orphans import remove_orphan, sweep_orphans
from vms.services.release import release_vm
from vms.sync import orphans

pytestmark = pytest.mark.usefixtures("catalogue")
REGION = "RegionOne"
KINDS = ("port", "security_group", "floating_ip", "server_group")


@pytest.fixture(autouse=True)
def old_enough(account, monkeypatch, settings):
    """Let an orphan count as old at once, in an account that is older than everything in it."""
    settings.ORPHANS_REMOVE = True
    monkeypatch.setattr(orphans, "LONGEST_CREATION", timedelta(hours=-1))
    CloudAccount.objects.update(created_at=timezone.now() - timedelta(days=1))
    account.refresh_from_db()


@pytest.fixture
def create(account, catalogue):
    """Return a function that creates an object of a kind with the marker of a row, as a dead worker leaves it; it returns its id."""
    cloud = open_cloud(account, REGION)
    internal, external = (
        catalogue.get(type="network", attributes__is_external=kind).cloud_id for kind in (False, True)
    )

    def run(kind, row=None):
        row = row or uuid.uuid4()
        if kind == "port":
            return cloud.network.create_port(internal, marker=build_marker("vm-port", row)).id
        if kind == "security_group":
            marker = build_marker("security-group", row)
            return cloud.network.create_security_group(name="web", marker=marker).id
        if kind == "floating_ip":
            return cloud.network.create_floating_ip(external, marker=build_marker("floating-ip", row)).id
        name = ServerGroup(pk=row, name="spread").cloud_name
        return cloud.compute.create_server_group(name, "anti-affinity").id

    return run


def sweep(account, times=3):
    """Sweep until whatever is an orphan is confirmed; return the reported ones as pairs of kind and id."""
    for _ in range(times):
        sweep_orphans(account.pk, REGION)
    return set(Orphan.objects.exclude(reported_at=None).values_list("kind", "cloud_id"))


def list_ids(cloud):
    objects = cloud.call("GET", "objects")
    kinds = ("ports", "security_groups", "floatingips", "server_groups")
    return {one["id"] for kind in kinds for one in objects[kind]}


def test_they_are_reported_when_they_were_seen_twice_and_then_removed(account, cloud, create):
    made = {(kind, create(kind)) for kind in KINDS}

    assert sweep(account, times=1) == set(), "one sighting is not enough"
    assert sweep(account, times=1) == made
    work()

    assert not list_ids(cloud) & {cloud_id for _kind, cloud_id in made}
    assert not Orphan.objects.exists()


def test_they_stay_without_the_setting(account, cloud, create, settings):
    settings.ORPHANS_REMOVE = False
    made = {(kind, create(kind)) for kind in KINDS}

    assert sweep(account) == made
    work()

    assert {cloud_id for _kind, cloud_id in made} <= list_ids(cloud)


def test_they_are_not_reported_while_they_may_still_get_their_rows(account, create, monkeypatch):
    monkeypatch.setattr(orphans, "LONGEST_CREATION", timedelta(hours=2))
    for kind in KINDS:
        create(kind)

    assert sweep(account, times=5) == set()


def test_what_a_row_is_bound_to_or_a_job_is_creating_is_no_orphan(account, admin, system, create):
    place = {"account": account, "region": REGION}
    vm = VirtualMachine.objects.create(
        information_system=system, name="shop", cpu_cores=1, memory_gb=1, disk_gb=10, **place
    )
    for is_bound in (True, False):
        rows = {
            "port": VmPort(vm=vm, network_id="internal", **place),
            "security_group": SecurityGroup(tenant=admin.member.tenant, name="web", **place),
            "floating_ip": FloatingIp(tenant=admin.member.tenant, network_id="external", **place),
            "server_group": ServerGroup(information_system=system, name="spread", policy="affinity", **place),
        }
        for kind, row in rows.items():
            cloud_id = create(kind, row.pk)
            row.cloud_id = cloud_id if is_bound else None
            row.save()

    assert sweep(account) == set()
    assert not Orphan.objects.exists()


def test_a_double_of_what_a_row_is_bound_to_is_an_orphan(account, admin, create):
    row = SecurityGroup(tenant=admin.member.tenant, account=account, region=REGION, name="web")
    row.cloud_id = create("security_group", row.pk)
    row.save()
    double = create("security_group", row.pk)

    assert sweep(account) == {("security_group", double)}


def test_what_servers_use_is_no_orphan_whoever_has_made_it(account, admin, system, cloud, create):
    cloud.call("POST", "seed", {"project": "demo", "servers": 0, "reachable": True})
    created = admin.new_vm(system)
    admin.done(created)
    server_id = str(VirtualMachine.objects.get().openstack_id)
    client = open_cloud(account, REGION)
    made = {kind: create(kind) for kind in KINDS}
    (port,) = client.network.list_server_ports(server_id)
    client.network.set_port_security_groups(port.id, [made["security_group"]], revision=port.revision)
    client.network.attach_floating_ip(made["floating_ip"], port.id)
    client.compute.attach_port(server_id, made["port"])

    assert sweep(account) == {("server_group", made["server_group"])}


def test_one_that_is_taken_into_use_before_its_removal_is_kept(account, admin, system, cloud, create):
    admin.done(admin.new_vm(system))
    port = create("port")
    orphan = Orphan.objects.create(account=account, region=REGION, kind="port", cloud_id=port)
    server_id = str(VirtualMachine.objects.get().openstack_id)
    open_cloud(account, REGION).compute.attach_port(server_id, port)

    job = remove_orphan(orphan_id=orphan.pk, user=None)
    work()

    job.refresh_from_db()
    assert (job.status, job.outcome_code) == ("failed", "in_use")
    assert port in list_ids(cloud)


def test_what_another_installation_has_made_is_nobodys_orphan(account, create, settings):
    for kind in KINDS:
        create(kind)
    settings.CLOUD_TAG = "staging"
    own = {(kind, create(kind)) for kind in KINDS}

    assert sweep(account) == own
    settings.CLOUD_TAG = "a tag that is too long to be a part of any marker, or has spaces"
    Orphan.objects.all().delete()
    assert sweep(account) == set()
    row = str(uuid.uuid4())
    assert read_row_id("vm-port", build_marker("vm-port", row)) == row


def test_what_is_older_than_the_account_was_kept_by_whoever_deleted_an_account(account, create):
    for kind in ("port", "security_group", "floating_ip"):
        create(kind)
    CloudAccount.objects.update(created_at=timezone.now() + timedelta(minutes=1))

    assert sweep(account) == set()


def test_a_listing_that_fails_forgets_nothing_and_does_not_hold_up_the_others(account, cloud, create):
    made = {(kind, create(kind)) for kind in KINDS}
    sweep(account, times=1)
    cloud.faults({"kind": "status", "status": 503, "path": "/security-groups$"})

    assert sweep(account, times=1) == {pair for pair in made if pair[0] == "server_group"}
    cloud.no_faults()

    assert Orphan.objects.count() == len(made)
    assert sweep(account, times=1) == made


def test_the_port_of_a_released_vm_is_left_alone(account, admin, system, catalogue, settings):
    network = catalogue.get(type="network", attributes__is_external=False).cloud_id
    created = admin.new_vm(system)
    admin.done(created)
    vm = VirtualMachine.objects.get()
    admin.done(admin.post(f"/api/v1/vms/{vm.pk}/interfaces/", {"network": network}, format="json"))
    port = VmPort.objects.get().cloud_id
    account.tenant = admin.member.tenant
    account.save()

    release_vm(scope=admin.scope, vm_id=vm.pk)
    open_cloud(account, REGION).compute.detach_interface(str(vm.openstack_id), port)

    assert not VmPort.objects.exists()
    assert ("port", port) not in sweep(account)
