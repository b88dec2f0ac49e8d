"""Floating IPs: taken, given back, and followed."""

from __future__ import annotations

import pytest

from cloudaccounts.connect import open_cloud
from cloudaccounts.models import CatalogueGrant
from networks.models import FloatingIp

from .conftest import errors_of

pytestmark = pytest.mark.usefixtures("external")
URL = "/api/v1/floating-ips/"


def addresses_in(cloud):
    return [ip["id"] for ip in cloud.call("GET", "objects")["floatingips"]]


def test_an_address_is_taken_and_given_back(admin, cloud):
    answer = admin.post(URL, {}, format="json")
    admin.done(answer)
    shown = admin.get(f"{URL}{answer.json()['floating_ip']['id']}/").json()

    assert addresses_in(cloud) == [shown["cloud_id"]]
    assert shown["status"] == "active"
    assert shown["unattached_since"], "what is not attached shows since when"
    admin.done(admin.delete(f"{URL}{shown['id']}/"))
    assert addresses_in(cloud) == []
    assert admin.get(URL).json()["count"] == 0


def test_a_network_that_was_not_granted_is_as_unknown_as_one_that_never_was(admin, external):
    CatalogueGrant.objects.filter(kind="external_network").delete()

    theirs = admin.post(URL, {"network": external.cloud_id}, format="json")
    never = admin.post(URL, {"network": "11111111-1111-1111-1111-111111111111"}, format="json")
    none = admin.post(URL, {}, format="json")

    assert "not found" in errors_of(theirs)["network"][0]
    assert external.name not in errors_of(theirs)["network"][0]
    assert list(errors_of(never)) == list(errors_of(none)) == ["network"]


def test_an_internal_network_gives_no_floating_ips(admin, catalogue):
    internal = catalogue.filter(type="network", attributes__is_external=False).first()

    assert list(errors_of(admin.post(URL, {"network": internal.cloud_id}, format="json"))) == ["network"]


def test_a_lost_answer_takes_one_address_not_two(admin, cloud):
    cloud.faults({"method": "POST", "path": "floatingips", "kind": "lose_answer", "times": 1})

    admin.done(admin.post(URL, {}, format="json"))

    assert len(addresses_in(cloud)) == 1
    assert FloatingIp.objects.count() == 1


def test_a_quota_that_is_used_up_is_told_with_what_to_do(admin, cloud):
    cloud.call("POST", "quotas", {"project": "demo", "floatingip": 0})

    job = admin.ended(admin.post(URL, {}, format="json"))

    assert job["status"] == "failed"
    assert "Give one back" in job["outcome"]["message"]
    assert not FloatingIp.objects.exists()


def test_the_portal_follows_addresses_that_others_give_back(admin, cloud, sync, account):
    answer = admin.post(URL, {}, format="json")
    admin.done(answer)
    row = FloatingIp.objects.get()
    open_cloud(account, "RegionOne").network.delete_floating_ip(row.cloud_id)

    sync("floating_ip")
    sync("floating_ip")

    row.refresh_from_db()
    assert row.status == "gone"
    admin.done(admin.delete(f"{URL}{row.pk}/"))


def test_addresses_of_an_own_account_are_taken_over(admin, cloud, account, sync):
    cloud.call("POST", "seed", {"project": "demo", "servers": 1, "reachable": True})
    sync("floating_ip")
    assert admin.get(URL).json()["count"] == 0

    account.tenant = admin.member.tenant
    account.save()
    sync("floating_ip")

    shown = admin.get(URL).json()["results"]
    assert len(shown) == 3
    assert sum(one["is_attached"] for one in shown) == 1
    assert all(one["vm"] is None for one in shown), "its server is no VM of the portal's"
