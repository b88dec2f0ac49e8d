"""Accounts of clouds with unusual clocks and catalogs."""

from __future__ import annotations

import pytest
from django.urls import reverse
from rest_framework.test import APIClient

from cloudaccounts.models import CloudAccount
from cloudaccounts.services.accounts import verify_account
from cloudaccounts.sync.resources import sync_resource
from tenants.scoping import Role, Scope
from tests.factories import UserFactory, VirtualMachineFactory
from tests.working import work
from vms.sync.status import sync_region

from .resource_checks import REGION, close_clouds, list_cloud_names, read_log_texts

pytestmark = pytest.mark.django_db(transaction=True)

BEHIND = -1200.0


@pytest.fixture(autouse=True)
def logged_out():
    """A token keeps the catalog that it came with, and a client what it knows of a clock."""
    close_clouds()
    yield
    close_clouds()


@pytest.fixture
def staff():
    return UserFactory(is_staff=True, is_superuser=True)


def fresh(account):
    return CloudAccount.objects.get(pk=account.pk)


def verified(account, staff):
    verify_account(scope=Scope(staff, None, Role.ADMIN), account_id=account.pk)
    work()
    return fresh(account)


# --- Clocks ---


def test_large_clock_offset_is_shown_by_account_syncs_and_metrics(cloud, account, staff, client, settings):
    cloud.clock(advance_seconds=BEHIND)
    vm = VirtualMachineFactory(account=account, region=REGION, openstack_id=cloud.seed(1)[0])

    log = sync_resource(account.pk, "flavor")
    run = sync_region(account.pk, vm.region)

    assert (log.state, run.state) == ("success", "success")
    for said in (read_log_texts(log), run.message):
        assert "behind the portal's" in said, said
    assert fresh(account).clock_offsets == {REGION: pytest.approx(BEHIND, abs=5)}
    client.force_login(staff)
    page = client.get(reverse("account-detail-page", args=[account.pk])).content.decode()
    assert "behind the portal" in page
    api = APIClient()
    api.force_authenticate(staff)
    assert "behind" in api.get(f"/api/v1/cloud-accounts/{account.pk}/").json()["clock_warning"]
    settings.METRICS_TOKEN = "metrics"
    metrics = client.get("/metrics", headers={"Authorization": "Bearer metrics"}).content.decode()
    assert 'portal_cloud_clock_offset_seconds{account="simulator"' in metrics

    cloud.clock(advance_seconds=-BEHIND)
    close_clouds()
    log = sync_resource(account.pk, "flavor")
    assert "behind" not in read_log_texts(log)
    assert abs(fresh(account).clock_offsets[REGION]) < 5


@pytest.mark.parametrize("offset", [BEHIND, -BEHIND])
def test_changes_are_found_despite_a_clock_offset(cloud, account, offset):
    cloud.clock(advance_seconds=offset)
    server_id = cloud.seed(1)[0]
    vm = VirtualMachineFactory(account=account, region=REGION, openstack_id=server_id, status="running")
    assert sync_region(account.pk, REGION).full
    cloud.change(server_id, status="SHUTOFF")
    run = sync_region(account.pk, REGION)
    vm.refresh_from_db()
    assert (run.state, run.full, vm.status) == ("success", False, "stopped")


# --- Catalogs ---


def test_an_account_of_internal_endpoints(cloud, account, staff):
    cloud.call("POST", "habits", {"interfaces": ["internal", "admin"]})

    found = verified(account, staff)
    log = sync_resource(account.pk, "flavor")

    assert "'public'" in found.last_error and "admin, internal" in found.last_error
    assert log.state == "failed" and "error of the portal" not in read_log_texts(log)
    CloudAccount.objects.filter(pk=account.pk).update(interface="internal")
    close_clouds()
    assert verified(account, staff).last_error == ""
    assert sync_resource(account.pk, "flavor").state == "success"


@pytest.mark.parametrize("region", [None, "absent"])
def test_an_account_of_a_cloud_without_regions(simulator, cloud, account, staff, region):
    cloud.call("POST", "habits", {"endpoint_region": region})
    found = verified(account, staff)
    assert found.last_error == "" and "compute" in found.facts["regions"][""]
    log = sync_resource(account.pk, "flavor")
    assert log.state == "success", read_log_texts(log)
    assert set(account.resources.values_list("region", "cloud_id")) == {
        ("", cloud_id) for cloud_id in list_cloud_names(simulator, "flavor")
    }


@pytest.mark.parametrize("catalog", [[], None, [None, {"type": "compute", "endpoints": [None]}]])
def test_account_with_an_empty_catalog_fails_with_the_reason(cloud, account, staff, catalog):
    cloud.call("POST", "habits", {"catalog": catalog})
    found = verified(account, staff)
    assert "no compute service" in found.last_error
    log = sync_resource(account.pk, "flavor")
    assert log.state == "failed" and "error of the portal" not in read_log_texts(log)


def test_interface_is_set_by_api_and_form(account, staff, client):
    api = APIClient()
    api.force_authenticate(staff)
    url = f"/api/v1/cloud-accounts/{account.pk}/"
    assert api.get(url).json()["interface"] == "public"
    assert api.patch(url, {"interface": "private"}, format="json").status_code == 400
    assert api.patch(url, {"interface": "internal"}, format="json").status_code == 202
    assert fresh(account).interface == "internal"
    client.force_login(staff)
    edit = reverse("account-edit", args=[account.pk])
    page = client.get(edit)
    assert '<option value="internal" selected' in page.content.decode()
    form = {**page.context["form_data"], "version": fresh(account).version, "interface": "admin"}
    assert client.post(edit, form).status_code == 302
    assert fresh(account).interface == "admin"
