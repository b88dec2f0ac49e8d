"""Passwords: shown once to who asked, set by a worker, and then nowhere."""

from __future__ import annotations

import base64
import logging
from datetime import timedelta

import pytest
from django.utils import timezone

from tasks.models import Job
from tests.vms.conftest import AdminClient
from tests.working import work
from vms.models import PasswordReading, PasswordReset, VMOperationLog
from vms.services.passwords import generate_password
from vms.services.status_sync import prune_runs

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def operator(member):
    return AdminClient(member)


@pytest.fixture
def vm(vms_of):
    (vm,) = vms_of(1)
    return vm


def post(client, vm, body=None, **headers):
    return client.post(f"/api/v1/vms/{vm.pk}/password/", body or {}, format="json", headers=headers)


def test_a_new_password_is_set_and_shown_once(operator, vm, cloud, caplog):
    caplog.set_level(logging.DEBUG)

    answer = post(operator, vm)
    password = answer.json()["password"]
    stored = PasswordReset.objects.get()
    assert password not in stored.encrypted_password
    job = operator.done(answer)

    assert cloud.call("GET", f"servers/{vm.openstack_id}")["admin_password"] == password
    assert not PasswordReset.objects.exists()
    assert password not in caplog.text + str(job) + str(list(Job.objects.values()))
    assert password not in operator.get(f"/api/v1/vms/{vm.pk}/password/").content.decode()
    assert VMOperationLog.objects.get(operation="password").success


def test_a_replay_has_the_job_and_no_password(operator, vm):
    from api.models import IdempotencyKey

    first = post(operator, vm, **{"Idempotency-Key": "once"})
    again = post(operator, vm, **{"Idempotency-Key": "once"})

    assert first.json()["password"]
    assert again.json()["password"] is None
    assert again.json()["job"]["id"] == first.json()["job"]["id"]
    assert first.json()["password"] not in str(list(IdempotencyKey.objects.values()))
    work()


def test_a_vm_without_a_guest_agent_is_told_in_words(operator, vm, cloud):
    cloud.call("POST", "passwords", {"fault": "not_enabled"})

    answer = post(operator, vm)
    job = operator.ended(answer)

    assert (job["status"], job["outcome"]["code"]) == ("failed", "no_guest_agent")
    assert "qemu-guest-agent" in job["outcome"]["message"]
    assert answer.json()["password"] not in str(job)
    assert not PasswordReset.objects.exists()
    assert not VMOperationLog.objects.get(operation="password").success


def test_a_stopped_vm_and_a_busy_one_are_refused_and_nothing_is_stored(operator, vm):
    from vms.models import VirtualMachine

    first = post(operator, vm)
    second = post(operator, vm)
    assert (second.status_code, second.json()["code"]) == (409, "busy")
    operator.done(first)
    VirtualMachine.objects.update(status="stopped")

    stopped = post(operator, vm)

    assert (stopped.status_code, stopped.json()["code"]) == (409, "wrong_state")
    assert not PasswordReset.objects.exists()


def test_a_password_whose_job_was_ended_by_hand_is_deleted_after_a_day(operator, vm):
    post(operator, vm)
    post_later = PasswordReset.objects.create(vm=vm, encrypted_password="x")
    PasswordReset.objects.exclude(pk=post_later.pk).update(created_at=timezone.now() - timedelta(hours=25))

    prune_runs()

    assert PasswordReset.objects.get() == post_later
    work()


def test_a_windows_password_is_read_with_the_command_that_decrypts_it(operator, vm, cloud):
    encrypted = base64.b64encode(b"x" * 256).decode()
    cloud.change(vm.openstack_id, encrypted_password=encrypted)

    operator.done(post(operator, vm, {"action": "read"}))

    shown = operator.get(f"/api/v1/vms/{vm.pk}/password/").json()
    assert shown["encrypted_password"] == encrypted
    assert encrypted in shown["decrypt_command"]
    assert "openssl pkeyutl -decrypt" in shown["decrypt_command"]
    assert encrypted not in PasswordReading.objects.get().encrypted_text

    operator.done(post(operator, vm, {"action": "clear"}))

    assert operator.get(f"/api/v1/vms/{vm.pk}/password/").json()["encrypted_password"] is None
    assert operator.ended(post(operator, vm, {"action": "read"}))["outcome"]["code"] == "no_password"


@pytest.mark.parametrize("hostile", ["'; rm -rf ~ #", "$(id)", "A" * 5000, "AAA=\nid"])
def test_what_a_vm_reports_cannot_break_out_of_the_command(operator, vm, cloud, hostile):
    cloud.change(vm.openstack_id, encrypted_password=hostile)

    job = operator.ended(post(operator, vm, {"action": "read"}))

    assert job["status"] == "failed"
    assert operator.get(f"/api/v1/vms/{vm.pk}/password/").json()["decrypt_command"] is None


def test_generated_passwords_have_every_kind_of_character():
    found = {generate_password() for _ in range(200)}

    assert len(found) == 200
    assert all(
        any(c.islower() for c in one) and any(c.isupper() for c in one) and any(c.isdigit() for c in one)
        for one in found
    )
    assert all(len(one) == 20 and one[0].isalpha() and any(c in "-_.+=" for c in one) for one in found)
