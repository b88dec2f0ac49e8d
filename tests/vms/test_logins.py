"""Keys and user data reach a new VM, and nobody else."""

from __future__ import annotations

import base64
import email
import gzip

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tenants.scoping import Role
from tests.factories import MembershipFactory
from tests.vms.conftest import AdminClient
from tests.working import work
from vms.models import SSHKey, VirtualMachine, VMLogin
from vms.public_keys import name_key_pair
from vms.sync.key_pairs import remove_unused_key_pairs

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("catalogue")]


def public_text(private):
    return private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


ED25519 = public_text(ed25519.Ed25519PrivateKey.generate())
ECDSA = public_text(ec.generate_private_key(ec.SECP384R1()))
RSA = public_text(rsa.generate_private_key(65537, 2048))


def add_key(client, text=ED25519, name="laptop", **fields):
    return client.post("/api/v1/ssh-keys/", {"name": name, "public_key": text, **fields}, format="json")


def server_of(cloud, answer):
    """Return the server of a new VM as the cloud has it, with what no API of Nova shows."""
    vm = VirtualMachine.objects.get(pk=answer.json()["vm"]["id"])
    return cloud.call("GET", f"servers/{vm.openstack_id}")


def user_data_of(server):
    content = base64.b64decode(server["user_data"])
    return gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content


def parts_of(content):
    """Return the parts of a MIME message by type, as cloud-init reads them."""
    message = email.message_from_string(content.decode())
    return {part.get_content_type(): part.get_payload(decode=True).decode() for part in message.get_payload()}


def test_keys_reach_a_new_vm_by_cloud_init_and_as_a_key_pair(admin, system, cloud):
    own = add_key(admin).json()
    shared = add_key(admin, RSA, "office", tenant=str(admin.member.tenant.pk)).json()

    answer = admin.new_vm(system, ssh_keys=[own["id"], shared["id"]])
    admin.done(answer)

    server = server_of(cloud, answer)
    config = user_data_of(server).decode()
    assert config.startswith("#cloud-config\n")
    assert ED25519 in config
    assert RSA in config
    assert server["key_name"] == name_key_pair(ED25519)
    assert SSHKey.objects.get(pk=own["id"]).last_used_at is not None
    shown = admin.get(f"/api/v1/vms/{answer.json()['vm']['id']}/user-data/").json()
    assert [key["name"] for key in shown["ssh_keys"]] == ["laptop", "office"]


def test_user_data_is_joined_with_the_keys(admin, system, cloud):
    key = add_key(admin).json()["id"]
    script = "#!/bin/sh\necho 'grüße' > /etc/motd\n"

    answer = admin.new_vm(system, ssh_keys=[key], user_data=script, config_drive=True)
    admin.done(answer)

    server = server_of(cloud, answer)
    parts = parts_of(user_data_of(server))
    assert parts["text/x-shellscript"] == script
    assert ED25519 in parts["text/cloud-config"]
    assert server["config_drive"]
    shown = admin.get(f"/api/v1/vms/{answer.json()['vm']['id']}/user-data/").json()
    assert (shown["user_data"], shown["config_drive"]) == (script, True)


def test_user_data_alone_is_passed_on_as_it_is(admin, system, cloud):
    script = "#!/bin/sh\r\n  echo a\n"

    answer = admin.new_vm(system, user_data=script)
    admin.done(answer)

    assert user_data_of(server_of(cloud, answer)).decode() == script


def test_long_user_data_is_compressed(admin, system, cloud):
    script = "#!/bin/sh\n" + "echo hello\n" * 5_900

    answer = admin.new_vm(system, user_data=script)
    admin.done(answer)

    server = server_of(cloud, answer)
    assert len(script) > 49_149
    assert len(base64.b64decode(server["user_data"])) < 49_149
    assert user_data_of(server).decode() == script


def test_a_vm_without_keys_has_no_key_pair_and_no_row(admin, system, cloud):
    answer = admin.new_vm(system)
    admin.done(answer)

    server = server_of(cloud, answer)
    assert (server["key_name"], server["user_data"]) == (None, None)
    assert not VMLogin.objects.exists()


def test_several_vms_get_the_same(admin, system, cloud):
    key = add_key(admin).json()["id"]

    answer = admin.new_vm(system, ssh_keys=[key], count=3)
    work()

    assert answer.status_code == 202
    servers = [cloud.call("GET", f"servers/{vm.openstack_id}") for vm in VirtualMachine.objects.all()]
    assert {server["key_name"] for server in servers} == {name_key_pair(ED25519)}
    assert all(ED25519 in user_data_of(server).decode() for server in servers)


def test_a_key_that_the_cloud_cannot_import_reaches_the_vm_by_cloud_init(admin, system, cloud):
    cloud.call("POST", "quotas", {"project": "demo", "key_pairs": 0})
    key = add_key(admin).json()["id"]

    answer = admin.new_vm(system, ssh_keys=[key])
    job = admin.done(answer)

    server = server_of(cloud, answer)
    assert server["key_name"] is None
    assert ED25519 in user_data_of(server).decode()
    assert "quota" in str(job["steps"])


@pytest.mark.parametrize("key_of", ["another person", "another tenant"])
def test_a_foreign_key_is_as_unknown_as_one_that_never_was(admin, system, key_of):
    stranger = AdminClient(
        MembershipFactory(
            role=Role.ADMIN, **({"tenant": admin.member.tenant} if key_of == "another person" else {})
        )
    )
    tenant = {} if key_of == "another person" else {"tenant": str(stranger.member.tenant.pk)}
    foreign = add_key(stranger, **tenant).json()["id"]
    never = "11111111-1111-1111-1111-111111111111"

    answers = [admin.new_vm(system, ssh_keys=[one]) for one in (foreign, never)]

    assert [answer.status_code for answer in answers] == [400, 400]
    told = [
        str(answer.json()["errors"]).replace(one, "")
        for answer, one in zip(answers, (foreign, never), strict=True)
    ]
    assert told[0] == told[1]
    assert "ssh_keys" in told[0]
    assert not VirtualMachine.objects.exists()


def test_a_key_pair_is_removed_when_no_vm_uses_it(admin, system, cloud, account):
    for name in ("portal-key-" + "0" * 32, "somebodys"):
        cloud_keys(account).create_keypair(name, RSA)
    key = add_key(admin).json()["id"]
    admin.done(admin.new_vm(system, ssh_keys=[key]))

    removed = remove_unused_key_pairs(account.pk, "RegionOne")

    assert removed == 1
    names = {pair.name for pair in cloud_keys(account).list_keypairs()}
    assert names == {"somebodys", name_key_pair(ED25519)}


def test_a_key_pair_that_was_removed_too_early_is_imported_again(admin, system, cloud, account):
    key = add_key(admin).json()["id"]
    answer = admin.new_vm(system, ssh_keys=[key])
    from tasks import engine

    job_id = answer.json()["job"]["id"]
    while cloud_keys(account).find_keypair(name_key_pair(ED25519)) is None:
        engine.advance(job_id)
    cloud_keys(account).delete_keypair(name_key_pair(ED25519))

    admin.done(answer)

    assert server_of(cloud, answer)["key_name"] == name_key_pair(ED25519)


@pytest.mark.parametrize("path", ["/os-keypairs$", "/servers$"])
def test_a_lost_answer_doubles_neither_key_pair_nor_server(admin, system, cloud, account, path):
    key = add_key(admin).json()["id"]
    cloud.faults({"kind": "lose_answer", "method": "POST", "path": path, "times": 1})

    answer = admin.new_vm(system, ssh_keys=[key], user_data="#!/bin/sh\n")
    admin.done(answer, seconds=40)

    server = server_of(cloud, answer)
    assert cloud.call("GET", "faults")["faults"][0]["struck"] == 1, "Or nothing was lost."
    assert server["key_name"] == name_key_pair(ED25519)
    assert len(list(cloud_keys(account).list_servers())) == 1
    assert [pair.name for pair in cloud_keys(account).list_keypairs()] == [server["key_name"]]


def test_a_creation_that_fails_leaves_no_key_pair_after_the_cleanup(admin, system, cloud, account):
    key = add_key(admin).json()["id"]
    cloud.faults(
        {
            "service": "compute",
            "method": "POST",
            "path": "/servers",
            "rate": 1,
            "kind": "status",
            "status": 403,
        }
    )

    job = admin.ended(admin.new_vm(system, ssh_keys=[key]))

    assert job["status"] == "failed"
    assert remove_unused_key_pairs(account.pk, "RegionOne") == 1
    assert list(cloud_keys(account).list_keypairs()) == []
    assert not VMLogin.objects.exists()


def cloud_keys(account):
    from cloudaccounts.connect import open_cloud

    return open_cloud(account, "RegionOne").compute
