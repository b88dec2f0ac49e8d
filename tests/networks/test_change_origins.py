"""Changes that a sync finds: which of them a task of the portal explains, and which were made in the cloud."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from cloudaccounts.connect import open_cloud
from cloudaccounts.models import CatalogueGrant, CloudResource, ResourceChange
from cloudaccounts.registry import CloudAction
from cloudaccounts.sync.change_origins import record_origins
from cloudaccounts.sync.openstack.compute import ServerSyncer
from cloudaccounts.sync.openstack.provider import OpenStackProvider
from cloudaccounts.sync.resources import sync_resource
from events.labels import label_event
from events.models import Event
from networks.models import SecurityGroup
from openstack_client import CloudUnavailableError
from tenants.scoping import Role
from tests.factories import MembershipFactory
from tests.vms.conftest import AdminClient
from vms.models import VirtualMachine

CHANGES = "/api/v1/cloud-changes/"


@pytest.fixture(autouse=True)
def prompt_cloud(monkeypatch, cloud):
    """A cloud that shows at once what was done: a task explains nothing after its end."""
    monkeypatch.setattr("cloudaccounts.sync.change_origins.LATE", timedelta(0))
    cloud.clock(action_seconds=0)


@pytest.fixture
def vm(admin, system, catalogue, sync):
    """A running VM whose server, ports and volumes are in the inventory as they are in the cloud."""
    admin.done(admin.new_vm(system))
    sync("server", "port", "volume")
    ResourceChange.objects.all().delete()
    return VirtualMachine.objects.get()


def find_changes(**conditions):
    """Return type, origin and task of each change, oldest first."""
    changes = ResourceChange.objects.filter(**conditions).order_by("pk")
    return list(changes.values_list("resource__type", "outside", "job_id"))


def test_what_a_task_has_stopped_is_explained_by_it(admin, vm, sync):
    job = admin.done(admin.post(f"/api/v1/vms/{vm.pk}/actions/", {"action": "stop"}, format="json"))

    sync("server", "port")

    servers = find_changes(resource__type="server")
    assert [(outside, str(task)) for _type, outside, task in servers] == [(False, job["id"])]
    assert not ResourceChange.objects.filter(outside=True).exists()


def test_what_somebody_has_stopped_in_the_cloud_is_from_outside(vm, sync):
    open_cloud(vm.account, vm.region).compute.stop_server(vm.openstack_id)

    sync("server")

    assert find_changes() == [("server", True, None)]


def test_the_cloud_is_asked_who_did_it(admin, vm, sync, cloud):
    open_cloud(vm.account, vm.region).compute.stop_server(vm.openstack_id)

    sync("server", "port")

    (change,) = ResourceChange.objects.filter(resource__type="server", outside=True)
    (action, *_earlier) = open_cloud(vm.account, vm.region).compute.list_server_actions(vm.openstack_id)
    assert (change.cloud_action, change.cloud_user) == ("stop", action.user_id) and action.user_id
    staff = AdminClient(MembershipFactory(role=Role.ADMIN, user__is_staff=True, user__is_superuser=True))
    shown = staff.get(f"/api/v1/cloud-resources/{change.resource_id}/changes/").json()["results"][-1]
    assert (shown["cloud_action"], shown["cloud_user"]) == ("stop", action.user_id)


def test_an_odd_word_of_the_cloud_is_bounded_and_spoils_no_sync(vm, sync, monkeypatch):
    open_cloud(vm.account, vm.region).compute.stop_server(vm.openstack_id)
    odd = CloudAction("st\0op" + "x" * 500, "\0", timezone.now() + timedelta(days=1))
    monkeypatch.setattr(OpenStackProvider, "list_actions", lambda *_of: [odd])

    sync("server", "port")

    (change,) = ResourceChange.objects.filter(resource__type="server", outside=True)
    assert change.cloud_action.startswith("st") and len(change.cloud_action) <= 100
    assert "\0" not in change.cloud_action + change.cloud_user


def test_a_change_of_which_the_cloud_records_no_action_has_no_user(vm, sync):
    compute = open_cloud(vm.account, vm.region).compute
    compute.replace_metadata(vm.openstack_id, {"owner": "somebody"})

    sync("server", "port")

    (change,) = ResourceChange.objects.filter(resource__type="server", outside=True)
    assert (change.cloud_action, change.cloud_user) == ("", "")


def test_a_cloud_that_does_not_tell_who_did_it_spoils_no_sync(vm, sync, cloud):
    open_cloud(vm.account, vm.region).compute.stop_server(vm.openstack_id)
    cloud.faults({"method": "GET", "path": "/os-instance-actions$", "kind": "status", "status": 403})

    sync("server", "port")

    (change,) = ResourceChange.objects.filter(resource__type="server", outside=True)
    assert (change.cloud_action, change.cloud_user) == ("", "")


def test_a_task_explains_nothing_that_happened_after_the_next_listing(admin, vm, sync):
    admin.done(admin.post(f"/api/v1/vms/{vm.pk}/actions/", {"action": "stop"}, format="json"))
    sync("server")
    open_cloud(vm.account, vm.region).compute.start_server(vm.openstack_id)

    sync("server")

    assert [outside for _type, outside, _job in find_changes()] == [False, True]


def test_a_volume_that_a_task_attaches_is_explained_and_one_that_is_deleted_in_the_cloud_is_not(
    admin, system, vm, sync, account
):
    storage = open_cloud(account, vm.region).block_storage
    lost = storage.create_volume(name="lost", size_gb=1)
    sync("volume")
    new = admin.done(
        admin.post(f"/api/v1/vms/{vm.pk}/volumes/", {"size_gb": 2, "name": "data"}, format="json")
    )
    storage.delete_volume(lost.id)
    ResourceChange.objects.all().delete()

    sync("volume", "volume", "server")

    origins = dict(ResourceChange.objects.values_list("resource__cloud_id", "outside"))
    assert origins.pop(lost.id) is True
    assert set(origins.values()) == {False}
    assert ResourceChange.objects.filter(job_id=new["id"]).exists()


def list_events():
    """Return code, tenant, object and parameters of the events about what was changed outside."""
    return [
        (event.code, event.tenant_id, event.object_name, event.parameters)
        for event in Event.objects.filter(code__startswith="cloud_resource.").order_by("pk")
    ]


def test_a_group_that_is_opened_to_everybody_outside_is_an_event_of_its_tenant(
    admin, sync, catalogue, account
):
    admin.done(admin.post("/api/v1/security-groups/", {"name": "web"}, format="json"))
    group = SecurityGroup.objects.get()
    sync("security_group")
    network = open_cloud(account, group.region).network
    for port, source in ((443, "198.51.100.0/24"), (22, "0.0.0.0/0")):
        network.create_security_group_rule(
            group.cloud_id,
            direction="ingress",
            protocol="tcp",
            port_min=port,
            port_max=port,
            remote_ip_prefix=source,
        )

    sync("security_group", "security_group")

    (event,) = list_events()
    assert event[:3] == ("cloud_resource.group_opened", group.tenant_id, group.name)
    (opened,) = event[3]["rules"]
    assert (opened["port_min"], opened["remote_cidr"], "id" in opened) == ("22", "0.0.0.0/0", False)
    subscriber = MembershipFactory(tenant=group.tenant, role=Role.ADMIN)
    feed = AdminClient(subscriber).get("/api/v1/events/", {"after": 0}).json()["results"]
    assert "cloud_resource.group_opened" in [shown["code"] for shown in feed]
    assert label_event(Event.objects.get(code=event[0])).startswith("Security group opened to every address")


def test_a_server_that_is_deleted_outside_is_an_event_of_its_tenant_and_one_that_a_task_deletes_is_none(
    admin, system, vm, sync, cloud
):
    cloud.seed(8)  # So that two fewer are no mass loss, which a person has to confirm.
    other = admin.new_vm(system, name="shop-2")
    admin.done(other)
    sync("server")
    open_cloud(vm.account, vm.region).compute.delete_server(vm.openstack_id)
    admin.done(admin.delete(f"/api/v1/vms/{other.json()['vm']['id']}/?force=true"))

    sync("server", "server", "server")

    deleted = ResourceChange.objects.get(resource__cloud_id=vm.openstack_id, fields__has_key="expired")
    assert (deleted.outside, deleted.cloud_action) == (True, "delete")
    assert list_events() == [
        (
            "cloud_resource.server_deleted",
            system.tenant_id,
            vm.name,
            {"account": vm.account.name, "region": vm.region},
        )
    ]


def test_what_a_listing_has_found_before_it_failed_is_explained_too(vm, account, cloud, monkeypatch):
    open_cloud(vm.account, vm.region).compute.stop_server(vm.openstack_id)
    pages = ServerSyncer.list_pages

    def list_one_page(self, client):
        yield from pages(self, client)
        raise CloudUnavailableError("the cloud is away")

    monkeypatch.setattr(ServerSyncer, "list_pages", list_one_page)

    log = sync_resource(account.pk, "server")

    assert log.state == "failed"
    assert find_changes() == [("server", True, None)]


def test_types_that_change_by_themselves_are_not_judged(sync, vm):
    sync("flavor")
    flavor = CloudResource.objects.filter(type="flavor").first()
    CloudResource.objects.filter(pk=flavor.pk).update(name="former", digest="")

    sync("flavor")

    assert find_changes() == [("flavor", None, None)]


def test_in_a_vendors_account_every_change_is_from_outside(account, vm, sync):
    server = CloudResource.objects.filter(type="server").first()
    log = account.sync_logs.order_by("-pk").first()
    ResourceChange.objects.create(resource=server, log=log, fields={"name": ["a", "b"]})
    account.provider = "aws"

    record_origins(account, (account.pk, server.region, "server"), log.pk)

    assert find_changes() == [("server", True, None)]


def test_the_list_tells_tasks_to_those_who_may_see_them(admin, vm, sync, account):
    job = admin.done(admin.post(f"/api/v1/vms/{vm.pk}/actions/", {"action": "stop"}, format="json"))
    sync("server")
    open_cloud(account, vm.region).compute.start_server(vm.openstack_id)
    ResourceChange.objects.filter(outside=False).update(at="2026-01-01T00:00:00Z")
    image = CloudResource.objects.filter(type="image").first()
    ResourceChange.objects.create(
        resource=image, fields={"name": ["a", "b"]}, outside=False, job_id=job["id"]
    )
    CatalogueGrant.objects.get_or_create(account=account, kind="image", match="*")
    other = AdminClient(MembershipFactory(role=Role.VIEWER))

    # The account is shared: of servers, a tenant sees none.
    for client, expected in ((admin, job["id"]), (other, None)):
        (shown,) = client.get(CHANGES).json()["results"]
        assert (shown["type"], shown["fields"], shown["outside"]) == ("image", {"name": ["a", "b"]}, False)
        assert (shown["resource"], shown["account_name"], shown["job"]) == (
            str(image.pk),
            account.name,
            expected,
        )
        assert client.get(CHANGES, {"outside": "true"}).json()["results"] == []
    (own,) = other.get(f"/api/v1/cloud-resources/{image.pk}/changes/").json()["results"]
    assert own["job"] is None
