"""The defects that the first release's pages had, each as a user met it. They are tried with the tenant Globex."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

SLOW = 30_000
ACCOUNT, VOLUME = "globex-cloud", "ledger"
# Words of OpenStack that are no words for users.
RAW = re.compile(r"\b(available|in-use|in_use|active|error|creating|deleting|ACTIVE|SHUTOFF|BUILD)\b")


def add_account(page, cloud, name, **credential):
    """Add a cloud account of the project "other", by password if no application credential is given."""
    page.goto("/accounts/new/")
    page.fill("#account-name", name)
    page.fill("#account-auth_url", cloud.auth_url)
    page.select_option("#account-credential_kind", "application_credential" if credential else "password")
    page.fill("#account-access_id", credential.get("id", "other"))
    page.fill("#account-secret", credential.get("secret", "other"))
    if not credential:
        page.fill("#account-project", "other")
    page.locator("main form button.primary").last.click()
    expect(page.locator("h1")).to_contain_text(name)


def find_first_vm(page, status):
    page.goto(f"/vms/?status={status}")
    link = page.locator("td.name a").first
    return link.inner_text(), link.get_attribute("href")


@pytest.fixture(scope="module")
def volume(browser, portal, cloud):
    """An account of Globex's own, and two volumes that were created in it, on the page that has to ask for the account."""
    context = browser.new_context(base_url=portal, locale="en-US")
    page = context.new_page()
    page.goto("/login/")
    page.fill("[name=username]", "gina")
    page.fill("[name=password]", "demo")
    page.click("main button")
    add_account(page, cloud, ACCOUNT)
    page.goto("/accounts/")
    expect(page.locator("tr", has_text=ACCOUNT).locator(".badge.good")).to_be_visible(timeout=SLOW)

    page.goto("/volumes/new/")
    page.fill("#new-name", VOLUME)
    page.fill("#new-count", "2")
    page.fill("#new-size", "1")
    page.select_option("#new-account", label=ACCOUNT)
    page.locator("main form button.primary").click()
    page.wait_for_url(re.compile(r"/(volumes|tasks)/"))
    page.goto(f"/volumes/?search={VOLUME}")
    rows = page.locator("tbody tr", has_text=ACCOUNT)
    expect(rows).to_have_count(2, timeout=SLOW)
    expect(rows.locator(".badge.good")).to_have_count(2, timeout=SLOW)
    names = rows.locator("td.name span").all_inner_texts()
    context.close()
    return names[0]


@pytest.mark.parametrize(("language", "label"), [("en", "Cloud account"), ("zh", "云账号")])
def test_with_two_accounts_the_account_of_a_volume_is_chosen(sign_in, volume, language, label):
    page = sign_in("gina", language=language)

    page.goto("/volumes/new/")

    field = page.get_by_label(label, exact=True)
    assert sorted(field.locator("option").all_inner_texts()) == sorted(["simulator", ACCOUNT])
    page.goto(f"/volumes/?search={VOLUME}")
    expect(page.locator("tbody tr", has_text=ACCOUNT).first).to_be_visible()


@pytest.mark.parametrize(("width", "theme"), [(1440, "light"), (390, "dark")])
def test_a_name_of_183_characters_widens_neither_list_nor_page(sign_in, width, theme):
    page = sign_in("gina", width=width, scheme=theme)
    _name, address = find_first_vm(page, "stopped")
    page.goto(f"{address}?tab=settings")
    page.fill("#change-name", "y" * 183)
    page.locator("#edit form button.primary").click()
    page.wait_for_load_state("load")

    for shown in (address, "/vms/?search=yyyyyyyyyy", "/activity/", "/search/?q=yyyyyyyyyy"):
        page.goto(shown)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, shown
    page.goto("/vms/?search=yyyyyyyyyy")
    assert page.locator("td.name").first.bounding_box()["width"] < 400


def test_a_refresh_closes_no_menu_and_clears_no_tick(sign_in, volume):
    page, other = sign_in("gina"), sign_in("gina", language="zh")
    page.goto(f"/volumes/?search={VOLUME}")
    page.locator("tbody tr").nth(0).locator(".menu summary").click()
    page.locator("tbody tr").nth(0).locator(".menu-list a").first.focus()
    changed = page.locator("tbody tr").nth(1)
    name = changed.locator("td.name span").first.inner_text()

    other.goto(f"/volumes/?search={name}")
    other.locator("tbody tr").first.locator(".menu summary").click()
    other.locator(".menu-list a", has_text="重命名").click()
    other.locator("dialog [name=name]").fill(f"{name}-renamed")
    other.locator("dialog form button.primary").click()

    # The open list follows within seconds, and what is open or focused in it stays.
    expect(page.locator("tbody")).to_contain_text(f"{name}-renamed", timeout=SLOW)
    expect(page.locator("tbody tr .menu[open]")).to_have_count(1)
    expect(page.locator("tbody tr .menu-list a").first).to_be_focused()


@pytest.mark.parametrize(
    ("language", "stop", "restart", "cancel"),
    [("en", "Stop…", "Restart…", "Cancel"), ("zh", "停止…", "重启…", "取消")],
)
def test_stopping_and_restarting_many_asks_first(sign_in, language, stop, restart, cancel):
    page = sign_in("gina", language=language)
    page.goto("/vms/?status=running")
    page.locator("#choose-all").check()

    for label in (stop, restart):
        page.locator("#bulk").get_by_role("button", name=label, exact=True).click()
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text("25")
        dialog.get_by_role("link", name=cancel).click()
        expect(dialog).to_have_count(0)

    page.reload()
    expect(page.locator("tbody .badge.busy")).to_have_count(0)
    expect(page.locator("tbody tr")).to_have_count(25)


def test_a_schedule_is_not_disabled_without_asking(sign_in):
    page = sign_in("admin")
    page.goto("/queue/")
    row = page.locator("tr", has_text="tasks.sweep").first
    row.get_by_role("button", name="Disable").click()
    dialog = page.get_by_role("dialog")

    expect(dialog).to_contain_text("tasks.sweep")
    expect(dialog).to_contain_text("none of this happens")
    page.keyboard.press("Escape")

    expect(dialog).to_have_count(0)
    page.reload()
    expect(row.locator(".badge.good")).to_be_visible()


@pytest.mark.parametrize(("language", "keep"), [("en", "Keep"), ("zh", "保留")])
def test_the_data_of_a_vm_is_kept_unless_one_says_otherwise(sign_in, language, keep):
    page = sign_in("gina", language=language)
    _name, address = find_first_vm(page, "stopped")

    page.goto(f"{address}?tab=settings")

    expect(page.locator("#delete").get_by_label(keep, exact=True)).to_be_checked()


def test_every_time_has_a_zone_and_it_is_that_of_the_user(sign_in):
    page = sign_in("gina")
    page.goto("/preferences/")
    page.fill("#time-zone", "Asia/Shanghai")
    page.get_by_role("button", name="Save changes").click()
    expect(page.locator("dd", has_text="UTC+8").first).to_be_visible()

    try:
        for address in ("/tasks/", "/accounts/", "/activity/", "/resources/"):
            page.goto(address)
            titles = [time.get_attribute("title") for time in page.locator("main time").all()]
            assert titles, address
            assert all(title.endswith(" UTC+8") for title in titles), address
    finally:
        page.goto("/preferences/")
        page.fill("#time-zone", "")
        page.get_by_role("button", name="Save changes").click()


def test_statuses_are_chinese_on_chinese_pages(sign_in, volume):
    page = sign_in("gina", language="zh")
    pages = [
        "/volumes/",
        "/volumes/snapshots/",
        "/snapshots/",
        "/vms/",
        "/resources/",
        "/resources/?type=server",
        "/resources/?type=volume",
        "/accounts/",
        "/tasks/",
        "/hosts/",
        "/deployments/",
    ]
    found = []
    for address in pages:
        page.goto(address)
        found += [
            (address, text) for text in page.locator("main .badge").all_inner_texts() if RAW.search(text)
        ]

    assert found == []


def test_a_message_is_in_the_language_of_its_reader_and_a_failed_creation_can_be_tried_again(
    sign_in, cloud, volume
):
    page = sign_in("gina")
    cloud.control("failing_builds", times=1, fault="No valid host was found. There are not enough hosts.")
    page.goto("/vms/new/")
    page.fill("#new-name", "unlucky")
    page.select_option("#new-account", label="simulator")
    page.select_option("#new-boot", index=1)
    expect(page.locator("aside .badge.good")).to_be_visible(timeout=SLOW)
    page.click("#new-create")
    expect(page.locator("h1")).to_contain_text("unlucky")
    address = page.url

    again = page.get_by_role("link", name="Try again")
    expect(again).to_be_visible(timeout=60_000)
    english = page.locator(".message.error").first.inner_text()
    assert not re.search("[一-鿿]", english)
    chinese = sign_in("gina", language="zh")
    chinese.goto(address)
    assert re.search("[一-鿿]", chinese.locator(".message.error").first.inner_text())
    expect(chinese.get_by_role("link", name="重试")).to_be_visible()

    again.click()
    expect(page.locator("#new-name")).to_have_value("unlucky")


@pytest.mark.parametrize(
    ("language", "skipped", "created"), [("en", "Skipped", "succeeded"), ("zh", "已跳过", "成功")]
)
def test_a_step_that_was_skipped_is_not_called_a_success(sign_in, volume, language, skipped, created):
    page = sign_in("gina", language=language)
    page.goto("/vms/new/")
    page.fill("#new-name", f"from-image-{language}")
    page.select_option("#new-account", label="simulator")
    page.select_option("#new-boot", index=1)
    expect(page.locator("aside .badge.good")).to_be_visible(timeout=SLOW)
    page.click("#new-create")
    expect(page.locator("h1 .badge.good")).to_be_visible(timeout=SLOW)

    page.goto("/tasks/?kind=vms.create&by=me")
    page.locator("td.name a", has_text=f"from-image-{language}").first.click()

    first = page.locator(".steps li").first
    expect(first.locator(".badge")).to_have_text(re.compile(skipped, re.IGNORECASE))
    expect(first).not_to_contain_text(created)


def test_a_resize_shows_the_new_size(sign_in, volume):
    page = sign_in("gina")
    _name, address = find_first_vm(page, "running")
    page.goto(f"{address}?tab=settings")
    # The first one is the automatic choice.
    wanted = page.locator("#resize-flavor option").nth(1).inner_text().strip()
    cores, memory = re.search(r"(\d+) vCPU, (\d+) GiB", wanted).groups()
    page.select_option("#resize-flavor", index=1)
    page.locator("#resize form button.primary").click()

    confirm = page.get_by_role("button", name="Confirm resize")
    expect(confirm).to_be_visible(timeout=60_000)
    expect(page.locator(".message.warning")).to_contain_text(f"{cores} vCPU, {memory} GiB memory")
    confirm.click()
    expect(confirm).to_have_count(0, timeout=SLOW)
    expect(page.locator("h1 .badge.busy")).to_have_count(0, timeout=SLOW)
    page.goto(address)
    size = page.locator(".card", has_text="Flavor").first
    expect(size).to_contain_text(f"vCPUs{cores}", timeout=SLOW)
    expect(size).to_contain_text(f"Memory{memory} GiB")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_an_account_whose_credential_was_revoked_is_not_green(sign_in, cloud, language):
    page = sign_in("gina", language=language)
    name = f"revoked-{language}"
    credential = cloud.create_credential(name)
    add_account(page, cloud, name, id=credential["id"], secret=credential["secret"])
    page.goto("/accounts/")
    badge = page.locator("tr", has_text=name).locator(".badge").first
    expect(badge).to_have_class(re.compile("good"), timeout=SLOW)

    cloud.revoke_credential(credential["id"])
    page.locator("tr", has_text=name).locator(".actions button").click()

    expect(badge).to_have_class(re.compile("bad"), timeout=60_000)


def test_each_task_of_the_queue_is_in_one_column_of_ages(sign_in):
    page = sign_in("admin")
    page.goto("/queue/")
    table = page.get_by_role("region", name="Active tasks")
    expect(page.locator("h2#active")).to_be_visible()
    if not table.count():  # Nothing is in flight just now.
        return

    heads = table.locator("thead th").all_inner_texts()
    assert heads[2:6] == ["< 1 min", "1–10 min", "10–60 min", "> 1 h"]
    for row in table.locator("tbody tr").all():
        count, *ages = (int(cell.inner_text()) for cell in row.locator("td.number").all())
        assert sum(ages) == count


def test_the_focus_stays_in_the_row_whose_button_is_gone(sign_in):
    page = sign_in("gina")
    name, _address = find_first_vm(page, "stopped")
    page.goto(f"/vms/?search={name}")
    row = page.locator("tbody tr", has_text=name)
    start = row.get_by_role("button", name=re.compile("^Start"))
    start.focus()

    page.keyboard.press("Enter")

    expect(row.locator(".badge")).to_have_text("Running", timeout=SLOW)
    expect(row.locator(":focus")).to_have_count(1)


@pytest.mark.parametrize("width", [1440, 390])
def test_dark_pages_are_dark_and_nothing_overflows(sign_in, width):
    page = sign_in("gina", width=width, scheme="dark")
    for address in (
        "/overview/",
        "/vms/",
        "/volumes/",
        "/tasks/",
        "/accounts/",
        "/services/",
        "/preferences/",
    ):
        page.goto(address)
        color = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert max(int(part) for part in re.findall(r"\d+", color)[:3]) < 60, address
        assert page.evaluate("document.documentElement.scrollWidth") <= width, address
