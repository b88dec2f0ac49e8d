"""Hosts, the key to them, and what is on them, over REST."""

from __future__ import annotations

import pytest

from deploys.models import DeployKey, Host, MicroServiceInstance
from tenants.scoping import Role
from tests.factories import (
    DeploymentFactory,
    HostFactory,
    InstanceFactory,
    MembershipFactory,
    ServiceFactory,
    UserFactory,
    VersionFactory,
    VirtualMachineFactory,
)
from tests.isolation.deploy_cases import build_key_request

pytestmark = pytest.mark.django_db
URL = "/api/v1/hosts/"
HOST = {"hostname": "web-1", "ip": "10.1.2.3"}


@pytest.fixture
def service(member):
    return ServiceFactory(information_system__tenant=member.tenant, port=9000)


def instances_of(service):
    return f"/api/v1/services/{service.pk}/instances/"


# --- Hosts -------------------------------------------------------------------------------------------------


def test_a_host_is_entered_read_changed_and_removed(admin_client, member):
    made = admin_client.post(URL, HOST, format="json")
    assert made.status_code == 201, made.content
    assert (
        made.json().items()
        >= {**HOST, "ssh_port": 22, "user": "deploy", "tenant": member.tenant.slug}.items()
    )
    url = f"{URL}{made.json()['id']}/"

    changed = admin_client.patch(url, {"ssh_port": 2222}, format="json", headers={"If-Match": made["ETag"]})
    stale = admin_client.delete(url, headers={"If-Match": made["ETag"]})

    assert (changed.status_code, changed.json()["ssh_port"]) == (200, 2222)
    assert stale.status_code == 412
    assert admin_client.delete(url).status_code == 204
    assert not Host.objects.exists()


@pytest.mark.parametrize(
    ("name", "hostname"),
    [("shop-1", "shop-1"), ("Shop 1 (old)", "Shop-1-old"), (".hidden", "hidden"), ("商城", None)],
)
def test_a_host_is_made_of_a_vm(admin_client, member, name, hostname):
    vm = VirtualMachineFactory(
        information_system__tenant=member.tenant,
        name=name,
        addresses=[{"ip": "10.9.8.7", "kind": "floating"}],
    )

    made = admin_client.post(URL, {"vm": str(vm.pk)}, format="json")

    assert made.status_code == 201, made.content
    assert made.json()["hostname"] == (hostname or f"vm-{vm.pk.hex[:8]}")
    assert (made.json()["ip"], made.json()["vm"], made.json()["vm_name"]) == ("10.9.8.7", str(vm.pk), name)
    again = admin_client.post(URL, {"vm": str(vm.pk)}, format="json")
    assert (again.status_code, again.json()["code"]) == (409, "name_taken")


def test_a_vm_without_an_address_and_one_of_another_tenant(admin_client, member):
    bare = VirtualMachineFactory(information_system__tenant=member.tenant)
    foreign = VirtualMachineFactory(ip_address="10.1.1.1")

    answers = [admin_client.post(URL, {"vm": str(vm.pk)}, format="json") for vm in (bare, foreign)]

    assert [answer.status_code for answer in answers] == [400, 400]
    assert answers[1].json()["errors"] == {"vm": [f'Invalid pk "{foreign.pk}" - object does not exist.']}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"hostname": "a b"}, "hostname"),
        ({"hostname": "-x"}, "hostname"),
        ({"hostname": "x/../y"}, "hostname"),
        ({"hostname": ""}, "hostname"),
        ({"ip": "web-1.example.org"}, "ip"),
        ({"ip": "10.1.2"}, "ip"),
        ({"ssh_port": 0}, "ssh_port"),
        ({"ssh_port": 65536}, "ssh_port"),
        ({"user": "Root"}, "user"),
        ({"user": "a;b"}, "user"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_host_that_is_none_is_refused_by_field(admin_client, changes, field):
    answer = admin_client.post(URL, {**HOST, **changes}, format="json")

    assert (answer.status_code, set(answer.json()["errors"])) == (400, {field}), answer.content


@pytest.mark.parametrize("ip", ["127.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1", "0.0.0.0"])
def test_the_portals_own_machine_is_no_host(admin_client, settings, ip):
    settings.ALLOW_LOCAL_HOSTS = False
    host = admin_client.post(URL, HOST, format="json").json()

    made = admin_client.post(URL, {"hostname": "own", "ip": ip}, format="json")
    moved = admin_client.patch(f"{URL}{host['id']}/", {"ip": ip}, format="json")

    for answer in (made, moved):
        assert (answer.status_code, set(answer.json()["errors"])) == (400, {"ip"})


def test_staff_name_the_tenant_that_a_host_is_for(client_of, member):
    staff = client_of(UserFactory(is_staff=True, is_superuser=True))

    assert staff.post(URL, HOST, format="json").json()["code"] == "tenant_required"
    made = staff.post(URL, HOST, format="json", headers={"X-Tenant": member.tenant.slug})
    assert made.json()["tenant"] == member.tenant.slug


def test_a_host_that_something_runs_on_stays(admin_client, service):
    instance = InstanceFactory(version__service=service)
    url = f"{URL}{instance.host_id}/"

    assert admin_client.delete(url).json()["code"] == "in_use"
    MicroServiceInstance.objects.update(locked=True)
    assert admin_client.patch(url, {"user": "x"}, format="json").json()["code"] == "being_deployed"


# --- The key -----------------------------------------------------------------------------------------------


def test_a_key_goes_in_and_never_comes_out(admin_client, client, member):
    body = build_key_request(member)
    secret = body["private_key"].splitlines()[2]

    before = client.get(f"{URL}key/").json()
    put = admin_client.put(f"{URL}key/", body, format="json")
    read = client.get(f"{URL}key/")

    assert before["is_set"] is False
    assert put.status_code == 200
    assert read.json() == put.json()
    assert read.json()["public_key"].startswith("ssh-ed25519 ")
    assert read.json()["fingerprint"].startswith("SHA256:")
    assert read.json()["updated_by"] and read.json()["updated_at"]
    for answer in (put, read):
        assert secret.encode() not in answer.content
    stored = DeployKey.objects.get()
    assert secret not in stored.encrypted_private_key
    assert stored.private_key() == body["private_key"]
    assert admin_client.delete(f"{URL}key/").status_code == 204
    assert client.get(f"{URL}key/").json() == before


def test_what_is_no_key_is_refused_and_not_repeated(admin_client):
    answer = admin_client.put(f"{URL}key/", {"private_key": "s3cr3t"}, format="json")

    assert (answer.status_code, set(answer.json()["errors"])) == (400, {"private_key"})
    assert b"s3cr3t" not in answer.content


# --- What is on them ---------------------------------------------------------------------------------------


def test_an_instance_says_what_runs_where(admin_client, member, service):
    version, host = VersionFactory(service=service), HostFactory(tenant=member.tenant)

    made = admin_client.post(
        instances_of(service),
        {"host": str(host.pk), "version": str(version.pk), "tag": "blue"},
        format="json",
    )

    assert made.status_code == 201, made.content
    shown = made.json()
    assert shown["host"] == f"{host.hostname}:{host.ip}"
    assert (shown["version_id"], shown["version"]) == (str(version.pk), version.label)
    assert (shown["port"], shown["tag"], shown["status"], shown["locked_by"]) == (
        9000,
        "blue",
        "unknown",
        None,
    )
    again = admin_client.post(
        instances_of(service), {"host": str(host.pk), "version": str(version.pk)}, format="json"
    )
    assert (again.status_code, again.json()["code"]) == (409, "host_taken")


def test_what_is_another_tenants_or_another_services_is_unknown(admin_client, member, service):
    body = {
        "host": str(HostFactory().pk),
        "version": str(VersionFactory(service__information_system__tenant=member.tenant).pk),
    }

    answer = admin_client.post(instances_of(service), body, format="json")

    assert (answer.status_code, set(answer.json()["errors"])) == (400, {"host", "version"})


def test_instances_are_filtered(client, service):
    old, new = VersionFactory.create_batch(2, service=service)
    one, other = InstanceFactory(version=old), InstanceFactory(version=new, status="failed", is_maintain=True)
    held = InstanceFactory(version=new, locked=True, locked_by=DeploymentFactory(from_version=old))

    def listed(query):
        answer = client.get(f"{instances_of(service)}?{query}")
        return {row["id"] for row in answer.json()["results"]}

    assert listed(f"version={old.pk}") == listed(f"version={old.label}") == {str(one.pk)}
    assert listed("locked=false") == {str(one.pk), str(other.pk)}
    assert listed("status=failed") == listed("is_maintain=true") == {str(other.pk)}
    assert listed(f"host={held.host_id}") == {str(held.pk)}
    assert client.get(f"{instances_of(service)}?status=tired").status_code == 400


def test_operators_maintain_and_administrators_do_the_rest(client, admin_client, service):
    url = f"{instances_of(service)}{InstanceFactory(version__service=service).pk}/"

    assert client.patch(url, {"is_maintain": True}, format="json").json()["is_maintain"] is True
    assert client.patch(url, {"weight": 1}, format="json").status_code == 403
    assert client.patch(url, {"is_maintain": False, "weight": 1}, format="json").status_code == 403
    changed = admin_client.patch(url, {"weight": 1, "port": 81}, format="json")
    assert (changed.json()["weight"], changed.json()["port"]) == (1, 81)
    assert admin_client.patch(url, {"weight": 1001}, format="json").status_code == 400
    assert admin_client.delete(url).status_code == 204


def test_what_a_deployment_holds_stays_as_it_is(admin_client, service):
    version = VersionFactory(service=service)
    deployment = DeploymentFactory(from_version=version)
    held = InstanceFactory(version=version, locked=True, locked_by=deployment)
    url = f"{instances_of(service)}{held.pk}/"

    answers = [
        admin_client.patch(url, {"is_maintain": True}, format="json"),
        admin_client.patch(url, {"colour": "red"}, format="json"),
        admin_client.delete(url),
    ]

    assert [(one.status_code, one.json()["code"]) for one in answers] == [(409, "locked")] * 3
    assert answers[0].json()["deployment"] == str(deployment.pk)
    holder = admin_client.get(url).json()["locked_by"]
    assert (holder["deployment"], holder["operator"]) == (
        str(deployment.pk),
        deployment.operator.username,
    )


def test_a_viewer_reads_and_changes_nothing(client_of, member, service):
    viewer = client_of(MembershipFactory(tenant=member.tenant, role=Role.VIEWER).user)
    url = f"{instances_of(service)}{InstanceFactory(version__service=service).pk}/"

    assert viewer.get(url).status_code == 200
    for body in ({"is_maintain": True}, {"colour": "red"}):
        assert viewer.patch(url, body, format="json").status_code == 403
