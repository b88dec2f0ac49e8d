"""What cannot be adopted is refused with its reason, and bad input at its field."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from cloudaccounts.models import CloudResource
from tasks import engine
from tests.factories import (
    CloudResourceFactory,
    InformationSystemFactory,
    SpareVolumeFactory,
    VirtualMachineFactory,
    VolumeFactory,
    VolumePoolFactory,
)
from tests.row_locks import written_meanwhile
from vms.models import Orphan, VirtualMachine
from vms.services.orphans import remove_orphan
from volumepool.models import Volume

from .adopting import (
    account,
    adopt,
    client,
    create_inventory,
    found_server,
    found_volume,
    link,
    member,
    refusals,
    staff,
    system,
)

__all__ = ["account", "client", "member", "system"]
pytestmark = pytest.mark.django_db


NOW = timezone.now()
IN_BIN = {"binned_at": NOW, "bin_until": NOW + timedelta(days=7)}


def refuse_expired(account, system):
    server = found_server(account)
    CloudResource.objects.filter(pk=server.pk).update(expired_at="2026-01-01T00:00:00Z")
    return server, "expired"


def refuse_missing(account, system):
    server = found_server(account)
    CloudResource.objects.filter(pk=server.pk).update(missing_count=1)
    return server, "expired"


def refuse_managed(account, system):
    server = found_server(account)
    VirtualMachineFactory(openstack_id=server.cloud_id)
    return server, "managed"


def refuse_creating(account, system):
    vm = VirtualMachineFactory(openstack_id=None)
    return found_server(account, tags=[settings.CLOUD_TAG, f"portal-vm-{vm.pk}"]), "busy"


def refuse_deleting(account, system):
    return found_server(account, task="deleting"), "being_removed"


def refuse_orphan_being_deleted(account, system):
    server = found_server(account)
    orphan = Orphan.objects.create(
        account=account, region="RegionOne", kind="server", cloud_id=server.cloud_id
    )
    remove_orphan(orphan_id=orphan.pk, user=None)
    return server, "being_removed"


def refuse_resizing(account, system):
    return found_server(account, status="VERIFY_RESIZE"), "wrong_state"


def refuse_lost_flavor(account, system):
    return found_server(account, flavor="old"), "flavor_unknown"


def refuse_unreadable_flavor(account, system):
    return found_server(account, vcpus=None), "flavor_unknown"


def refuse_giant(account, system):
    return found_server(account, vcpus=128), "too_large"


def refuse_unknown_volume(account, system):
    server = found_server(account)
    link(server, "volume", str(uuid4()))
    return server, "volume_unknown"


def refuse_pools_volume(account, system):
    volume = found_volume(account, status="in-use", metadata={"portal_pool": settings.CLOUD_TAG})
    return found_server(account, volumes=[volume]), "in_pool"


def refuse_pools_source(account, system):
    volume = found_volume(account, "base")
    snapshot = CloudResourceFactory(account=account, type="snapshot")
    link(snapshot, "volume", volume.cloud_id)
    VolumePoolFactory(account=account, snapshot_prefix="x", current_snapshot_id=snapshot.cloud_id)
    return volume, "in_pool"


def refuse_spare(account, system):
    volume = found_volume(account)
    SpareVolumeFactory(volume_id=volume.cloud_id)
    return volume, "in_pool"


def refuse_others_volume(account, system):
    volume = found_volume(account, status="in-use")
    VolumeFactory(volume_id=volume.cloud_id)
    return found_server(account, volumes=[volume]), "managed"


def refuse_busy_volume(account, system):
    volume = found_volume(account, status="in-use")
    row = VolumeFactory(volume_id=volume.cloud_id, information_system=system)
    hold(row.lock_key)
    return found_server(account, volumes=[volume]), "busy"


def refuse_binned_volume(account, system):
    volume = found_volume(account, status="in-use")
    VolumeFactory(volume_id=volume.cloud_id, information_system=system, **IN_BIN)
    return found_server(account, volumes=[volume]), "in_bin"


def refuse_volume_of_a_binned_vm(account, system):
    volume = found_volume(account, status="in-use")
    server = found_server(account, volumes=[volume])
    VirtualMachineFactory(openstack_id=server.cloud_id, information_system=system, **IN_BIN)
    return volume, "in_bin"


def refuse_attached_volume(account, system):
    volume = found_volume(account, status="in-use")
    found_server(account, volumes=[volume])
    return volume, "attached"


def refuse_detaching_volume(account, system):
    return found_volume(account, status="detaching"), "wrong_state"


def refuse_dying_volume(account, system):
    return found_volume(account, status="deleting"), "being_removed"


def hold(key):
    from tasks.models import EntityLock
    from vms.commands.power import POWER_COMMANDS

    with transaction.atomic():
        other = VirtualMachineFactory()
        job = engine.submit(POWER_COMMANDS["start"](str(other.pk)), tenant=None, user=None).job
    EntityLock.objects.create(key=key, job=job)


@pytest.mark.parametrize(
    "arrange", [value for name, value in sorted(globals().items()) if name.startswith("refuse_")]
)
def test_what_cant_be_adopted_is_refused_with_its_reason_and_stops_the_rest(client, account, system, arrange):
    fine = found_server(account, "fine")
    wrong, code = arrange(account, system)
    before = VirtualMachine.objects.count(), Volume.objects.count()
    body = {"servers": [fine.cloud_id], f"{wrong.type}s": [wrong.cloud_id]}
    if wrong.type == "server":
        body["servers"] = [fine.cloud_id, wrong.cloud_id]

    response = adopt(client, account, system, **body)

    assert (response.status_code, response.json()["code"]) == (409, "not_all_valid")
    assert refusals(response) == {wrong.name: code}
    assert (VirtualMachine.objects.count(), Volume.objects.count()) == before
    adopted = adopt(client, account, system, **body, mode="valid").json()
    assert (adopted["adopted"], adopted["refused"]) == (1, 1)
    assert VirtualMachine.objects.filter(openstack_id=fine.cloud_id).exists()


def test_another_tenants_vm_is_not_named_to_anybody_but_staff_and_its_tenant(client, account, system):
    server = found_server(account, "theirs")
    owner = VirtualMachineFactory(openstack_id=server.cloud_id, name="secret-name")
    tenant = owner.information_system.tenant

    told = adopt(client, account, system, servers=[server.cloud_id], dry_run=True).content.decode()
    told_staff = adopt(staff(), account, system, servers=[server.cloud_id], dry_run=True).content.decode()

    assert "secret-name" not in told and tenant.name not in told
    assert "secret-name" in told_staff and tenant.name in told_staff


def test_ids_that_are_unknown_or_of_another_account_are_not_found(client, account, system):
    foreign = found_server(create_inventory(), "foreign")
    unknown = [str(uuid4()), "'; DROP", "x" * 255, foreign.cloud_id, str(foreign.pk)]

    planned = adopt(client, account, system, servers=unknown, dry_run=True)

    assert refusals(planned) == dict.fromkeys(unknown, "not_found")


def test_a_system_of_another_tenant_is_as_unknown_as_one_that_never_was(client, account):
    server = found_server(account)
    theirs = InformationSystemFactory()
    for system_id in (theirs.pk, uuid4()):
        response = client.post(
            f"/api/v1/cloud-accounts/{account.pk}/adopt/",
            {"information_system": str(system_id), "servers": [server.cloud_id]},
            format="json",
        )
        assert response.status_code == 400
        assert response.json()["errors"]["information_system"] == [
            f"Information system not found: {system_id}."
        ]
    # Staff see both, but the account is not the other tenant's to use.
    answer = adopt(staff(), account, theirs, servers=[server.cloud_id])
    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["information_system"])


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "servers"),
        ({"servers": []}, "servers"),
        ({"servers": "all"}, "servers"),
        ({"servers": ["x"] * 501}, "servers"),
        ({"servers": ["x"] * 300, "volumes": ["x"] * 201}, "servers"),
        ({"servers": ["x"] * 200, "volumes": ["x"] * 301}, "volumes"),
        ({"servers": ["\x00"]}, "servers.0"),
        ({"servers": ["x"], "rule": {"name": "*"}}, "rule"),
        ({"rule": {}}, "rule"),
        ({"rule": {"colour": "red"}}, "rule"),
        ({"rule": {"name": "x" * 256}}, "rule"),
        ({"rule": {"metadata": {"a": 1, "b": None}}}, "rule"),
        ({"rule": {"metadata": {f"k{n}": "v" for n in range(21)}}}, "rule"),
        ({"servers": ["x"], "information_system": "mine"}, "information_system"),
        ({"servers": ["x"], "mode": "some"}, "mode"),
        ({"servers": ["x"], "dry_run": "perhaps"}, "dry_run"),
    ],
)
def test_bad_input_is_refused_at_its_field(client, account, system, body, field):
    response = adopt(client, account, system, **body)

    assert (response.status_code, list(response.json()["errors"])) == (400, [field]), response.json()


def bin_rows(model, **of):
    return lambda: model.objects.filter(**of).update(**IN_BIN)


@pytest.mark.django_db(transaction=True)
def test_a_volume_that_somebody_removes_at_the_same_moment_is_not_linked(client, account, system):
    volume = found_volume(account, status="in-use")
    row = VolumeFactory(volume_id=volume.cloud_id, information_system=system)
    server = found_server(account, volumes=[volume])

    with written_meanwhile(bin_rows(Volume, pk=row.pk)):
        response = adopt(client, account, system, servers=[server.cloud_id])

    assert refusals(response) == {server.name: "in_bin"}
    row.refresh_from_db()
    assert (row.vm_id, VirtualMachine.objects.count()) == (None, 0)


@pytest.mark.django_db(transaction=True)
def test_a_volume_is_not_given_to_a_vm_that_somebody_removes_at_the_same_moment(client, account, system):
    volume = found_volume(account, status="in-use")
    server = found_server(account, volumes=[volume])
    vm = VirtualMachineFactory(openstack_id=server.cloud_id, information_system=system)

    with written_meanwhile(bin_rows(VirtualMachine, pk=vm.pk)):
        response = adopt(client, account, system, volumes=[volume.cloud_id])

    assert refusals(response) == {volume.name: "in_bin"}
    assert not Volume.objects.exists()
