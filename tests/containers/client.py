"""What an administrator does first with the portal in the containers, over REST."""

from __future__ import annotations

import json
import secrets
import sys
import urllib.error
import urllib.request
from typing import Any

from .steps import report, wait_until

SIMULATOR_PORT = 5050
ADMINISTRATOR = {"username": "admin", "password": secrets.token_urlsafe(16)}


class Client:
    """The administrator's client of the API."""

    def __init__(self) -> None:
        self.token = ""

    def answers(self) -> bool:
        """Return whether the web server answers."""
        try:
            self.send("GET", "/health/serving")
        except OSError:
            return False
        return True

    def sign_in(self) -> None:
        """Get a token."""
        self.token = self.request("POST", "auth/tokens/", {**ADMINISTRATOR, "name": "image"})["token"]

    def request(self, method: str, path: str, content: object = None) -> Any:
        """Send a request, wait for its job at most 30 seconds, and return the answer."""
        try:
            return self.send(method, f"/api/v1/{path}", content)
        except urllib.error.HTTPError as refused:
            sys.exit(f"{method} {path}: {refused.code} {refused.read().decode()[:2000]}")

    def send(self, method: str, path: str, content: object = None) -> Any:
        headers = {
            "Content-Type": "application/json",
            "Host": "portal.example.org",
            "X-Tenant": "acme",
            "Prefer": "wait=30",
        }
        if self.token:
            headers["Authorization"] = f"Token {self.token}"
        request = urllib.request.Request(
            f"http://127.0.0.1:8000{path}",
            data=None if content is None else json.dumps(content).encode(),
            headers=headers,
            method=method,
        )
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return json.load(answer)


def start_vm(client: Client) -> None:
    """Enter the cloud as a tenant's administrator does, create a VM, and stop it."""
    system = client.request("POST", "information-systems/", {"name": "Shop"})
    client.request(
        "POST",
        "cloud-accounts/",
        {
            "name": "cloud",
            "auth_url": f"http://127.0.0.1:{SIMULATOR_PORT}/identity/v3",
            "credential_kind": "password",
            "access_id": "demo",
            "secret": "demo",
            "project": "demo",
        },
    )
    # It is verified and its resources are read before a VM can be created there.
    wait_until("the account", lambda: can_create(client))
    report("the account is verified and synced")
    size = {"cpu_cores": 2, "memory_gb": 4, "disk_gb": 40, "os_type": "ubuntu"}
    created = client.request("POST", "vms/", {"information_system": system["id"], "name": "first", **size})
    vm = created["vm"]
    wait_until("the VM", lambda: client.request("GET", f"vms/{vm['id']}/")["status"] == "running")
    report("a VM was created and runs")
    client.request("POST", f"vms/{vm['id']}/actions/", {"action": "stop"})
    wait_until("the VM", lambda: client.request("GET", f"vms/{vm['id']}/")["status"] == "stopped")
    report("and was stopped")


def can_create(client: Client) -> bool:
    options = client.request("GET", "vms/options/")
    return all(options[kind] for kind in ("flavors", "images", "networks"))
