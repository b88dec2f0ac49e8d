"""Ids of other tenants in the bodies of adoptions and moves are as unknown as ids that never were."""

from __future__ import annotations

import uuid

import pytest
from rest_framework.test import APIClient

from tenants.scoping import Role
from tests.factories import MembershipFactory
from vms.models import VirtualMachine

from .objects import create_account_with_server, create_system, create_vm

pytestmark = pytest.mark.django_db


@pytest.fixture
def owner():
    return MembershipFactory(role=Role.ADMIN)


@pytest.fixture
def stranger():
    return MembershipFactory(role=Role.ADMIN)


def send(member, path, body):
    client = APIClient()
    client.force_authenticate(member.user)
    return client.post(path, body, format="json")


def without_id(response, *ids):
    """Return the problem of a refusal without the members that differ by request, and without the ids of the request."""
    text = response.content.decode()
    for one in ids:
        text = text.replace(str(one), "")
    return response.status_code, text.replace(response.json()["request_id"], "")


def test_a_system_to_move_to(owner, stranger):
    path = f"/api/v1/vms/{create_vm(stranger)['id']}/move/"
    theirs, never = create_system(owner)["id"], uuid.uuid4()

    answers = [send(stranger, path, {"information_system": str(one)}) for one in (theirs, never)]

    assert without_id(answers[0], theirs) == without_id(answers[1], never)
    assert answers[0].status_code == 400


@pytest.mark.parametrize("mode", ["all", "valid"])
def test_a_system_to_move_many_to(owner, stranger, mode):
    vms, theirs, never = (
        [create_vm(stranger)["id"] for _ in range(2)],
        create_system(owner)["id"],
        uuid.uuid4(),
    )
    body = {"action": "move", "ids": [str(vm) for vm in vms], "mode": mode}

    answers = [
        send(stranger, "/api/v1/vms/actions/", {**body, "information_system": str(one)})
        for one in (theirs, never)
    ]

    assert without_id(answers[0], theirs) == without_id(answers[1], never)
    assert answers[0].status_code == 400
    assert not VirtualMachine.objects.filter(information_system=theirs).exists()


def test_vms_of_others_to_move(owner, stranger):
    theirs, never, own_system = create_vm(owner)["id"], uuid.uuid4(), create_system(stranger)["id"]

    answers = [
        send(
            stranger,
            "/api/v1/vms/actions/",
            {"action": "move", "ids": [str(one)], "information_system": str(own_system)},
        )
        for one in (theirs, never)
    ]

    assert without_id(answers[0], theirs) == without_id(answers[1], never)
    assert answers[0].json()["results"][0]["refusal"]["code"] == "not_found"
    assert not VirtualMachine.objects.filter(information_system=own_system).exists()


def test_a_system_that_adopts_and_servers_to_adopt(owner, stranger):
    own_account, their_account = (create_account_with_server(one)["id"] for one in (stranger, owner))
    path = f"/api/v1/cloud-accounts/{own_account}/adopt/"
    theirs, never, own = create_system(owner)["id"], uuid.uuid4(), create_system(stranger)["id"]
    from cloudaccounts.models import CloudResource

    server = CloudResource.objects.get(account=their_account, type="server")

    systems = [
        send(stranger, path, {"information_system": str(one), "rule": {"name": "*"}})
        for one in (theirs, never)
    ]
    servers = [
        send(stranger, path, {"information_system": str(own), "servers": [str(one)]})
        for one in (server.pk, server.cloud_id, never)
    ]

    assert without_id(systems[0], theirs) == without_id(systems[1], never)
    assert systems[0].status_code == 400
    told = {without_id(answer, server.pk, server.cloud_id, never) for answer in servers}
    assert len(told) == 1
    assert {answer.status_code for answer in servers} == {409}
    assert not VirtualMachine.objects.exists()
