"""The columns of a table that a user has hidden: kept with the user, bounded, and read without a script."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connections
from django.test import Client

from pages.tables import MAX_COLUMNS, declare_table, find_table
from tenants.models import User
from tenants.scoping import Role
from tenants.services import hide_columns

pytestmark = pytest.mark.django_db

COLUMNS = "/preferences/columns/{}/"


def class_of_table(answer):
    return re.search(r'<table class="([^"]*)"', answer.content.decode())[1].split()


@pytest.fixture
def browser(as_role, vm):
    return as_role(Role.OPERATOR)


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


def test_the_positions_are_those_of_the_heads(browser, as_role, volume):
    """The labels of the choices are the heads of the table, in its order."""
    for table, page in [
        ("vms", "/vms/"),
        ("volumes", "/volumes/"),
        ("tasks", "/tasks/"),
        ("resources", "/resources/"),
    ]:
        html = browser.get(page).content.decode()
        if "<thead>" not in html:
            continue
        head = re.search(r"<thead>.*?</thead>", html, re.DOTALL)[0]
        cells = [
            re.sub(r"<[^>]*>", "", cell).strip()
            for cell in re.findall(r"<th\b.*?</th>", head)
            if "choose" not in cell
        ]
        labels = [str(label) for _name, label in find_table(table).columns]
        assert cells[1 : len(labels) + 1] == labels, table


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
    with pytest.raises(ValueError, match="more than 8"):
        declare_table("wide", [(str(number), "") for number in range(MAX_COLUMNS)])
