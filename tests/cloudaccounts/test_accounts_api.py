"""Accounts by the API: create, change, verify, sync and delete, with permissions."""

from __future__ import annotations

import pytest
from django.db import transaction
from rest_framework.test import APIClient

from cloudaccounts.models import CloudAccount, CloudResource, ResourceType, SyncLog
from cloudaccounts.services import sweep_syncs
from cloudaccounts.sync.resources import run_sync, sync_resource
from tasks.models import Job
from tenants.scoping import Role
from tests.factories import (
    CloudResourceFactory,
    MembershipFactory,
    ScheduledAccountFactory,
    UserFactory,
    VirtualMachineFactory,
)
from tests.working import work

URL = "/api/v1/cloud-accounts/"

pytestmark = pytest.mark.django_db(transaction=True)


def client_of(user):
    client = APIClient()
    client.force_authenticate(user)
    return client


@pytest.fixture
def member():
    return MembershipFactory(role=Role.ADMIN)


@pytest.fixture
def client(member):
    return client_of(member.user)


@pytest.fixture
def staff():
    return client_of(UserFactory(is_staff=True, is_superuser=True))


@pytest.fixture
def account_data(simulator):
    return {
        "name": "shop",
        "auth_url": simulator.auth_url,
        "credential_kind": "password",
        "access_id": "demo",
        "secret": "demo",
        "project": "demo",
    }


def of(member, **columns):
    return ScheduledAccountFactory(tenant=member.tenant, **columns)


def code_of(answer):
    return answer.status_code, answer.json()["code"]


def test_all_errors_are_reported_at_once_and_nothing_is_created(client, settings):
    settings.ALLOW_LOCAL_CLOUDS = False
    answer = client.post(
        URL,
        {
            "name": "",
            "provider": "openshift",
            "auth_url": "http://169.254.169.254/v3",
            "access_id": "x",
            "ca_bundle": "no certificate",
            "regions": ["", "a"],
            "sync_interval_minutes": 20_000,
            "colour": "red",
        },
        format="json",
    )

    assert answer.status_code == 400
    assert set(answer.json()["errors"]) == {
        "name",
        "provider",
        "auth_url",
        "secret",
        "ca_bundle",
        "regions",
        "sync_interval_minutes",
        "colour",
    }
    assert not CloudAccount.objects.exists()
    assert not Job.objects.exists()


def test_names_are_unique_per_tenant_and_reveal_no_other_tenant(client, member, account_data):
    of(MembershipFactory(), name="shop")

    assert client.post(URL, account_data, format="json").status_code == 202
    assert code_of(client.post(URL, account_data, format="json")) == (409, "name_taken")


def test_staff_create_shared_accounts_of_which_others_see_only_the_name(staff, client, account_data):
    made = staff.post(URL, account_data, format="json").json()["account"]
    assert made["tenant"] is None

    seen = client.get(f"{URL}{made['id']}/").json()

    assert (seen["name"], seen["regions"]) == ("shop", [])
    for name in ("auth_url", "access_id", "project", "ca_bundle", "facts", "last_error"):
        assert seen[name] is None, name
    assert seen["types"] == []
    for method, path in (("patch", ""), ("delete", ""), ("post", "verify/"), ("post", "sync/")):
        assert code_of(getattr(client, method)(f"{URL}{made['id']}/{path}", {}, format="json")) == (
            403,
            "staff_only",
        )


def test_change_requires_the_current_version(client, member):
    account = of(member)
    read = client.get(f"{URL}{account.pk}/")

    changed = client.patch(
        f"{URL}{account.pk}/", {"name": "new"}, format="json", headers={"If-Match": read["ETag"]}
    )
    late = client.patch(
        f"{URL}{account.pk}/", {"name": "old"}, format="json", headers={"If-Match": read["ETag"]}
    )

    assert (changed.status_code, changed["ETag"]) == (200, '"2"')
    assert late.status_code == 412


def test_new_address_requires_the_secret_again(client, member):
    account = of(member)
    account.set_secret("secret")
    account.save()

    moved = client.patch(f"{URL}{account.pk}/", {"auth_url": "http://127.0.0.1:10/v3"}, format="json")
    assert (moved.status_code, set(moved.json()["errors"])) == (400, {"secret"})
    entered = {"auth_url": "http://127.0.0.1:10/v3", "secret": "another"}
    moved = client.patch(f"{URL}{account.pk}/", entered, format="json")
    assert moved.status_code == 202, "it is verified"
    assert CloudAccount.objects.get(pk=account.pk).decrypt_secret() == "another"
    assert "another" not in moved.content.decode()


def test_verification_restarts_after_a_change(client, member, account_data):
    account = client.post(URL, {**account_data, "secret": "wrong"}, format="json").json()["account"]["id"]
    mended = client.patch(f"{URL}{account}/", {"secret": "demo"}, format="json")

    assert mended.status_code == 202
    assert Job.objects.filter(kind="cloudaccounts.verify").count() == 1, "it joins"
    work()
    assert client.get(f"{URL}{account}/").json()["last_error"] == ""


def test_syncs_are_requested_by_type_and_joined(client, member):
    account = of(member)
    url = f"{URL}{account.pk}/sync/"

    first = client.post(url, {"types": ["flavor", "image"]}, format="json").json()["logs"]
    second = client.post(url, {"types": ["image", "zone"]}, format="json").json()["logs"]

    assert [log["type"] for log in first] == ["flavor", "image"]
    assert second[0]["id"] == first[1]["id"]
    assert first[0]["asked_by"] == member.user.username
    assert (
        len(client.post(url, {}, format="json").json()["logs"])
        == ResourceType.objects.filter(provider="openstack").count()
    )
    wrong = client.post(url, {"types": ["unicorn"]}, format="json")
    assert (wrong.status_code, set(wrong.json()["errors"])) == (400, {"types"})
    CloudAccount.objects.filter(pk=account.pk).update(active=False)
    assert code_of(client.post(url, {}, format="json")) == (409, "account_inactive")


def test_sync_of_an_unsupported_type_gets_a_failed_log(client, member):
    account = of(member)
    account.resource_types.add(
        ResourceType.objects.create(provider="openstack", code="amphora", name="Amphora")
    )

    (log,) = client.post(f"{URL}{account.pk}/sync/", {"types": ["amphora"]}, format="json").json()["logs"]
    run_sync(log["id"])

    log = client.get(f"/api/v1/sync-logs/{log['id']}/").json()
    assert log["state"] == "failed"
    assert "not supported" in log["message"]


def test_only_administrators_accept_losses_and_only_of_the_latest_log(client, member):
    account = of(member)
    old = SyncLog.objects.create(
        account=account, type="flavor", state="failed", held_back=5, ended_at=account.created_at
    )
    new = SyncLog.objects.create(
        account=account, type="flavor", state="failed", held_back=5, ended_at=account.created_at
    )
    operator = client_of(MembershipFactory(tenant=member.tenant, role=Role.OPERATOR).user)

    assert code_of(operator.post(f"/api/v1/sync-logs/{new.pk}/accept-losses/")) == (403, "role_too_low")
    assert code_of(client.post(f"/api/v1/sync-logs/{old.pk}/accept-losses/")) == (409, "nothing_held_back")
    accepted = client.post(f"/api/v1/sync-logs/{new.pk}/accept-losses/")
    assert (accepted.status_code, accepted.json()["losses_accepted"]) == (202, True)
    assert accepted.json()["id"] not in {old.pk, new.pk}


def test_deletion_refuses_an_account_in_use_and_deletes_everything_of_others(client, member, staff):
    vm = VirtualMachineFactory(information_system__tenant=member.tenant, account=of(member))
    refused = client.delete(f"{URL}{vm.account_id}/")
    assert code_of(refused) == (409, "in_use")
    assert CloudAccount.objects.get(pk=vm.account_id).active

    account = of(member)
    CloudResourceFactory.create_batch(3, account=account)
    (log_id,) = SyncLog.objects.open(account.pk, ["flavor"])
    assert client.delete(f"{URL}{account.pk}/").status_code == 202
    assert code_of(client.patch(f"{URL}{account.pk}/", {"name": "x"}, format="json")) == (409, "busy")
    work()
    assert not CloudAccount.objects.filter(pk=account.pk).exists()
    assert not CloudResource.objects.filter(account=account.pk).exists()
    assert run_sync(log_id) is None


def test_disabling_closes_running_syncs(client, member):
    account = of(member)
    (log_id,) = SyncLog.objects.open(account.pk, ["flavor"])

    off = client.patch(f"{URL}{account.pk}/", {"active": False}, format="json")

    assert (off.status_code, off.json()["account"]["schedule"]["enabled"]) == (200, False)
    assert SyncLog.objects.get(pk=log_id).state == "failed"


def test_unclaimed_log_is_dispatched_again_after_a_while(member, monkeypatch):
    from cloudaccounts.services import syncs

    (log_id,) = SyncLog.objects.open(of(member).pk, ["flavor"])
    dispatched = []
    monkeypatch.setattr(syncs, "_dispatch_syncs", dispatched.extend)

    sweep_syncs()
    assert dispatched == []
    SyncLog.objects.filter(pk=log_id).update(rung_at="2020-01-01T00:00:00Z")
    sweep_syncs()
    sweep_syncs()
    assert dispatched == [log_id]


# --- What is in them -----------------------------------------------------------------------------------------


def test_tenant_sees_only_the_catalogue_of_a_shared_account(client, member, staff):
    shared = ScheduledAccountFactory(tenant=None)
    for type_code, attributes in (
        ("flavor", {}),
        ("image", {}),
        ("image", {"is_snapshot": True}),
        ("server", {}),
        ("port", {}),
    ):
        CloudResourceFactory(account=shared, type=type_code, attributes=attributes)
    CloudResourceFactory(account=of(member), type="server")

    def shown(who):
        rows = who.get("/api/v1/cloud-resources/").json()["results"]
        return sorted((row["account"] == shared.pk, row["type"]) for row in rows)

    assert shown(client) == [(False, "server"), (True, "flavor"), (True, "image")]
    assert len(shown(staff)) == 6
    assert client.get("/api/v1/sync-logs/").json()["count"] == 0


def test_topology_stops_at_the_scope(cloud, client, member, simulator):
    """In a shared account a network is everybody's to see; the ports on it are not."""
    shared = cloud.account(tenant=None)
    cloud.seed(2)
    for type_code in ("network", "port", "server"):
        sync_resource(shared.pk, type_code)
    network = CloudResource.objects.get(type="network", name="internal")
    url = f"/api/v1/cloud-resources/{network.pk}/topology/?depth=2"

    staffs = client_of(UserFactory(is_staff=True, is_superuser=True)).get(url).json()
    tenants = client.get(url).json()

    assert {node["type"] for node in staffs["nodes"]} == {"network", "port", "server"}
    assert [node["type"] for node in tenants["nodes"]] == ["network"]
    assert tenants["edges"] == []


def test_large_topology_is_truncated(cloud, member, client):
    own = cloud.account(tenant=member.tenant)
    cloud.seed(400)
    for type_code in ("network", "port"):
        sync_resource(own.pk, type_code)
    network = CloudResource.objects.get(type="network", name="internal")

    shown = client.get(f"/api/v1/cloud-resources/{network.pk}/topology/?depth=1").json()

    assert (len(shown["nodes"]), shown["truncated"]) == (300, True)


def test_resources_are_searched_by_name_id_and_address(cloud, member, client):
    own = cloud.account(tenant=member.tenant)
    cloud.seed(3)
    sync_resource(own.pk, "server")
    server = CloudResource.objects.filter(type="server").first()

    for word in (server.name, server.cloud_id, server.addresses):
        rows = client.get("/api/v1/cloud-resources/", {"search": word}).json()["results"]
        assert [row["cloud_id"] for row in rows] == [server.cloud_id], word
    csv = b"".join(
        client.get("/api/v1/cloud-resources/export/", {"search": server.name}).streaming_content
    ).decode()
    assert len(csv.splitlines()) == 2
    assert server.cloud_id in csv


def test_verification_of_a_deleted_account_ends(client, member, account_data):
    account = client.post(URL, account_data, format="json").json()["account"]["id"]
    with transaction.atomic():
        CloudAccount.objects.filter(pk=account).delete()

    work()

    assert Job.objects.get(kind="cloudaccounts.verify").status == "failed"
