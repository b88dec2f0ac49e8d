"""The navigation of the pages: what each user finds in it, and which link is the current one."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import Permission
from django.urls import reverse

from portal.navigation import GROUPS, find_current
from tenants.scoping import Role
from tests.factories import MembershipFactory, UserFactory

pytestmark = pytest.mark.django_db


def read_links(client, page="/vms/"):
    """Return the address of each link of the navigation, and those that are marked as current."""
    (nav,) = re.findall(r'<nav class="sidebar".*?</nav>', client.get(page).content.decode(), re.DOTALL)
    links = re.findall(r'<a href="([^"]*)"( aria-current="page")?>', nav)
    return [url for url, _current in links], [url for url, current in links if current]


def test_a_member_finds_every_page_of_a_tenant_and_none_of_the_platform(client):
    client.force_login(MembershipFactory(role=Role.VIEWER).user)

    links, current = read_links(client)

    assert current == ["/vms/"]
    assert {"/volumes/", "/services/", "/accounts/", "/membership/"} <= set(links)
    assert not [url for url in links if url.startswith(("/pools/", "/admin/"))]
    for url in links:
        assert client.get(url).status_code == 200, url


def test_staff_find_what_their_permissions_open(client):
    user = UserFactory(is_staff=True)
    client.force_login(user)
    assert "/pools/" not in read_links(client)[0]

    user.user_permissions.set(Permission.objects.filter(codename__in=["view_volumepool", "view_job"]))
    links, _current = read_links(client)

    assert {"/pools/", "/queue/", "/admin/"} <= set(links)
    for url in links:
        assert client.get(url).status_code == 200, url


def test_the_longest_prefix_is_the_current_page():
    assert find_current("/volumes/").url_name == "volume-page"
    assert find_current("/volumes/snapshots/").url_name == "volume-snapshot-page"
    assert find_current("/deployments/").url_name == "deployment-page"
    assert find_current("/queue/").url_name == "queue-page"
    assert find_current("/preferences/") is None


def test_each_link_is_current_on_its_own_page():
    for group in GROUPS:
        for link in group.links:
            assert find_current(reverse(link.url_name)) is link
