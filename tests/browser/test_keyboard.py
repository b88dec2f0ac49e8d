"""The pages by keyboard alone, and what a screen reader is told."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

PAGES = [
    "/overview/",
    "/vms/",
    "/vms/new/",
    "/volumes/",
    "/services/",
    "/hosts/",
    "/accounts/",
    "/resources/",
    "/tasks/",
    "/membership/",
    "/preferences/sessions/",
    "/preferences/tokens/",
    "/dev/components/",
]
WITHOUT_NAME = re.compile(
    r"^\s*- (button|link|textbox|combobox|checkbox|radio|searchbox|spinbutton|dialog|navigation|region|search)"
    r"(?: \[[^\]]*\])*:?$"
)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_control_and_landmark_has_a_name(sign_in, language):
    page = sign_in("alice", language=language)
    nameless = []
    for address in PAGES:
        page.goto(address)
        tree = page.locator("body").aria_snapshot()
        nameless += [(address, line) for line in tree.splitlines() if WITHOUT_NAME.match(line)]

    assert nameless == []


def test_a_question_keeps_the_focus_and_gives_it_back(sign_in):
    page = sign_in("alice")
    page.goto("/dev/components/")
    opener = page.get_by_role("button", name="Delete…")
    opener.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Delete web-1")
    expect(dialog).to_have_attribute("aria-modal", "true")

    for key in ["Tab"] * 5 + ["Shift+Tab"] * 5:
        page.keyboard.press(key)
        expect(dialog.locator(":focus")).to_have_count(1)

    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(opener).to_be_focused()


def test_a_form_in_a_dialog_keeps_the_focus_and_gives_it_back(sign_in):
    page = sign_in("alice")
    page.goto("/preferences/tokens/")
    opener = page.get_by_role("link", name="Create token").first
    opener.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog").get_by_role("textbox")).to_be_focused()

    page.keyboard.press("Escape")

    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(opener).to_be_focused()


def test_a_menu_opens_by_key_and_closes_when_it_is_left(sign_in):
    page = sign_in("alice")
    page.goto("/vms/")
    menu = page.locator("#user-menu")
    menu.locator("summary").focus()
    page.keyboard.press("Enter")
    expect(menu.locator("a").first).to_be_visible()
    page.keyboard.press("Tab")
    expect(menu.locator("a").first).to_be_focused()

    page.keyboard.press("Escape")
    expect(menu.locator("summary")).to_be_focused()
    expect(menu.locator("a").first).to_be_hidden()
    page.keyboard.press("Enter")
    page.locator("#global-search").focus()
    expect(menu.locator("a").first).to_be_hidden()


def test_columns_and_filters_are_set_by_key(sign_in):
    page = sign_in("vera")
    page.goto("/vms/")
    page.locator(".columns-menu summary").focus()
    page.keyboard.press("Enter")
    box = page.get_by_role("checkbox", name="Disk")
    box.focus()
    page.keyboard.press("Space")
    expect(page.get_by_role("columnheader", name="Disk")).to_be_hidden()
    expect(box).to_be_focused()
    page.keyboard.press("Space")
    expect(page.get_by_role("columnheader", name="Disk")).to_be_visible()

    page.get_by_role("combobox", name="Status").focus()
    page.keyboard.type("Stop")
    page.wait_for_url("**status=stopped**")
    expect(page.get_by_role("link", name=re.compile("^Remove the filter"))).to_be_visible()


def test_the_result_of_an_action_is_announced(sign_in):
    page = sign_in("oscar")
    page.goto("/vms/?status=stopped")
    name = page.locator("td.name a").last.inner_text()
    page.goto(f"/vms/?search={name}")
    page.get_by_role("button", name=f"Start {name}").focus()

    page.keyboard.press("Enter")

    expect(page.locator("#announcement")).to_contain_text(f"{name}:")


@pytest.mark.parametrize(("language", "copied"), [("en", "Copied"), ("zh", "已复制")])
def test_a_copy_is_announced(sign_in, language, copied):
    page = sign_in("alice", language=language)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto("/dev/components/")

    page.locator("[data-copy-text]").first.click()

    expect(page.locator("#announcement")).to_have_text(copied)
