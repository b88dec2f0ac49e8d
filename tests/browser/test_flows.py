"""What users do, as they do it: clicks and keys in the running portal, in both languages."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from .conftest import SCREENSHOTS

STOPPED = "/vms/?status=stopped&information_system="


def open_first_vm(page, status):
    page.goto(f"/vms/?status={status}")
    return page.locator("td.name a").first.inner_text()


@pytest.mark.parametrize(
    ("language", "start", "running", "stop"),
    [("en", "Start", "Running", "Stop"), ("zh", "启动", "运行中", "停止")],
)
def test_a_vm_is_started_by_one_click_and_followed_until_it_runs(sign_in, language, start, running, stop):
    page = sign_in("oscar", language=language)
    name = open_first_vm(page, "stopped")
    page.goto(f"/vms/?search={name}")
    row = page.locator("tbody tr", has_text=name)

    row.get_by_role("button", name=re.compile(f"^{start}")).click()

    expect(row.locator(".badge")).to_have_text(running, timeout=20_000)
    expect(row.get_by_role("button", name=re.compile(f"^{stop}"))).to_be_visible()


@pytest.mark.parametrize(
    ("language", "create", "running"), [("en", "Create VM", "Running"), ("zh", "创建虚拟机", "运行中")]
)
def test_a_vm_is_created_with_a_summary_that_follows(sign_in, language, create, running):
    page = sign_in("alice", language=language)
    page.goto("/vms/")
    page.get_by_role("link", name=create).first.click()
    name = f"browser-{language}"

    page.fill("#new-name", name)
    page.select_option("#new-boot", index=1)
    summary = page.locator("aside")
    expect(summary.locator(".badge.good")).to_be_visible()
    page.locator("[name=flavor]").nth(1).check()
    expect(summary).to_contain_text("1c-1g-10g")
    expect(page.locator("#new-name")).to_have_value(name)
    page.click("#new-create")

    expect(page.locator("h1")).to_contain_text(name)
    expect(page.locator("h1 .badge")).to_have_text(running, timeout=30_000)


def test_what_is_typed_ticked_and_open_stays_while_the_table_refreshes(sign_in):
    page, other = sign_in("alice"), sign_in("oscar")
    name = open_first_vm(other, "stopped")
    page.goto("/vms/?page_size=100&status=stopped")
    second = page.locator("tbody tr").nth(1)
    second.locator("[name=ids]").check()
    page.locator("#global-search").fill("half a word")

    other.goto(f"/vms/?search={name}")
    other.locator("tbody tr", has_text=name).get_by_role("button", name=re.compile("^Start")).click()

    # Somebody else's change is shown within five seconds.
    expect(page.locator("tbody tr", has_text=name)).to_have_count(0, timeout=9_000)
    expect(second.or_(page.locator("[name=ids]:checked")).locator("visible=true").first).to_be_visible()
    assert page.locator("[name=ids]:checked").count() == 1
    expect(page.locator("#global-search")).to_have_value("half a word")


def test_stopping_several_asks_and_escape_leaves_everything_as_it_is(sign_in):
    page = sign_in("alice")
    page.goto("/vms/?status=running")
    page.locator("#choose-all").check()
    page.get_by_role("button", name="Stop…").click()
    dialog = page.locator("#form-dialog")
    expect(dialog).to_be_visible()
    expect(dialog).to_contain_text("25")

    page.keyboard.press("Escape")

    expect(dialog).to_be_hidden()
    page.goto("/tasks/?kind=vms.stop&by=me")
    expect(page.locator("#task-list, .empty").first).to_be_visible()


def test_a_filter_is_a_chip_in_the_address_and_is_taken_away(sign_in):
    page = sign_in("vera")
    page.goto("/vms/")
    page.select_option("[name=status]", "stopped")
    page.wait_for_url("**status=stopped**")

    page.locator(".chip").click()

    page.wait_for_url(re.compile(r"/vms/\?$"))
    assert page.locator(".chip").count() == 0
    page.goto("/vms/?status=dancing")
    expect(page.locator(".message.warning")).to_contain_text("dancing")


def test_an_ended_session_leads_to_the_sign_in_and_back(sign_in):
    page = sign_in("gina")
    page.goto("/vms/?status=running")
    page.context.clear_cookies()

    page.locator("tbody tr").first.get_by_role("button", name=re.compile("^Stop")).click()

    page.wait_for_url("**/login/?next=**")
    page.fill("[name=username]", "gina")
    page.fill("[name=password]", "demo")
    page.click("main button")
    page.wait_for_url("**/vms/?status=running")
    expect(page.locator("tbody tr").first).to_be_visible()


def test_a_vm_is_deleted_only_after_its_name_is_typed_and_its_volumes_are_kept(sign_in):
    page = sign_in("alice")
    name = open_first_vm(page, "stopped")
    page.goto(page.locator("td.name a").first.get_attribute("href") + "?tab=settings#delete")
    assert page.locator("[name=volumes][value=keep]").is_checked()
    form = page.locator("#delete form")
    form.get_by_role("button").click()
    expect(page.locator("h1")).to_contain_text(name)

    page.fill("#remove-name", name)
    form.get_by_role("button").click()

    expect(page.locator("h1 .badge")).to_have_text("Deleted", timeout=30_000)


def test_a_long_name_widens_no_page(sign_in):
    page = sign_in("alice", width=390)
    name = open_first_vm(page, "stopped")
    page.goto(page.locator("td.name a", has_text=name).get_attribute("href") + "?tab=settings")
    page.fill("#change-name", "x" * 183)
    page.locator("#edit form button.primary").click()
    page.wait_for_load_state("load")

    for address in (page.url, "/vms/?search=xxxxxxxxxx", "/overview/"):
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, address


def test_everything_of_the_frame_is_reached_by_keys(sign_in):
    page = sign_in("alice")
    page.goto("/overview/")
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()

    page.keyboard.press("/")
    expect(page.locator("#global-search")).to_be_focused()
    page.keyboard.type("shop-web")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search/**")
    expect(page.locator("main")).to_contain_text("shop-web")


def test_on_a_narrow_screen_the_navigation_opens_and_closes(sign_in):
    page = sign_in("alice", width=390)
    page.goto("/vms/")
    expect(page.locator("#sidebar")).to_be_hidden()

    page.locator("#open-sidebar").click()
    expect(page.locator("#sidebar a").first).to_be_focused()
    page.keyboard.press("Escape")

    expect(page.locator("#sidebar")).to_be_hidden()
    expect(page.locator("#open-sidebar")).to_be_focused()


def test_the_console_opens_inside_the_page(sign_in):
    page = sign_in("oscar")
    page.goto("/vms/?status=running")
    page.goto(page.locator("td.name a").first.get_attribute("href") + "?tab=console")

    page.get_by_role("button", name="Show console log").click()

    expect(page.locator("#console-log")).to_be_visible(timeout=20_000)


def test_a_click_on_the_user_menu_switches_the_language(sign_in):
    page = sign_in("vera")
    page.goto("/vms/")
    page.locator("#user-menu summary").click()
    page.get_by_role("button", name="中文").click()

    expect(page.locator("html")).to_have_attribute("lang", "zh-hans")
    page.locator("#user-menu summary").click()
    page.get_by_role("button", name="English").click()
    expect(page.locator("html")).to_have_attribute("lang", "en")


# --- What a stranger is asked to do, with the clicks that each takes ---------------------------------------


class Clicks:
    """Counts the clicks of a task, for the documentation of how long the ways are."""

    def __init__(self, page):
        self.page, self.count = page, 0

    def click(self, locator):
        self.count += 1
        locator.click()


def test_who_stopped_a_vm_is_found(sign_in):
    oscar, vera = sign_in("oscar"), sign_in("vera")
    name = open_first_vm(oscar, "running")
    oscar.goto(f"/vms/?search={name}")
    oscar.locator("tbody tr", has_text=name).get_by_role("button", name=re.compile("^Stop")).click()
    expect(oscar.locator("tbody tr", has_text=name).locator(".badge")).to_have_text("Stopped", timeout=20_000)
    vera.goto(f"/vms/?search={name}")
    way = Clicks(vera)

    way.click(vera.locator("td.name a", has_text=name))
    way.click(vera.locator(".tabs a", has_text="Activity"))

    row = vera.locator("tbody tr", has_text="Stop").first
    expect(row).to_contain_text("oscar")
    assert way.count == 2


def test_a_member_is_invited(sign_in):
    page = sign_in("alice")
    page.goto("/overview/")
    way = Clicks(page)

    way.click(page.locator("#sidebar a", has_text="Members"))
    way.click(page.get_by_role("link", name=re.compile("Invite")).first)
    page.fill("#username", "gina")
    way.click(page.locator("dialog").get_by_role("button", name=re.compile("^Invite")))

    expect(page.locator("#messages")).to_contain_text("gina")
    expect(page.locator("main")).to_contain_text("gina")
    assert way.count == 3


def test_a_token_is_created_and_shown_once(sign_in):
    page = sign_in("alice")
    page.goto("/overview/")
    way = Clicks(page)

    way.click(page.locator("#user-menu summary"))
    way.click(page.get_by_role("link", name="Profile"))
    way.click(page.locator(".tabs a", has_text="API tokens"))
    way.click(page.get_by_role("link", name="Create token").first)
    page.fill("#name", "ci-browser")
    way.click(page.locator("dialog").get_by_role("button", name="Create token"))

    token = page.locator(".copied code").first.inner_text()
    assert len(token) > 30
    assert way.count == 5
    page.goto("/preferences/tokens/")
    expect(page.locator("main")).to_contain_text("ci-browser")
    assert token not in page.content()


@pytest.mark.parametrize(("language", "services"), [("en", "Services"), ("zh", "微服务")])
def test_an_upgrade_that_fails_says_why(sign_in, language, services):
    page = sign_in("oscar", language=language)
    page.goto("/overview/")
    page.locator("#sidebar a", has_text=services).first.click()
    page.locator(".name a, td a").first.click()
    page.locator('main a[href*="/upgrade/"]').first.click()
    broken = page.locator("#dest-version option", has_text="broken").first.get_attribute("value")
    page.select_option("#dest-version", broken)

    page.locator("#deploy").click()

    expect(page.locator(".badge.bad, .badge.warning").first).to_be_visible(timeout=60_000)
    expect(page.locator(".message").first).to_be_visible(timeout=60_000)
    expect(page.locator("[data-panel][data-busy]")).to_have_count(0, timeout=60_000)
    page.screenshot(path=SCREENSHOTS / f"{language}-deployment-failed.png", full_page=True)
