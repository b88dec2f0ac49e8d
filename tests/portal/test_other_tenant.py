"""A link into another tenant of one's own offers to switch; one into a stranger's tenant tells nothing."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import NoReverseMatch, reverse

from portal.templatetags.switching import OBJECTS
from tenants.scoping import Role
from tests.factories import (
    CloudAccountFactory,
    CloudResourceFactory,
    DeploymentFactory,
    HostFactory,
    MembershipFactory,
    ServiceFactory,
    TenantFactory,
    VirtualMachineFactory,
)
from tests.network_factories import SecurityGroupFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def member():
    """A member of two tenants, who looks at the first one."""
    member = MembershipFactory(role=Role.VIEWER, tenant__name="Aaa")
    MembershipFactory(role=Role.VIEWER, user=member.user, tenant__name="Zzz")
    return member


@pytest.fixture
def browser(member):
    client = Client()
    client.force_login(member.user)
    return client


def rows_of(tenant):
    """An object of a tenant for each page that shows one; a task would take a command."""
    system = {"information_system__tenant": tenant}
    account = CloudAccountFactory(tenant=tenant)
    service = ServiceFactory(**system)
    return {
        "vm-detail-page": VirtualMachineFactory(**system),
        "service-detail-page": service,
        "deployment-detail-page": DeploymentFactory(service=service),
        "host-detail-page": HostFactory(tenant=tenant),
        "account-detail-page": account,
        "resource-detail-page": CloudResourceFactory(account=account),
        "security-group-detail-page": SecurityGroupFactory(tenant=tenant, account=account),
    }


def test_a_page_of_ones_other_tenant_offers_to_switch_and_leads_there(member, browser):
    other = member.user.memberships.get(tenant__name="Zzz").tenant
    for name, row in rows_of(other).items():
        browser.post("/tenant/", {"tenant": member.tenant.slug})
        try:
            page = reverse(name, args=[row.pk])
        except NoReverseMatch:  # The page may not exist yet.
            assert name == "host-detail-page"
            continue

        lost = browser.get(page)

        assert lost.status_code == 404, name
        assert "This page belongs to Zzz" in lost.content.decode(), name
        there = browser.post("/tenant/", {"tenant": other.slug, "next": page}, follow=True)
        assert there.redirect_chain == [(page, 302)]
        assert there.status_code == 200, name


def test_a_page_of_a_strangers_tenant_is_as_one_that_never_was(browser):
    for name, row in rows_of(TenantFactory(name="Secret")).items():
        if name == "host-detail-page":
            continue
        lost = browser.get(reverse(name, args=[row.pk])).content.decode()

        assert "Secret" not in lost
        assert "Switch to" not in lost


def test_each_page_is_known_by_the_name_of_its_address():
    known = set(OBJECTS) - {"host-detail-page"}

    assert all(
        reverse(name, args=["00000000-0000-0000-0000-000000000000" if "account" not in name else 1])
        for name in known
    )
