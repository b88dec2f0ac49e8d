"""Every page in both themes, both widths and both languages: accessible, within the window, and kept as a screenshot."""

from __future__ import annotations

import pytest

from .conftest import SCREENSHOTS
from .pages import PAGES, open_page

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
    for name, (user, address, _follow) in PAGES.items():
        page = pages[user]
        if not open_page(page, name):
            problems.append(f"{name}: nothing to open on {address}")
            continue
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
