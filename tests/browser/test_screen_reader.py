"""What a screen reader is told: the accessibility tree that Chromium hands to it, of every page."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from .pages import PAGES, open_page

if TYPE_CHECKING:
    from playwright.sync_api import Page

CONTROLS = {
    "button", "checkbox", "combobox", "DisclosureTriangle", "link", "listbox", "menuitem", "radio", "searchbox", "slider", "spinbutton",
    "switch", "tab", "textbox", "Date",
}  # fmt: skip
# The only places that speak up by themselves. The panels, which refresh every second, are none of them.
LIVE_PLACES = {"announcement", "messages", "offline", "summary"}
# What the tree does not have: dialogs that are closed, ids of live regions, and which table belongs to a chart.
READ_DOM = """() => {
  const text = (element) => element?.textContent.trim() ?? "";
  const named = (element) => element.getAttribute("aria-label") || (element.getAttribute("aria-labelledby") ?? "").split(" ")
    .map((id) => text(document.getElementById(id))).join("");
  const shown = (selector) => [...document.querySelectorAll(selector)];
  return {
    live: shown("[aria-live]:not([aria-live=off]), [role=status], [role=log]").filter((one) => !one.matches(".skeleton, .message")).map((one) => one.id || one.outerHTML.slice(0, 80)),
    rows: shown("td.name a, tbody th a").map((one) => one.href),
    dialogs: shown("dialog:not(#form-dialog)").filter((one) => !named(one)).map((one) => one.id || one.outerHTML.slice(0, 80)),
    badges: shown(".badge").filter((one) => !text(one)).map((one) => one.outerHTML.slice(0, 80)),
    charts: shown("figure.chart").filter((one) => !one.querySelector("table")).map((one) => text(one).slice(0, 60)),
  };
}"""


def read_tree(page: Page) -> list[dict[str, Any]]:
    """Return the nodes that a screen reader is told of, each as role, name, properties and the id in the document."""
    session = page.context.new_cdp_session(page)
    try:
        nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    finally:
        session.detach()
    by_id = {node["nodeId"]: node for node in nodes}
    found = []
    for node in nodes:
        if node.get("ignored"):
            continue
        roles, parent = [], node.get("parentId")
        while parent in by_id:
            roles.append(by_id[parent].get("role", {}).get("value"))
            parent = by_id[parent].get("parentId")
        found.append(
            {
                "role": node["role"]["value"],
                "name": str(node.get("name", {}).get("value", "")).strip(),
                "properties": {one["name"]: one["value"].get("value") for one in node.get("properties", ())},
                "within": roles,
            }
        )
    return found


def find_problems(page: Page, language: str) -> list[str]:
    """Return what a screen reader could not tell its user on the page."""
    tree = read_tree(page)
    problems = []
    targets: dict[tuple[str, str], set[str]] = defaultdict(set)
    buttons: dict[str, int] = defaultdict(int)
    levels = [0]
    for node in tree:
        role, name, properties = node["role"], node["name"], node["properties"]
        is_in_main = "main" in node["within"]
        if role in CONTROLS and not name:
            problems.append(f"a {role} without a name, in {node['within'][:3]}")
        if role in {"image", "img", "graphics-document"} and not name:
            problems.append("a picture without a name")
        if role == "table" and not name:
            problems.append("a table without a name")
        if role == "columnheader" and not name:
            problems.append("a column without a head")
        if role == "dialog" and not name:
            problems.append("an open dialog without a name")
        if role == "heading":
            levels.append(int(properties["level"]))
        if role == "link" and is_in_main:
            targets[role, name].add(properties.get("url", ""))
        if role in {"button", "DisclosureTriangle"} and "table" in node["within"]:
            buttons[name] += 1
    problems += [
        f"{count} buttons in a table are all called {name!r}" for name, count in buttons.items() if count > 1
    ]
    problems += [
        f"a heading of level {after} after one of level {before}"
        for before, after in pairwise(levels)
        if after > before + 1
    ]
    if levels.count(1) != 1:
        problems.append(f"{levels.count(1)} headings of level 1")
    root = page.locator("html").get_attribute("lang")
    if root != {"en": "en", "zh": "zh-hans"}[language]:
        problems.append(f"the language is {root}")
    dom = page.evaluate(READ_DOM)
    # The names of rows may be equal: their other cells tell them apart.
    problems += [
        f"{role} {name!r} leads to {len(others)} places"
        for (role, name), urls in targets.items()
        if len(others := urls - set(dom["rows"])) > 1
    ]
    problems += [f"speaks up by itself: {one}" for one in dom["live"] if one not in LIVE_PLACES]
    for kind in ("dialogs", "badges", "charts"):
        problems += [f"{kind} that say nothing: {one}" for one in dom[kind]]
    return problems


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_page_tells_a_screen_reader_what_it_shows(sign_in, language):
    pages = {user: sign_in(user, language=language) for user in ("alice", "admin", "")}
    problems = []
    for name, (user, _address, _follow) in PAGES.items():
        if name == "admin":
            continue  # Django's own.
        page = pages[user]
        if open_page(page, name):
            problems += [f"{name}: {problem}" for problem in find_problems(page, language)]

    assert problems == []
