"""The columns of a table that a user has hidden: kept with the user, bounded, and read without a script."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connections
from django.test import Client

from api.models import ApiToken
from pages.tables import MAX_COLUMNS, declare_table, find_table, list_table_names
from tenants.models import User
from tenants.scoping import Role
from tenants.services import hide_columns
from tests.factories import UserFactory
from tests.portal.test_query_counts import World
from tests.stories import select_evenly
from vms.models import SSHKey

pytestmark = pytest.mark.django_db

COLUMNS = "/preferences/columns/{}/"


def class_of_table(answer):
    return re.search(r'<table class="([^"]*)"', answer.content.decode())[1].split()


@pytest.fixture
def browser(as_role, vm):
    return as_role(Role.OPERATOR)


@pytest.fixture
def world():
    """Two objects of everything."""
    return World(2)


def show_all_but(browser, table, *hidden, **fields):
    shown = [name for name, _label in find_table(table).columns if name not in hidden]
    return browser.post(COLUMNS.format(table), {"shown": shown, **fields})


def test_a_hidden_column_is_hidden_in_every_browser_of_the_user(browser):
    assert class_of_table(browser.get("/vms/")) == []

    answer = show_all_but(browser, "vms", "ip_address", "disk", next="/vms/?search=shop")

    assert (answer.status_code, answer["Location"]) == (302, "/vms/?search=shop")
    second = Client()
    second.force_login(User.objects.get(pk=browser.session["_auth_user_id"]))
    html = second.get("/vms/")
    assert class_of_table(html) == ["hide-4", "hide-7"]
    assert 'value="disk" form="columns-vms" data-submit>' in html.content.decode()
    assert 'value="status" form="columns-vms" data-submit checked>' in html.content.decode()


# The page of each table; {name} is an object of the world.
PAGES = {
    "vms": "/vms/",
    "volumes": "/volumes/",
    "volume_snapshots": "/volumes/snapshots/",
    "vm_snapshots": "/snapshots/",
    "tasks": "/tasks/",
    "audit": "/audit/",
    "requests": "/requests/",
    "audit_log": "/activity/",
    "deliveries": "/webhooks/{webhook}/",
    "subscriptions": "/notifications/",
    "resources": "/resources/",
    "cloud_changes": "/cloud-changes/",
    "accounts": "/accounts/",
    "sync_logs": "/sync-logs/",
    "unmanaged": "/accounts/{account}/unmanaged/",
    "compute_hosts": "/accounts/{account}/hosts/",
    "catalogue": "/catalogue/",
    "systems": "/systems/",
    "service-accounts": "/service-accounts/",
    "tokens": "/preferences/tokens/",
    "own_ssh_keys": "/preferences/keys/",
    "ssh_keys": "/ssh-keys/",
    "security_groups": "/security-groups/",
    "floating_ips": "/floating-ips/",
    "server_groups": "/server-groups/",
    "pools": "/pools/",
    "hosts": "/hosts/",
    "services": "/services/",
    "instances": "/services/{service}/",
    "versions": "/services/{service}/versions/",
    "deployments": "/deployments/",
}
# Those of which a column is hidden, too: the code is the same for all.
HIDDEN_IN = select_evenly(PAGES, 8)
EXAMPLE = "example"  # That of the page of components.


def read_heads(html):
    """Return the heads of the table whose columns can be chosen, without those of boxes and of actions, and its positions."""
    table = re.search(r'<table class="([^"]*)" data-columns[^>]*>\s*<thead>(.*?)</thead>', html, re.DOTALL)
    cells = re.findall(r"<th\b(.*?)</th>", table[2], re.DOTALL)
    heads = [re.sub(r"^[^>]*>|<[^>]*>", "", cell).strip() for cell in cells if "choose" not in cell]
    return [head for head in heads if head != "Actions"], set(table[1].split())


def test_every_wide_table_lets_its_columns_be_chosen(world, client):
    """The choices are the heads of each table, in its order, whether or not it has a column for the tenant."""
    member = world.administrator.user
    staff = UserFactory(is_staff=True, is_superuser=True)
    for user in (member, staff):
        ApiToken.objects.create(user=user, name="script", expiry=None)
        SSHKey.objects.create(user=user, name="laptop", bits=256, fingerprint=f"SHA256:{user.pk}")
    service = world.ids["/api/v1/services/{id}/"]
    webhook = world.ids["/api/v1/webhooks/{id}/"]
    wrong = []
    for user, tenant in [(member, world.member.tenant.slug), (staff, "")]:
        client.force_login(user)
        client.post("/tenant/", {"tenant": tenant, "next": "/"})
        for name, address in PAGES.items():
            User.objects.filter(pk=user.pk).update(hidden_columns={})
            page = address.format(account=world.account.pk, service=service, webhook=webhook)
            answer = client.get(page)
            if answer.status_code in {403, 404} and user is member:
                continue  # Of staff alone.
            html = answer.content.decode()
            if "<thead>" not in html:
                wrong.append(f"{name}: no row on {page} for {user}")
                continue
            heads, hidden = read_heads(html)
            offered = re.findall(rf'form="columns-{name}" data-submit checked> ([^<]*)</label>', html)
            if offered != heads[1:] or hidden:
                wrong.append(f"{name}: heads {heads[1:]}, choices {offered}, hidden {hidden}")
            if name not in HIDDEN_IN:
                continue
            # The last one is hidden, and is the last one that is hidden.
            columns = [column for column, _label in find_table(name).columns]
            client.post(COLUMNS.format(name), {"shown": columns[:-1]})
            _heads, hidden = read_heads(client.get(page).content.decode())
            if hidden != {f"hide-{len(heads)}"}:
                wrong.append(f"{name}: {hidden} hides {heads[-1]}")

    assert wrong == []
    assert set(PAGES) | {EXAMPLE} == set(list_table_names())


def test_a_column_that_the_page_does_not_have_keeps_its_choice(world, client):
    """Staff hide a column while they look at one tenant, where the column of the tenant is left out."""
    staff = UserFactory(is_staff=True, is_superuser=True)
    client.force_login(staff)
    client.post("/tenant/", {"tenant": world.member.tenant.slug, "next": "/"})
    html = client.get("/hosts/").content.decode()
    assert 'value="tenant" form="columns-hosts" data-submit' not in html
    shown = re.findall(r'name="shown" value="([^"]*)" form="columns-hosts"', html)

    client.post(COLUMNS.format("hosts"), {"shown": [name for name in shown if name != "ssh"]})

    staff.refresh_from_db()
    assert staff.hidden_columns == {"hosts": ["ssh"]}


def test_each_table_has_a_choice_of_its_own_and_forgets_it(browser):
    show_all_but(browser, "vms", "disk")
    show_all_but(browser, "volumes", "type")
    user = User.objects.get(pk=browser.session["_auth_user_id"])
    assert user.hidden_columns == {"vms": ["disk"], "volumes": ["type"]}

    show_all_but(browser, "vms")

    user.refresh_from_db()
    assert user.hidden_columns == {"volumes": ["type"]}


@pytest.mark.parametrize(
    "shown", [["nothing-like-this"], ["name", "status"], ["\x00"], ["x" * 5000], ["status"] * 900]
)
def test_what_is_no_column_is_refused_or_stored_once(browser, shown):
    answer = browser.post(COLUMNS.format("vms"), {"shown": shown})

    user = User.objects.get(pk=browser.session["_auth_user_id"])
    if set(shown) == {"status"}:
        assert user.hidden_columns == {"vms": ["application", "ip_address", "cpu_cores", "memory", "disk"]}
    else:
        assert answer.status_code == 400
        assert user.hidden_columns == {}


def test_there_is_no_other_table(browser):
    assert browser.post(COLUMNS.format("secrets"), {"shown": []}).status_code == 404
    assert browser.post(COLUMNS.format("x" * 500), {"shown": []}).status_code == 404
    assert browser.get(COLUMNS.format("vms")).status_code == 405
    assert Client().post(COLUMNS.format("vms"))["Location"].startswith("/login/")


def test_a_script_gets_no_page(browser):
    answer = browser.post(COLUMNS.format("vms"), {"shown": ["status"]}, headers={"HX-Request": "true"})

    assert (answer.status_code, answer.content.strip()) == (200, b"")


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example", "/\\evil.example", "/nowhere/", ""]
)
def test_the_way_back_stays_on_this_site(browser, target):
    assert show_all_but(browser, "vms", next=target)["Location"] == "/"


@pytest.mark.parametrize(
    "stored", [[], "x", {"vms": "disk"}, {"vms": [1, None, {"a": 1}, "gone"]}, {"gone": ["x"]}]
)
def test_what_an_older_release_has_stored_never_fails_a_page(browser, stored):
    User.objects.update(hidden_columns=stored)

    assert class_of_table(browser.get("/vms/")) == []
    show_all_but(browser, "vms", "disk")
    assert class_of_table(browser.get("/vms/")) == ["hide-7"]


@pytest.mark.django_db(transaction=True)
def test_choices_for_two_tables_at_once_are_both_kept(browser):
    user_id = User.objects.get(pk=browser.session["_auth_user_id"]).pk

    def hide(table):
        try:
            for _number in range(5):
                hide_columns(user_id=user_id, table=table, hidden=["status"])
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(hide, ["vms", "volumes", "tasks", "resources"]))

    assert set(User.objects.get(pk=user_id).hidden_columns) == {"vms", "volumes", "tasks", "resources"}


def test_a_table_with_more_columns_than_the_styles_know_is_refused():
    with pytest.raises(ValueError, match="more than 11"):
        declare_table("wide", [(str(number), "") for number in range(MAX_COLUMNS)])
