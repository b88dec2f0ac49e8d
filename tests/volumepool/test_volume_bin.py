"""The bin, the protection and the tags of volumes."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from tasks.models import Job
from tenants.scoping import Role
from tests.factories import MembershipFactory, VirtualMachineFactory, VolumeFactory
from volumepool.models import GONE, Volume
from volumepool.services import empty_volume_bin

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def bin_days(settings):
    settings.BIN_DAYS = 7


@pytest.fixture
def member():
    return MembershipFactory(role=Role.ADMIN)


@pytest.fixture
def client(member):
    client = APIClient()
    client.force_authenticate(member.user)
    return client


@pytest.fixture
def volume(member):
    return VolumeFactory(information_system__tenant=member.tenant)


def url_of(volume, ending=""):
    return f"/api/v1/volumes/{volume.pk}/{ending}"


def listed(client, query=""):
    return [one["id"] for one in client.get(f"/api/v1/volumes/{query}").json()["results"]]


def test_a_deleted_volume_is_hidden_and_restored(client, volume):
    binned = client.delete(url_of(volume))

    assert (binned.status_code, binned.json()["job"]) == (200, None)
    assert binned.json()["volume"]["allowed_actions"] == ["remove", "restore"]
    assert (listed(client), listed(client, "?in_bin=true")) == ([], [str(volume.pk)])
    assert not Job.objects.exists()

    restored = client.post(url_of(volume, "restore/"), {}, format="json")
    assert (restored.status_code, restored.json()["volume"]["bin_until"]) == (200, None)
    assert listed(client) == [str(volume.pk)]
    assert client.post(url_of(volume, "restore/"), {}, format="json").json()["code"] == "not_in_bin"


def test_a_volume_in_the_bin_is_not_attached_nor_changed(client, volume):
    vm = VirtualMachineFactory(
        information_system=volume.information_system, account=volume.account, status="running"
    )
    client.delete(url_of(volume))

    attached = client.post(f"/api/v1/vms/{vm.pk}/volumes/", {"volume": str(volume.pk)}, format="json")
    others = [
        client.patch(url_of(volume), {"name": "late"}, format="json"),
        client.post(url_of(volume, "actions/"), {"action": "extend", "size_gb": 20}, format="json"),
        client.post(url_of(volume, "actions/"), {"action": "snapshot", "name": "late"}, format="json"),
        client.delete(url_of(volume)),
    ]

    assert (attached.status_code, list(attached.json()["errors"])) == (400, ["volume"])
    assert [answer.json()["code"] for answer in others] == ["in_bin"] * 4


def test_what_a_deletion_refuses_does_not_go_to_the_bin(client, member):
    vm = VirtualMachineFactory(information_system__tenant=member.tenant)
    attached = VolumeFactory(information_system=vm.information_system, vm=vm, status="in-use")
    protected = VolumeFactory(information_system=vm.information_system, deletion_protection=True)

    codes = [client.delete(url_of(volume)).json()["code"] for volume in (attached, protected)]
    codes.append(client.delete(f"{url_of(protected)}?permanent=true").json()["code"])

    assert codes == ["in_use", "protected", "protected"]


def test_a_lost_volume_is_not_restored(client, volume):
    client.delete(url_of(volume))
    Volume.objects.filter(pk=volume.pk).update(status=GONE)

    assert client.post(url_of(volume, "restore/"), {}, format="json").json()["code"] == "gone"


def test_deleting_permanently_submits_the_deletion(client, volume):
    client.delete(url_of(volume))

    answer = client.delete(f"{url_of(volume)}?permanent=true")

    assert (answer.status_code, answer.json()["job"]["kind"]) == (202, "volumepool.remove_volume")


def test_the_beat_deletes_what_is_over(client, member):
    over, kept = VolumeFactory.create_batch(2, information_system__tenant=member.tenant)
    for volume in (over, kept):
        client.delete(url_of(volume))
    Volume.objects.filter(pk=over.pk).update(bin_until=timezone.now() - timedelta(hours=1))

    assert empty_volume_bin() == 1
    assert empty_volume_bin() == 0
    assert Job.objects.get().subject == over.name


def test_without_days_there_is_no_bin(client, volume, settings):
    settings.BIN_DAYS = 0

    assert client.delete(url_of(volume)).status_code == 202


def test_tags_and_protection_are_changed_without_a_job(client, member, volume):
    fields = {"tags": {"env": "prod"}, "deletion_protection": True}

    answer = client.patch(url_of(volume), fields, format="json")

    assert (answer.status_code, answer.json()["job"]) == (200, None)
    assert {name: answer.json()["volume"][name] for name in fields} == fields
    assert listed(client, "?tag=env:prod") == [str(volume.pk)]
    assert client.patch(url_of(volume), {}, format="json").status_code == 400
    operator = MembershipFactory(tenant=member.tenant, role=Role.OPERATOR)
    client.force_authenticate(operator.user)
    refused = client.patch(url_of(volume), {"deletion_protection": False}, format="json")
    assert refused.json()["code"] == "role_too_low"
