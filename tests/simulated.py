"""The simulated cloud as tests steer it: through its control API, over HTTP."""

from __future__ import annotations

from typing import Any

import requests

from cloudaccounts.models import CloudAccount


class SimulatedCloud:
    """A simulator, and what may be done to it behind the portal's back."""

    def __init__(self, url: str, auth_url: str) -> None:
        self.url, self.auth_url = url, auth_url
        self.session = requests.Session()

    def call(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """One call of the control API."""
        answer = self.session.request(
            method, f"{self.url}/_control/{path}", json=body, params=query, timeout=60
        )
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def reset(self, **options: Any) -> None:
        """An empty cloud in which nothing takes time and nothing goes wrong."""
        self.call("POST", "reset", options)
        self.call("DELETE", "faults")
        self.call("DELETE", "requests")
        self.clock(build_seconds=0, action_seconds=0, volume_seconds=0)

    def clock(self, **seconds: float) -> None:
        """How long things take there."""
        self.call("POST", "clock", seconds)

    def seed(self, count: int, **options: Any) -> list[str]:
        """So many servers of project demo, already settled; their ids."""
        return self.call("POST", "seed", {"project": "demo", "servers": count, **options})["servers"]

    def faults(self, *rules: dict[str, Any]) -> None:
        """What goes wrong from now on."""
        self.call("POST", "faults", list(rules))

    def no_faults(self) -> None:
        """Nothing goes wrong from now on."""
        self.call("DELETE", "faults")

    def change(self, server_id: str, **columns: Any) -> None:
        """Change a server behind the portal's back."""
        self.call("PATCH", f"servers/{server_id}", columns)

    def remove(self, server_id: str) -> None:
        """Remove a server behind the portal's back."""
        self.call("DELETE", f"servers/{server_id}")

    def actions(self, server_id: str) -> dict[str, dict[str, int]]:
        """Accepted and refused actions on a server, as the cloud counted them."""
        return self.call("GET", "requests")["counts"]["objects"].get(server_id, {})

    def accepted(self, server_id: str, action: str) -> int:
        """How often the cloud accepted an action on a server."""
        return self.actions(server_id).get(action, {}).get("accepted", 0)

    def counts(self) -> dict[str, Any]:
        """Counts of all requests since the last reset."""
        return self.call("GET", "requests")["counts"]

    def account(self, **columns: Any) -> CloudAccount:
        """A cloud account of the portal that leads here."""
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
        account.save()
        return account
