"""The simulated cloud of the portal under test, changed from outside as by its administrators."""

from __future__ import annotations

from typing import Any

import requests

TIMEOUT = 30


class Cloud:
    """A client of the simulator: of its control API, and of Keystone as the user of the project "other"."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.auth_url = f"{address}/identity/v3"

    def control(self, path: str, **body: Any) -> None:
        """Change the cloud by its control API, as `failing_builds` does for the next server."""
        requests.post(f"{self.address}/_control/{path}", json=body, timeout=TIMEOUT).raise_for_status()

    def create_credential(self, name: str) -> dict[str, str]:
        """Create an application credential; return its id and secret."""
        answer = self._keystone("POST", json={"application_credential": {"name": name}})
        credential: dict[str, str] = answer.json()["application_credential"]
        return credential

    def revoke_credential(self, credential_id: str) -> None:
        """Delete an application credential, and end the tokens that were issued for it."""
        self._keystone("DELETE", credential_id)
        requests.delete(f"{self.address}/_control/tokens", timeout=TIMEOUT).raise_for_status()

    def _keystone(self, method: str, credential_id: str = "", **options: Any) -> requests.Response:
        user = {"name": "other", "password": "other", "domain": {"id": "default"}}
        scope = {"project": {"name": "other", "domain": {"id": "default"}}}
        identity = {"methods": ["password"], "password": {"user": user}}
        signed_in = requests.post(
            f"{self.auth_url}/auth/tokens",
            json={"auth": {"identity": identity, "scope": scope}},
            timeout=TIMEOUT,
        )
        signed_in.raise_for_status()
        token, user_id = signed_in.headers["X-Subject-Token"], signed_in.json()["token"]["user"]["id"]
        url = f"{self.auth_url}/users/{user_id}/application_credentials"
        answer = requests.request(
            method,
            f"{url}/{credential_id}".rstrip("/"),
            headers={"X-Auth-Token": token},
            timeout=TIMEOUT,
            **options,
        )
        answer.raise_for_status()
        return answer
