"""A new VM takes the tenant's deploy key, and becomes a host when it runs."""

from __future__ import annotations

import base64

import pytest
import yaml

from deploys.models import DeployKey, Host
from deploys.services import keys
from tasks.models import JobLogLine
from tests.factories import HostFactory
from vms.models import VirtualMachine

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("catalogue")]


@pytest.fixture
def deploy_key(admin):
    return keys.generate_key(scope=admin.scope).public_key


def test_a_new_vm_is_a_host_at_once(admin, system, cloud, deploy_key):
    answer = admin.new_vm(system, deploy_key=True, register_host=True)
    admin.done(answer)

    vm = VirtualMachine.objects.get()
    host = Host.objects.get()
    assert (host.vm, host.hostname, host.ip, host.user) == (vm, "shop-1", vm.ip_address, "deploy")
    server = cloud.call("GET", f"servers/{vm.openstack_id}")
    (_default, account) = yaml.safe_load(base64.b64decode(server["user_data"]))["users"]
    assert (account["name"], account["ssh_authorized_keys"]) == ("deploy", [deploy_key])
    assert server["key_name"] is None
    shown = admin.get(f"/api/v1/vms/{vm.pk}/user-data/").json()
    assert (shown["deploy_key"], shown["user_data"]) == (True, "")


def test_the_key_alone_makes_no_host(admin, system, deploy_key):
    admin.done(admin.new_vm(system, deploy_key=True))

    assert not Host.objects.exists()


@pytest.mark.parametrize(
    ("fields", "field"),
    [({"deploy_key": True}, "deploy_key"), ({"register_host": True}, "register_host")],
)
def test_what_is_missing_is_told_at_its_field(admin, system, fields, field):
    answer = admin.new_vm(system, **fields)

    assert answer.status_code == 400
    assert list(answer.json()["errors"]) == [field]
    assert not VirtualMachine.objects.exists()


def test_a_key_that_cannot_be_read_is_none(admin, system, deploy_key):
    DeployKey.objects.update(encrypted_private_key="unreadable")

    assert admin.new_vm(system, deploy_key=True).status_code == 400


def test_a_host_of_the_same_name_keeps_the_creation_from_nothing(admin, system, deploy_key):
    HostFactory(tenant=admin.member.tenant, hostname="shop-1")

    answer = admin.new_vm(system, deploy_key=True, register_host=True)
    admin.done(answer)

    assert VirtualMachine.objects.get().status == "running"
    assert Host.objects.count() == 1
    assert "not made a host" in str(
        JobLogLine.objects.get(job=answer.json()["job"]["id"], level="warning").message
    )
