"""Heads and columns of tables, sessions, and forms that open or fill late."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

SLOW = 30_000


@pytest.mark.parametrize(("width", "theme"), [(1440, "light"), (1040, "dark"), (390, "light")])
def test_the_head_of_a_long_table_stays_in_view(sign_in, width, theme):
    page = sign_in("gina", width=width, scheme=theme)
    page.goto("/vms/?page_size=100")
    head = page.locator("thead th").nth(2)
    page.locator("tbody tr").nth(60).locator("td.name a").focus()

    box, bar = head.bounding_box(), page.locator(".topbar").bounding_box()
    assert bar["y"] + bar["height"] - 1 <= box["y"] < 1000
    assert page.evaluate("scrollX") == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # The row with the focus is not behind the head.
    focused = page.locator("td.name a:focus").bounding_box()
    assert focused["y"] >= box["y"] + box["height"] - 1


def test_a_rule_asks_only_for_what_its_protocol_has(sign_in):
    page = sign_in()
    page.goto("/security-groups/")
    page.click("tr:has-text('web servers') td.name a")
    first, icmp_type = page.locator("[name=port_min]"), page.locator("[name=icmp_type]")
    first.fill("80")
    assert first.is_visible() and not icmp_type.is_visible()

    page.select_option("[name=protocol]", "icmp")

    assert icmp_type.is_visible() and not first.is_visible()
    # The port that was entered before is not sent, so the rule is not refused because of it.
    icmp_type.fill("8")
    page.click("#add-rule button.primary")
    page.wait_for_selector("#panel-group:has-text('ping')")


def test_hidden_columns_are_hidden_in_a_second_browser_too(sign_in):
    page = sign_in("gina")
    page.goto("/vms/")
    address = page.get_by_role("columnheader", name="IP address")
    expect(address).to_be_visible()
    page.get_by_text("Columns", exact=True).click()

    page.get_by_role("checkbox", name="IP address").uncheck()

    expect(address).to_be_hidden()
    second = sign_in("gina", language="zh", width=390)
    second.goto("/vms/")
    expect(second.get_by_role("columnheader", name="IP 地址")).to_be_hidden()
    expect(second.get_by_role("columnheader", name="状态")).to_be_visible()
    page.get_by_role("checkbox", name="IP address").check()
    expect(address).to_be_visible()


def test_a_session_is_ended_from_another_browser(sign_in, states, portal):
    here = sign_in("bruno")
    states.pop("bruno")
    there = sign_in("bruno", language="zh")
    here.goto("/preferences/sessions/")
    expect(here.locator("tbody tr")).to_have_count(2)
    other = here.locator("tbody tr").filter(has_not_text="This session")

    other.get_by_role("link", name=re.compile("^End session")).click()
    here.get_by_role("dialog").get_by_role("button", name="End session").click()

    expect(here.locator("#messages")).to_contain_text("was ended")
    expect(here.locator("tbody tr")).to_have_count(1)
    there.goto("/vms/")
    there.wait_for_url("**/login/**")
    states.pop("bruno")


def test_a_form_that_takes_a_while_opens_with_a_skeleton(sign_in):
    page = sign_in("gina")
    page.goto("/preferences/tokens/")
    page.route("**/preferences/tokens/new/", lambda route: (page.wait_for_timeout(600), route.continue_()))

    page.get_by_role("link", name="Create token").first.click()

    expect(page.locator("dialog .skeleton")).to_be_visible()
    expect(page.locator("dialog [name=name]")).to_be_focused()
    expect(page.locator("dialog .skeleton")).to_have_count(0)


def test_a_template_of_user_data_is_inserted_into_the_form_for_a_new_vm(sign_in):
    """The field was empty, so that the text that the server filled in was moved before it was read."""
    page = sign_in("alice")
    page.goto("/vms/new/")

    page.select_option("#new-template", label="Web server")

    expect(page.locator("#new-user-data")).to_have_value(re.compile("nginx"), timeout=SLOW)
    expect(page.locator("[name=ssh_keys]").first).to_be_checked()
