"""A running portal with demo data, and a headless Chromium that signs in to it. `make browser` runs these tests.

They look at the product as a user does: the whole of it runs, as `make up` starts it, in a folder of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tests.servers import free_port

from .cloud import Cloud

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

REPOSITORY = Path(__file__).resolve().parents[2]
# Screenshots are kept here for looking at; no test compares them.
SCREENSHOTS = REPOSITORY / ".browser"
CHROMIUM = os.environ.get("CHROMIUM", "")

if not CHROMIUM:
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="session")
def ports() -> dict[str, str]:
    """Return free ports for the processes of the portal."""
    names = ("PORTAL_PORT", "SIMULATOR_PORT", "POSTGRES_PORT", "VALKEY_PORT")
    return {name: str(free_port()) for name in names}


@pytest.fixture(scope="session")
def cloud(portal: str, ports: dict[str, str]) -> Cloud:
    """Return the simulated cloud of the portal."""
    return Cloud(f"http://127.0.0.1:{ports['SIMULATOR_PORT']}")


@pytest.fixture(scope="session")
def portal(tmp_path_factory: pytest.TempPathFactory, ports: dict[str, str]) -> Iterator[str]:
    """Start the portal with its demo data on free ports, and yield its address."""
    kept = {name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "REDIS_URL"}}
    kept.pop("DJANGO_SETTINGS_MODULE", None)
    environment = {**kept, **ports, "PORTAL_DATA": str(tmp_path_factory.mktemp("portal"))}

    def run(*arguments: str) -> None:
        command = [sys.executable, "-m", "devserver", *arguments]
        subprocess.run(
            command, cwd=REPOSITORY, env=environment, check=True, timeout=300, stdout=subprocess.DEVNULL
        )

    run("up", "--detach")
    try:
        # A name, because browsers have no passkeys for an IP address.
        address = f"http://localhost:{ports['PORTAL_PORT']}"
        client = sign_in_client(address)
        create_security_group(address, client)
        create_readers(address, client)
        create_deployment(address, client)
        yield address
    finally:
        run("down")


def sign_in_client(address: str) -> requests.Session:
    """Return a client of the API that has signed in as alice."""
    client = requests.Session()
    client.post(
        f"{address}/api/v1/auth/login", json={"username": "alice", "password": "demo"}, timeout=30
    ).raise_for_status()
    token = next(cookie.value for cookie in client.cookies if "csrf" in cookie.name)
    client.headers.update({"X-CSRFToken": token or "", "X-Tenant": "acme", "Referer": address})
    return client


def create_security_group(address: str, client: requests.Session) -> None:
    """Create a security group with a rule that warns. The demo data have none of the portal's own, because these take jobs."""
    made = client.post(f"{address}/api/v1/security-groups/", json={"name": "web servers"}, timeout=30)
    made.raise_for_status()
    rules = f"{address}/api/v1/security-groups/{made.json()['security_group']['id']}/rules/"
    body = {"direction": "ingress", "protocol": "tcp", "port_min": 22, "remote_cidr": "0.0.0.0/0"}
    for _ in range(60):
        answer = client.post(rules, json=body, timeout=30)
        if answer.status_code != 409:  # The group is still being created.
            break
        time.sleep(0.5)
    answer.raise_for_status()


def create_readers(address: str, client: requests.Session) -> None:
    """Create a webhook whose receiver refuses what it gets, and a subscription, so that there is something to look at."""
    webhook = {"name": "Build server", "url": f"{address}/health/live", "codes": ["*"]}
    client.post(f"{address}/api/v1/webhooks/", json=webhook, timeout=30).raise_for_status()
    subscription = {"name": "My failed tasks", "channel": "mail", "codes": ["task.failed"], "only_own": True}
    hours = {"quiet_from": "22:00", "quiet_to": "07:00", "timing": "daily"}
    client.post(f"{address}/api/v1/subscriptions/", json=subscription | hours, timeout=30).raise_for_status()


def create_deployment(address: str, client: requests.Session) -> None:
    """Start the upgrade of a service of the demo, so that there is a deployment to look at."""
    (service, *_others) = client.get(f"{address}/api/v1/services/", timeout=30).json()["results"]
    versions = f"{address}/api/v1/services/{service['id']}/versions/"
    for version in client.get(versions, timeout=30).json()["results"]:
        upgrade = f"{versions}{version['id']}/upgrade/"
        answer = client.get(upgrade, timeout=30)
        targets = [one["id"] for one in answer.json() if one["enabled"]] if answer.ok else []
        if targets and client.post(upgrade, json={"dest_version": targets[0], "hosts": "all"}, timeout=30).ok:
            return
    raise AssertionError("No version of the demo can be upgraded.")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Start one Chromium for all tests."""
    from playwright.sync_api import sync_playwright

    SCREENSHOTS.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


SignIn = Callable[..., "Page"]


@pytest.fixture(scope="session")
def states() -> dict[str, Any]:
    """The cookies of each user who has signed in once, because sign-ins are limited."""
    return {}


@pytest.fixture
def sign_in(browser: Browser, portal: str, states: dict[str, Any]) -> Iterator[SignIn]:
    """Return a function that opens a page for a user, in a language, a width and a color scheme.

    A test fails when the page writes an error or a warning to the console, as for what the security policy has blocked.
    """
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def open_page(
        user: str = "alice", *, language: str = "en", width: int = 1440, scheme: str = "light"
    ) -> Page:
        options: dict[str, Any] = {
            "base_url": portal,
            "viewport": {"width": width, "height": 1000},
            "color_scheme": scheme,
            "locale": "zh-CN" if language == "zh" else "en-US",
            "storage_state": states.get(user),
        }
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(f"{page.url}: {error}"))
        page.on(
            "console",
            lambda message: (
                complaints.append(f"{page.url}: {message.text}")
                if message.type in {"error", "warning"} and "status of 4" not in message.text
                else None
            ),
        )
        if user and user not in states:
            page.goto("/login/")
            page.fill("[name=username]", user)
            page.fill("[name=password]", "demo")
            page.click("main button")
            page.wait_for_url("**/overview/")
            states[user] = context.storage_state()
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []
