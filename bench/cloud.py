"""The simulator with the portal's account, and its servers as VMs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import requests

if TYPE_CHECKING:
    from cloudaccounts.models import CloudAccount
    from vms.models import VirtualMachine


def call_control_api(url: str, method: str, path: str, body: Any = None) -> Any:
    """Call the simulator's control API, and return its JSON."""
    answer = requests.request(method, f"{url}/_control/{path}", json=body, timeout=60)
    answer.raise_for_status()
    return answer.json()


def open_bare_session(url: str) -> tuple[requests.Session, dict[str, str]]:
    """Log in to project demo with a bare HTTP client, and return it with the public address of each type of service."""
    session = requests.Session()
    auth: Any = {
        "auth": {
            "identity": {
                "methods": ["password"],
                "password": {"user": {"name": "demo", "password": "demo", "domain": {"name": "Default"}}},
            },
            "scope": {"project": {"name": "demo", "domain": {"name": "Default"}}},
        }
    }
    answer = session.post(f"{url}/identity/v3/auth/tokens", json=auth, timeout=30)
    answer.raise_for_status()
    session.headers["X-Auth-Token"] = answer.headers["X-Subject-Token"]
    session.headers["OpenStack-API-Version"] = "compute 2.69"
    return session, {
        service["type"]: endpoint["url"]
        for service in answer.json()["token"]["catalog"]
        for endpoint in service["endpoints"]
        if endpoint["interface"] == "public"
    }


def create_account(url: str, name: str) -> CloudAccount:
    """Create an account of the portal for project demo of a simulator."""
    from cloudaccounts.models import CatalogueGrant, CloudAccount

    account = CloudAccount(
        name=name, auth_url=f"{url}/identity/v3", credential_kind="password", access_id="demo", project="demo"
    )
    account.set_secret("demo")
    account.save()
    for kind in ("flavor", "image", "network", "volume_type", "zone"):
        CatalogueGrant.objects.create(account=account, kind=kind, match="*")
    return account


def create_vms(url: str, name: str, count: int, **seed: object) -> list[VirtualMachine]:
    """Create this many servers in a fresh simulator, and adopt them as VMs of one information system."""
    from tenants.models import InformationSystem, Tenant
    from vms.models import VirtualMachine
    from vms.sync.adopted_servers import adopt_servers

    call_control_api(url, "POST", "seed", {"project": "demo", "servers": count, **seed})
    account = create_account(url, name)
    tenant, _created = Tenant.objects.get_or_create(slug="bench", defaults={"name": "Bench"})
    system, _created = InformationSystem.objects.get_or_create(tenant=tenant, name="Bench")
    adopted = adopt_servers(account=account, region="RegionOne", system_for=lambda n, name: system)
    assert adopted == count, adopted
    vms = VirtualMachine.objects.filter(account=account).order_by("name")
    return list(vms.select_related("account", "information_system__tenant"))
