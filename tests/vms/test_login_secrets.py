"""User data and passwords are nowhere but where they belong: not in logs, the broker, rows, the admin, or anybody's answers."""

from __future__ import annotations

import base64
import gzip
import logging

import pytest
from django.apps import apps
from django.core.cache import cache
from django.core.management import call_command
from django.db import connection
from django.test import Client
from rest_framework.test import APIClient

from tasks.models import Job
from tenants.scoping import Role
from tests.factories import InformationSystemFactory, MembershipFactory, UserFactory
from tests.vms.test_passwords import post
from vms.models import PasswordReading, UserDataTemplate, VirtualMachine, VMLogin
from vms.services.moves import move_vm

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("catalogue")]
CANARY = "canary-7c1f0e"
SCRIPT = f"#!/bin/sh\necho {CANARY}\n"
SECRET_TEXTS = (
    CANARY,
    base64.b64encode(SCRIPT.encode()).decode()[:24],
    base64.b64encode(gzip.compress(b"x")).decode()[:8] + CANARY,
)


def every_row():
    """Return all rows of all tables as text."""
    texts = []
    with connection.cursor() as cursor:
        for model in apps.get_models(include_auto_created=True):
            if model._meta.managed and not model._meta.proxy:
                cursor.execute(f'SELECT row_to_json(t)::text FROM "{model._meta.db_table}" t')
                texts += [text for (text,) in cursor.fetchall()]
    return "\n".join(texts)


def every_redis_value():
    """Return all that the cache and the broker hold, as it is stored."""
    client = cache._cache.get_client()
    found = []
    for key in client.scan_iter():
        read = {
            b"string": client.get,
            b"list": lambda one: client.lrange(one, 0, -1),
            b"hash": client.hgetall,
        }
        found.append(str(read.get(client.type(key), client.type)(key)))
    return "".join(found)


def answers_to(client, vm, job_id):
    paths = [
        "/api/v1/vms/",
        f"/api/v1/vms/{vm.pk}/",
        f"/api/v1/vms/{vm.pk}/operations/",
        "/api/v1/vms/export/",
        "/api/v1/jobs/",
        f"/api/v1/jobs/{job_id}/",
        f"/api/v1/jobs/{job_id}/lines/",
        "/api/v1/user-data-templates/",
    ]
    return "".join(client.get(path).getvalue().decode() for path in paths)


@pytest.fixture
def celery_messages(monkeypatch):
    """Collect what is sent to the broker."""
    from kombu import Producer

    sent = []
    publish = Producer.publish
    monkeypatch.setattr(
        Producer,
        "publish",
        lambda self, body, **options: (sent.append(str(body)), publish(self, body, **options))[1],
    )
    return sent


def test_user_data_is_shown_to_administrators_alone(admin, system, caplog, celery_messages):
    caplog.set_level(logging.DEBUG)
    admin.post("/api/v1/user-data-templates/", {"name": "web", "text": SCRIPT}, format="json")
    answer = admin.new_vm(system, user_data=SCRIPT)
    job = admin.done(answer)
    vm = VirtualMachine.objects.get(pk=answer.json()["vm"]["id"])
    staff = UserFactory(is_staff=True, is_superuser=True)
    pages = Client()
    pages.force_login(staff)

    places = {
        "rows": every_row(),
        "logs": caplog.text + str([record.__dict__ for record in caplog.records]),
        "broker": "".join(celery_messages),
        "redis": every_redis_value(),
        "answer": answer.content.decode(),
        "lists": answers_to(admin, vm, job["id"]),
        "admin": "".join(
            pages.get(path).getvalue().decode()
            for path in (
                f"/admin/vms/virtualmachine/{vm.pk}/change/",
                f"/admin/vms/userdatatemplate/{UserDataTemplate.objects.get().pk}/change/",
                "/admin/vms/userdatatemplate/",
                f"/admin/tasks/job/{job['id']}/change/",
            )
        ),
    }
    assert celery_messages, "Or the next line would be about nothing."
    for place, text in places.items():
        assert not any(secret in text for secret in SECRET_TEXTS), place
    assert admin.get(f"/api/v1/vms/{vm.pk}/user-data/").json()["user_data"] == SCRIPT
    for role in (Role.OPERATOR, Role.VIEWER):
        client = APIClient()
        client.force_authenticate(MembershipFactory(tenant=admin.member.tenant, role=role).user)
        refused = client.get(f"/api/v1/vms/{vm.pk}/user-data/")
        assert refused.status_code == 403
        assert CANARY not in refused.content.decode() + answers_to(client, vm, job["id"])


def test_a_refused_creation_repeats_nothing(admin, system, caplog):
    caplog.set_level(logging.DEBUG)

    answers = [
        admin.new_vm(system, user_data=f"{CANARY} of no kind"),
        admin.new_vm(system, user_data=SCRIPT, name="", colour="red"),
        admin.new_vm(system, user_data=[CANARY]),
        admin.new_vm(system, user_data=f"#!{CANARY}\x00"),
    ]

    assert {answer.status_code for answer in answers} == {400}
    assert CANARY not in "".join(answer.content.decode() for answer in answers) + caplog.text + every_row()


def test_a_creation_that_fails_leaves_no_secret(admin, system, cloud):
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

    job = admin.ended(admin.new_vm(system, user_data=SCRIPT))

    assert job["status"] == "failed"
    assert CANARY not in str(job)
    assert not VMLogin.objects.exists()


def test_a_password_is_nowhere_while_it_is_on_its_way_and_afterwards(admin, system, caplog, celery_messages):
    caplog.set_level(logging.DEBUG)
    created = admin.new_vm(system)
    admin.done(created)
    vm = VirtualMachine.objects.get(pk=created.json()["vm"]["id"])

    answer = post(admin, vm, **{"Idempotency-Key": "once"})
    password = answer.json()["password"]
    on_its_way = every_row()
    job = admin.done(answer)

    assert len(password) == 20
    for text in (
        on_its_way,
        every_row(),
        caplog.text + str([record.__dict__ for record in caplog.records]),
        "".join(celery_messages),
        answers_to(admin, vm, job["id"]),
        str(Job.objects.get(pk=job["id"]).__dict__),
    ):
        assert password not in text


def test_the_secrets_of_a_vm_do_not_move_to_another_tenant(admin, system):
    answer = admin.new_vm(system, user_data=SCRIPT)
    admin.done(answer)
    vm = VirtualMachine.objects.get(pk=answer.json()["vm"]["id"])
    PasswordReading.objects.create(vm=vm, encrypted_text="x")
    other = InformationSystemFactory()
    staff = UserFactory(is_staff=True, is_superuser=True)
    from tenants.scoping import Scope

    move_vm(scope=Scope(staff, None, Role.ADMIN), vm_id=vm.pk, system_id=other.pk)

    assert VMLogin.objects.get(vm=vm).decrypt_user_data() == ""
    assert not PasswordReading.objects.exists()


def test_the_rotation_of_keys_finds_every_secret(capsys):
    call_command("rotate_encryption_keys")

    written = capsys.readouterr().out
    for column in (
        "VMLogin.encrypted_user_data",
        "UserDataTemplate.encrypted_text",
        "PasswordReading.encrypted_text",
        "PasswordReset.encrypted_password",
    ):
        assert f"vms.{column}: 0" in written
