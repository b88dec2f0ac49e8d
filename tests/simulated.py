"""The simulated cloud, controlled by tests through its control API over HTTP."""

from __future__ import annotations

from typing import Any

import requests

from cloudaccounts.models import CloudAccount
from tests.factories import grant_everything


class SimulatedCloud:
    """A client of the control API, for changes that the portal does not know of."""

    def __init__(self, url: str, auth_url: str) -> None:
        self.url, self.auth_url = url, auth_url
        self.session = requests.Session()

    def call(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """Call the control API, and return its JSON."""
        answer = self.session.request(
            method, f"{self.url}/_control/{path}", json=body, params=query, timeout=60
        )
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def reset(self, **options: Any) -> None:
        """Empty the cloud, and let every action succeed at once."""
        at_once = {"build_seconds": 0, "action_seconds": 0, "volume_seconds": 0}
        self.call("POST", "reset", at_once | options)

    def clock(self, **seconds: float) -> None:
        """Set how long actions take."""
        self.call("POST", "clock", seconds)

    def seed(self, count: int, **options: Any) -> list[str]:
        """Create this many servers in project demo, with their final status, and return their ids."""
        return self.call("POST", "seed", {"project": "demo", "servers": count, **options})["servers"]

    def faults(self, *rules: dict[str, Any]) -> None:
        """Add fault rules."""
        self.call("POST", "faults", list(rules))

    def no_faults(self) -> None:
        """Remove every fault rule."""
        self.call("DELETE", "faults")

    def change(self, server_id: str, **columns: Any) -> None:
        """Change a server without the portal."""
        self.call("PATCH", f"servers/{server_id}", columns)

    def remove(self, server_id: str) -> None:
        """Remove a server without the portal."""
        self.call("DELETE", f"servers/{server_id}")

    def actions(self, server_id: str) -> dict[str, dict[str, int]]:
        """Return the counts of accepted and refused actions on a server."""
        return self.call("GET", "requests")["counts"]["objects"].get(server_id, {})

    def accepted(self, server_id: str, action: str) -> int:
        """Return how often the cloud accepted an action on a server."""
        return self.actions(server_id).get(action, {}).get("accepted", 0)

    def counts(self) -> dict[str, Any]:
        """Return the counts of all requests since the last reset."""
        return self.call("GET", "requests")["counts"]

    def account(self, **columns: Any) -> CloudAccount:
        """Create a cloud account of the portal for this cloud. Its schedule is written when it is saved again."""
        account = CloudAccount(
            **{
                "name": "simulator",
                "auth_url": self.auth_url,
                "credential_kind": CloudAccount.CredentialKind.PASSWORD,
                "access_id": "demo",
                "project": "demo",
                **columns,
            }
        )
        account.set_secret("demo")
        # A bulk insert sends no signal, which would write the schedule at six times the cost of the account.
        CloudAccount.objects.bulk_create([account])
        if account.tenant_id is None:
            grant_everything(account)
        return account
