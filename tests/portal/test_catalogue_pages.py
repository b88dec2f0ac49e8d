"""The pages of the catalog: what is granted in shared accounts, for staff alone."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from cloudaccounts.models import CatalogueGrant, CloudResource
from tenants.scoping import Role
from tests.factories import (
    CloudAccountFactory,
    MembershipFactory,
    TenantFactory,
    UserFactory,
    create_catalogue,
)

pytestmark = pytest.mark.django_db

PAGES = ("/catalogue/", "/catalogue/new/")


def client_of(user):
    client = Client()
    client.force_login(user)
    return client


def staff_with(*permissions):
    user = UserFactory(is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return client_of(user)


@pytest.fixture
def staff():
    return staff_with("view_cataloguegrant", "change_cataloguegrant", "view_cloudaccount")


@pytest.fixture
def account():
    account = CloudAccountFactory(name="shared", grants=False)
    create_catalogue(account)
    return account


def grant(client, shared, **fields):
    return client.post(
        "/catalogue/new/", {"account": shared.pk, "kind": "network", "tenant": "all", **fields}
    )


def test_who_may_not_see_grants_is_refused(account):
    for client in (client_of(MembershipFactory(role=Role.ADMIN).user), staff_with()):
        for page in PAGES:
            assert client.get(page).status_code == 403
        assert client.post(f"/catalogue/common/{account.pk}/").status_code == 403
    reader = staff_with("view_cataloguegrant")
    assert reader.get("/catalogue/").status_code == 200
    assert reader.get("/catalogue/new/").status_code == 403
    existing = CatalogueGrant.objects.create(account=account, kind="zone", match="*")
    assert reader.post(f"/catalogue/{existing.pk}/remove/").status_code == 403


def test_a_network_is_granted_and_taken_back(staff, account):
    tenant = TenantFactory(name="Acme")
    network = CloudResource.objects.get(type="network", name="internal")
    form = staff.get("/catalogue/new/", {"account": account.pk, "kind": "network"}).content.decode()
    assert network.cloud_id in form
    assert CloudResource.objects.get(name="external").cloud_id not in form

    page = grant(staff, account, tenant=str(tenant.pk), object=network.cloud_id, note="Ticket 7")

    assert page.status_code == 302
    shown = staff.get(page["Location"]).content.decode()
    assert all(text in shown for text in ("internal", "Acme", "Ticket 7"))
    pk = CatalogueGrant.objects.get().pk
    for _ in range(2):
        assert staff.post(f"/catalogue/{pk}/remove/").status_code == 302
    assert not CatalogueGrant.objects.exists()


@pytest.mark.parametrize(
    "fields",
    [
        {"tenant": ""},
        {"tenant": "x"},
        {"object": ""},
        {"object": "no-such-network"},
        {"account": "0"},
        {"kind": "moon", "object": "x"},
        {"match": "*"},
    ],
)
def test_a_wrong_form_is_shown_again_with_what_was_entered(staff, account, fields):
    network = CloudResource.objects.get(type="network", name="internal").cloud_id

    page = grant(staff, account, **{"object": network, "note": "kept note", **fields})

    assert page.status_code == 400
    assert "kept note" in page.content.decode()
    assert 'role="alert"' in page.content.decode() or "aria-invalid" in page.content.decode()
    assert not CatalogueGrant.objects.exists()


def test_common_kinds_are_granted_at_once(staff, account):
    for _ in range(2):
        assert staff.post(f"/catalogue/common/{account.pk}/").status_code == 302

    assert CatalogueGrant.objects.filter(account=account, tenant=None, match="*").count() == 4


def test_an_account_of_a_tenant_is_not_offered(staff):
    own = CloudAccountFactory(tenant=TenantFactory(), name="of-a-tenant")

    assert "of-a-tenant" not in staff.get("/catalogue/new/").content.decode()
    assert staff.post(f"/catalogue/common/{own.pk}/").status_code == 404


def test_filters_find_what_the_upgrade_granted(staff, account):
    CatalogueGrant.objects.create(account=account, kind="zone", match="by-hand")
    CatalogueGrant.objects.create(account=account, kind="zone", match="by-upgrade", by_upgrade=True)

    shown = staff.get("/catalogue/", {"by_upgrade": "true"}).content.decode()

    assert "by-upgrade" in shown
    assert "by-hand" not in shown
