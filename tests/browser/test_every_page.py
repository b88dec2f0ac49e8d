"""Every page in both themes, both widths and both languages: accessible, within the window, and kept as a screenshot."""

from __future__ import annotations

import pytest

from .conftest import SCREENSHOTS

# By the name of the screenshot: who looks, and the address, or a link to follow from it.
PAGES = {
    "overview": ("alice", "/overview/", ""),
    "search": ("alice", "/search/?q=shop", ""),
    "vms": ("alice", "/vms/", ""),
    "vms-empty": ("alice", "/vms/?search=nothing-like-this", ""),
    "vm-new": ("alice", "/vms/new/", ""),
    **{
        f"vm-{tab}": ("alice", "/vms/", f".name a|?tab={tab}")
        for tab in (
            "overview",
            "volumes",
            "network",
            "snapshots",
            "access",
            "console",
            "activity",
            "settings",
        )
    },
    "own-ssh-keys": ("alice", "/preferences/keys/", ""),
    "own-ssh-key-new": ("alice", "/preferences/keys/new/", ""),
    "ssh-keys": ("alice", "/ssh-keys/", ""),
    "user-data-templates": ("alice", "/user-data-templates/", ""),
    "user-data-template-new": ("alice", "/user-data-templates/new/", ""),
    "vm-snapshots-list": ("alice", "/snapshots/", ""),
    "volumes": ("alice", "/volumes/", ""),
    "volume-snapshots": ("alice", "/volumes/snapshots/", ""),
    "volume-new": ("alice", "/volumes/new/", ""),
    "vms-bin": ("alice", "/vms/?in_bin=true", ""),
    "security-groups": ("alice", "/security-groups/", ""),
    "floating-ips": ("alice", "/floating-ips/", ""),
    "server-groups": ("alice", "/server-groups/", ""),
    "catalog": ("admin", "/catalogue/", ""),
    "catalog-new": ("admin", "/catalogue/new/", ""),
    "account-unmanaged": ("admin", "/accounts/", ".name a, td a|unmanaged/"),
    "services": ("alice", "/services/", ""),
    "service-new": ("alice", "/services/new/", ""),
    "service-versions": ("alice", "/services/", ".name a, td a|versions/"),
    "service-settings": ("alice", "/services/", ".name a, td a|settings/"),
    "hosts": ("alice", "/hosts/", ""),
    "host-new": ("alice", "/hosts/new/", ""),
    "host": ("alice", "/hosts/", ".name a, td a"),
    "deploy-keys": ("alice", "/deploy-keys/", ""),
    "service": ("alice", "/services/", ".name a, td a"),
    "deployments": ("alice", "/deployments/", ""),
    "accounts": ("alice", "/accounts/", ""),
    "account-new": ("alice", "/accounts/new/", ""),
    "account": ("admin", "/accounts/", ".name a, td a"),
    "account-types": ("admin", "/accounts/", ".name a, td a|types/"),
    "account-regions": ("admin", "/accounts/", ".name a, td a|regions/"),
    "account-hosts": ("admin", "/accounts/", ".name a, td a|hosts/"),
    "inventory": ("admin", "/resources/", ""),
    "resource": ("admin", "/resources/", ".name a, td a"),
    "resource-topology": ("admin", "/resources/?type=server", ".name a, td a|topology/"),
    "sync-history": ("admin", "/sync-logs/", ""),
    "sync-log": ("admin", "/sync-logs/", ".name a, td a"),
    "audit-log": ("alice", "/activity/", ""),
    "tasks": ("admin", "/tasks/", ""),
    "task": ("admin", "/tasks/", ".name a"),
    "queue": ("admin", "/queue/", ""),
    "pools": ("admin", "/pools/", ""),
    "pool": ("admin", "/pools/", ".name a, td a"),
    "pool-new": ("admin", "/pools/new/", ""),
    "applications": ("alice", "/systems/", ""),
    "quota": ("alice", "/quota/", ""),
    "members": ("alice", "/membership/", ""),
    "profile": ("alice", "/preferences/", ""),
    "password": ("alice", "/preferences/password/", ""),
    "sessions": ("alice", "/preferences/sessions/", ""),
    "tokens": ("alice", "/preferences/tokens/", ""),
    "admin": ("admin", "/admin/", ""),
    "not-found": ("alice", "/vms/00000000-0000-4000-8000-000000000000/", ""),
    "components": ("alice", "/dev/components/", ""),
    "sign-in": ("", "/login/", ""),
}
LOOKS = [
    (language, scheme, width)
    for language in ("en", "zh")
    for scheme in ("light", "dark")
    for width in (1440, 390)
]
VIOLATIONS: dict[str, list[str]] = {}


@pytest.mark.parametrize(("language", "scheme", "width"), LOOKS)
def test_every_page_is_accessible_and_fits(sign_in, language, scheme, width):
    from axe_playwright_python.sync_playwright import Axe

    axe = Axe()
    problems = []
    pages = {
        user: sign_in(user, language=language, width=width, scheme=scheme) for user in ("alice", "admin", "")
    }
    for name, (user, address, follow) in PAGES.items():
        page = pages[user]
        page.goto(address)
        if follow:
            selector, _bar, query = follow.partition("|")
            link = page.locator(selector).first
            if not link.count():
                problems.append(f"{name}: nothing to open on {address}")
                continue
            page.goto(link.get_attribute("href") + query)
        page.wait_for_load_state("load")
        page.screenshot(path=SCREENSHOTS / f"{language}-{scheme}-{width}-{name}.png", full_page=True)
        if (wide := page.evaluate("document.documentElement.scrollWidth")) > width:
            problems.append(f"{name}: {wide} px wide at {width}")
        if language == "zh" and page.locator("html").get_attribute("lang") != "zh-hans":
            problems.append(f"{name}: not in Chinese")
        for violation in axe.run(
            page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
        ).response["violations"]:
            where = "; ".join(str(node["target"][0]) for node in violation["nodes"][:3])
            problems.append(f"{name}: {violation['id']} ({where})")

    assert problems == []


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_contact_sheet_shows_every_page(browser, language):
    """Put all screenshots of a language side by side, for looking at."""
    rows = []
    for name in PAGES:
        cells = "".join(
            f'<td><img src="{path.as_uri()}" width="{width // 4}"></td>'
            for scheme in ("light", "dark")
            for width in (1440, 390)
            if (path := SCREENSHOTS / f"{language}-{scheme}-{width}-{name}.png").exists()
        )
        rows.append(f"<tr><th>{name}</th>{cells}</tr>")
    sheet = SCREENSHOTS / f"contact-sheet-{language}.html"
    style = "img{max-height:420px;object-fit:cover;object-position:top;border:1px solid #999}td,th{vertical-align:top;padding:4px;font:14px sans-serif}"
    sheet.write_text(
        f"<!doctype html><meta charset=utf-8><style>{style}</style><table>{''.join(rows)}</table>"
    )
    page = browser.new_page(viewport={"width": 1100, "height": 800})
    page.goto(sheet.as_uri())
    page.screenshot(path=SCREENSHOTS / f"contact-sheet-{language}.png", full_page=True)
    page.close()

    assert (SCREENSHOTS / f"contact-sheet-{language}.png").stat().st_size > 100_000
