"""Ids of other tenants in the bodies of requests about networks are as unknown as ids that never were."""

from __future__ import annotations

import uuid

import pytest
from rest_framework.test import APIClient

from cloudaccounts.models import CloudResource, ResourceLink
from tasks.models import Job
from tenants.scoping import Role
from tests.factories import InformationSystemFactory, MembershipFactory, VirtualMachineFactory
from tests.network_factories import FloatingIpFactory, SecurityGroupFactory, ServerGroupFactory

from .network_cases import create_networked_vm
from .objects import build_vm_request

pytestmark = pytest.mark.django_db


@pytest.fixture
def owner():
    return MembershipFactory(role=Role.ADMIN)


@pytest.fixture
def stranger():
    return MembershipFactory(role=Role.ADMIN)


def send(member, method, path, body):
    client = APIClient()
    client.force_authenticate(member.user)
    return getattr(client, method)(path, body, format="json")


def assert_unknown(member, method, path, build, theirs, field):
    """Check that another tenant's id is refused at its field, in the words of one that never was."""
    texts = []
    for pk in (str(theirs), str(uuid.uuid4())):
        answer = send(member, method, path, build(pk))
        assert answer.status_code == 400, answer.json()
        texts.append(str(answer.json()["errors"][field]).replace(pk, "?"))
    assert texts[0] == texts[1]
    assert not Job.objects.exists()


@pytest.mark.parametrize("field", ["security_groups", "server_group"])
def test_in_a_creation(owner, stranger, field):
    request = build_vm_request(stranger)
    if field == "security_groups":
        theirs = SecurityGroupFactory(tenant=owner.tenant).pk
    else:
        theirs = ServerGroupFactory(information_system__tenant=owner.tenant).pk

    def build(pk):
        return {**request, field: [pk] if field == "security_groups" else pk}

    assert_unknown(stranger, "post", "/api/v1/vms/", build, theirs, field)


def test_in_the_groups_of_a_vm(owner, stranger):
    path = f"/api/v1/vms/{create_networked_vm(stranger)['id']}/security-groups/"
    theirs = SecurityGroupFactory(tenant=owner.tenant).pk

    assert_unknown(stranger, "put", path, lambda pk: {"security_groups": [pk]}, theirs, "security_groups")


def test_a_port_of_another_vm(owner, stranger):
    path = f"/api/v1/vms/{create_networked_vm(stranger)['id']}/security-groups/"
    theirs = create_networked_vm(owner)["port_pk"]

    def build(pk):
        return {"security_groups": [], "port": pk}

    assert_unknown(stranger, "put", path, build, theirs, "port")


def test_in_a_rule(owner, stranger):
    group = SecurityGroupFactory(tenant=stranger.tenant)
    theirs = SecurityGroupFactory(tenant=owner.tenant, account=group.account).pk
    path = f"/api/v1/security-groups/{group.pk}/rules/"

    def build(pk):
        return {"direction": "ingress", "remote_group": pk}

    assert_unknown(stranger, "post", path, build, theirs, "remote_group")


def test_in_an_attachment(owner, stranger):
    vm = VirtualMachineFactory(information_system__tenant=owner.tenant, status="running")
    address = FloatingIpFactory(tenant=stranger.tenant, account=vm.account)
    path = f"/api/v1/floating-ips/{address.pk}/attach/"

    assert_unknown(stranger, "post", path, lambda pk: {"vm": pk}, vm.pk, "vm")


def test_in_a_server_group(owner, stranger):
    theirs = InformationSystemFactory(tenant=owner.tenant).pk

    def build(pk):
        return {"information_system": pk, "name": "spread", "policy": "affinity"}

    assert_unknown(stranger, "post", "/api/v1/server-groups/", build, theirs, "information_system")


def test_the_name_of_a_group_of_others_on_ones_own_vm_is_not_told(owner, stranger):
    ids = create_networked_vm(stranger)
    theirs = SecurityGroupFactory(tenant=owner.tenant, name="their secret")
    port = CloudResource.objects.get(cloud_id=ids["port_pk"])
    CloudResource.objects.create(
        account=port.account, region=port.region, type="security_group", cloud_id=theirs.cloud_id,
        name="their secret", attributes={"rule_list": []},
    )  # fmt: skip
    ResourceLink.objects.create(
        source=port, kind="port-security_group", account=port.account, region=port.region,
        target_type="security_group", target_cloud_id=theirs.cloud_id,
    )  # fmt: skip

    for path in ("interfaces", "reachability"):
        answer = send(stranger, "get", f"/api/v1/vms/{ids['id']}/{path}/", None)
        assert answer.status_code == 200
        assert b"their secret" not in answer.content
        assert str(theirs.pk).encode() not in answer.content
