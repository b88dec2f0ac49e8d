"""Pages about logging in: keys of a person and of a tenant, templates, the form for a new VM, a VM's passwords."""

from __future__ import annotations

import re
import uuid

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tasks.models import Job
from tenants.scoping import Role
from tests.factories import TenantFactory, UserFactory
from vms.models import PasswordReset, SSHKey, UserDataTemplate, VirtualMachine, VMLogin

pytestmark = pytest.mark.django_db
PRIVATE = Ed25519PrivateKey.generate()


def new_public_text(private=None):
    public = (private or Ed25519PrivateKey.generate()).public_key()
    return public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def text(answer):
    return answer.content.decode()


def user_of(client):
    return client.session["_auth_user_id"]


def add(client, path, key=None, name="laptop"):
    return client.post(path, {"name": name, "public_key": key or new_public_text()})


OWN, SHARED, TEMPLATES = "/preferences/keys/", "/ssh-keys/", "/user-data-templates/"


def test_everybody_keeps_keys_of_their_own_and_sees_nobody_elses(as_role):
    vera, other = as_role(Role.VIEWER), as_role(Role.ADMIN)

    assert add(vera, OWN + "new/").status_code == 302
    key = SSHKey.objects.get()

    assert key.fingerprint in text(vera.get(OWN))
    assert key.fingerprint not in text(other.get(OWN)) + text(other.get(SHARED))
    for page in ("rename", "remove"):
        assert other.get(f"/ssh-keys/{key.pk}/{page}/").status_code == 404
        assert other.post(f"/ssh-keys/{key.pk}/{page}/", {"name": "x"}).status_code == 404
    vera.post(f"/ssh-keys/{key.pk}/rename/", {"name": "desk"})
    assert "desk" in text(vera.get(OWN))
    assert vera.post(f"/ssh-keys/{key.pk}/remove/").status_code == 302
    assert not SSHKey.objects.exists()


def test_a_user_without_a_tenant_has_keys_too():
    client = Client()
    client.force_login(UserFactory())

    assert add(client, OWN + "new/").status_code == 302
    assert "laptop" in text(client.get(OWN))


def test_administrators_manage_the_tenants_keys(as_role):
    admin, operator, stranger = (
        as_role(Role.ADMIN),
        as_role(Role.OPERATOR),
        as_role(Role.ADMIN, TenantFactory()),
    )

    assert add(admin, SHARED + "new/", name="office").status_code == 302
    assert add(operator, SHARED + "new/").status_code == 403
    key = SSHKey.objects.get()

    assert key.tenant is not None
    shown = text(operator.get(SHARED))
    assert "office" in shown
    assert "Rename…" not in shown
    assert operator.post(f"/ssh-keys/{key.pk}/remove/").status_code == 403
    assert stranger.get(f"/ssh-keys/{key.pk}/remove/").status_code == 404
    assert "office" not in text(stranger.get(SHARED))


def test_a_private_key_is_refused_at_its_field_and_not_shown_again(as_role):
    pasted = PRIVATE.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()

    answer = add(as_role(Role.VIEWER), OWN + "new/", pasted)

    assert answer.status_code == 400
    assert "This is a private key" in text(answer)
    assert re.search(r'<textarea id="public-key"[^>]* aria-invalid="?true', text(answer))
    assert 'value="laptop"' in text(answer)
    assert pasted.splitlines()[1] not in text(answer)
    assert not SSHKey.objects.exists()


def test_a_list_of_keys_costs_the_same_for_many(as_role):
    client = as_role(Role.ADMIN)
    counts = []
    for number in (1, 8):
        for _one in range(number):
            add(client, SHARED + "new/")
        client.get(SHARED)
        with CaptureQueriesContext(connection) as captured:
            client.get(SHARED)
        counts.append(len(captured))

    assert counts[0] == counts[1]


def test_templates_are_for_administrators(as_role):
    admin, operator = as_role(Role.ADMIN), as_role(Role.OPERATOR)
    script = "#!/bin/sh\r\necho s3cr3t\r\n"

    assert admin.post(TEMPLATES + "new/", {"name": "web", "text": script}).status_code == 302
    template = UserDataTemplate.objects.get()

    assert template.decrypt_text() == "#!/bin/sh\necho s3cr3t\n"
    assert "s3cr3t" not in text(admin.get(TEMPLATES))
    edit = f"{TEMPLATES}{template.pk}/edit/"
    assert "s3cr3t" in text(admin.get(edit))
    assert "web" in text(operator.get(TEMPLATES))
    for page in ("edit", "remove"):
        path = f"{TEMPLATES}{template.pk}/{page}/"
        assert operator.get(path).status_code == operator.post(path).status_code == 403
        assert as_role(Role.ADMIN, TenantFactory()).get(path).status_code == 404
    refused = admin.post(edit, {"name": "web", "text": "hello", "version": "1"})
    assert refused.status_code == 400
    assert "The first line names the kind" in text(refused)
    assert "hello" in text(refused)
    admin.post(edit, {"name": "web", "text": "#!/bin/bash\n", "version": "1"})
    late = admin.post(edit, {"name": "late", "text": "#!/bin/bash\n", "version": "1"})
    assert late.status_code == 412
    assert "Someone else changed this template" in text(late)
    assert admin.post(f"{TEMPLATES}{template.pk}/remove/").status_code == 302
    assert not UserDataTemplate.objects.exists()


def new_vm(vm, **fields):
    return {
        "information_system": str(vm.information_system_id),
        "name": "new-1",
        "cpu_cores": "2",
        "memory_gb": "4",
        "disk_gb": "40",
        "boot": "os:ubuntu|22.04",
        **fields,
    }


def test_the_form_for_a_new_vm_has_the_own_key_selected_and_takes_the_choice(as_role, vm, tenant):
    admin = as_role(Role.ADMIN)
    add(admin, OWN + "new/")
    add(admin, SHARED + "new/", name="office")
    own, shared = SSHKey.objects.get(tenant=None), SSHKey.objects.get(user=None)

    html = text(admin.get("/vms/new/"))
    assert re.search(rf'value="{own.pk}" checked', html)
    assert not re.search(rf'value="{shared.pk}" checked', html)

    chosen = {"has_login_fields": "1", "ssh_keys": [str(own.pk), str(shared.pk)]}
    made = admin.post("/vms/new/", new_vm(vm, user_data="#!/bin/sh\r\nid\r\n", config_drive="true", **chosen))

    assert made.status_code == 302
    login = VMLogin.objects.get()
    assert [key["name"] for key in login.ssh_keys] == ["laptop", "office"]
    assert (login.decrypt_user_data(), login.config_drive) == ("#!/bin/sh\nid\n", True)
    assert "laptop" in text(admin.get(f"/vms/{login.vm_id}/?tab=access"))
    assert "#!/bin/sh" in text(admin.get(f"/vms/{login.vm_id}/user-data/"))
    assert as_role(Role.OPERATOR).get(f"/vms/{login.vm_id}/user-data/").status_code == 403


def test_a_deselected_key_stays_deselected_and_errors_stand_at_their_fields(as_role, vm):
    admin = as_role(Role.ADMIN)
    add(admin, OWN + "new/")

    refused = admin.post("/vms/new/", new_vm(vm, has_login_fields="1", user_data="hello there"))

    assert refused.status_code == 400
    assert "hello there" in text(refused)
    assert "The first line names the kind" in text(refused)
    assert not re.search(rf'value="{SSHKey.objects.get().pk}" checked', text(refused))
    for bad in ("x", str(uuid.uuid4())):
        answer = admin.post("/vms/new/", new_vm(vm, has_login_fields="1", ssh_keys=bad))
        assert answer.status_code == 400, bad
    assert VirtualMachine.objects.count() == 1


def test_a_template_is_inserted_into_the_form(as_role, vm):
    admin = as_role(Role.ADMIN)
    admin.post(TEMPLATES + "new/", {"name": "web", "text": "#cloud-config\npackages: [nginx]\n"})
    template = UserDataTemplate.objects.get().pk

    shown = admin.post("/vms/new/", new_vm(vm, reload="1", template=str(template)))

    assert "packages: [nginx]" in text(shown)
    foreign = as_role(Role.ADMIN, TenantFactory())
    assert "nginx" not in text(foreign.get(f"/vms/new/?template={template}", follow=True))


def test_a_new_password_is_shown_once(as_role, vm):
    vm.openstack_id = str(uuid.uuid4())
    vm.save()
    path = f"/vms/{vm.pk}/password/"
    operator = as_role(Role.OPERATOR)
    key = re.search(r'name="password_key" value="(\w+)"', text(operator.get(path))).group(1)

    first = operator.post(path, {"password_key": key})
    again = operator.post(path, {"password_key": key}, follow=True)

    password = re.search(r'data-copy-text="([^"]{20})"', text(first)).group(1)
    assert password not in text(again)
    assert "already reset" in text(again)
    assert Job.objects.filter(kind="vms.reset_password").count() == 1
    assert PasswordReset.objects.count() == 1
    viewer, stranger = as_role(Role.VIEWER), as_role(Role.ADMIN, TenantFactory())
    for path_of in (path, path + "read/"):
        assert stranger.post(path_of).status_code in {302, 404}
        viewer.post(path_of)
    assert Job.objects.filter(kind__contains="password").count() == 1


def test_a_refused_reset_is_told_in_the_dialog_and_its_key_stays_free(as_role, vm):
    vm.status = "stopped"
    vm.openstack_id = str(uuid.uuid4())
    vm.save()

    answer = as_role(Role.OPERATOR).post(f"/vms/{vm.pk}/password/", {"password_key": "k"})

    assert answer.status_code == 409
    assert "while the VM runs" in text(answer)
    assert not PasswordReset.objects.exists()
