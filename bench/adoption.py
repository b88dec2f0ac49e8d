"""Adoption of 200 servers with a volume each by one rule, in one request, compared with one of 20.

The servers are in the simulator, and in the inventory by a real sync. Both requests have the same number of statements; the
tenant's quota has room for exactly what the rule finds, and for one server less it is refused whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .cloud import call_control_api, create_account
from .figures import Figure, Line, Note, measure
from .stack import Stack
from .statements import Statements, count_statements

if TYPE_CHECKING:
    from rest_framework.test import APIClient

FEW, MANY = 20, 200
SECONDS = 1.0
TYPES = ("flavor", "image", "network", "volume", "server")


def measure_adoption(stack: Stack) -> list[Line]:
    """Measure a request that adopts by rule, and check what it adopts and what the quota refuses."""
    from rest_framework.test import APIClient

    from cloudaccounts.sync.resources import sync_resource
    from tenants.models import InformationSystem, Membership, Tenant, User
    from tenants.scoping import Role

    url = stack.start_simulator()
    tenant = Tenant.objects.create(name="Adoption", slug="adoption", quota_vms=FEW + MANY)
    user = User.objects.create_user("adoption")
    Membership.objects.create(user=user, tenant=tenant, role=Role.ADMIN)
    system = InformationSystem.objects.create(tenant=tenant, name="Shop")
    for prefix, count in (("few", FEW), ("many", MANY)):
        wish = {"project": "demo", "name_prefix": prefix}
        volumes = call_control_api(url, "POST", "seed", {**wish, "volumes": count})["volumes"]
        raw = [{"os-extended-volumes:volumes_attached": [{"id": volume}]} for volume in volumes]
        call_control_api(url, "POST", "seed", {**wish, "raw": {"servers": raw}})
    account = create_account(url, "adoption")
    account.tenant = tenant
    account.save(update_fields=["tenant"])
    for type_code in TYPES:
        log = sync_resource(account.pk, type_code)
        if log is None or log.state != "success":
            raise RuntimeError(f"The sync of {type_code} failed: {log and log.message}")
    client = APIClient()
    client.force_authenticate(user)
    path = f"/api/v1/cloud-accounts/{account.pk}/adopt/"
    wish = {"information_system": str(system.pk)}

    few = _adopt(client, path, {**wish, "rule": {"name": "few*"}}, FEW)[1]
    rule = {**wish, "rule": {"name": "many*"}}
    dry = measure(lambda: client.post(path, {**rule, "dry_run": True}, format="json"))
    tenant.quota_vms = FEW + MANY - 1
    tenant.save(update_fields=["quota_vms"])
    refused = client.post(path, rule, format="json")
    if refused.status_code != 409 or _count_rows() != (FEW, FEW):
        raise RuntimeError(f"With room for one server less: {refused.status_code}, rows {_count_rows()}.")
    tenant.quota_vms = FEW + MANY
    tenant.save(update_fields=["quota_vms"])
    seconds, many = _adopt(client, path, rule, MANY)
    if _count_rows() != (FEW + MANY, FEW + MANY):
        raise RuntimeError(f"Adopted are {_count_rows()} VMs and volumes.")
    return [
        Note(f"{FEW} servers: statements", str(few), few.round_trips),
        Note(f"{MANY} servers: statements", str(many), many.round_trips),
        Figure(
            "statements, many to few",
            str(many.round_trips),
            str(few.round_trips),
            many.round_trips / few.round_trips,
            1.0,
            "at most",
        ),
        Note(f"{MANY} servers: dry run", f"{dry * 1000:.0f} ms", dry),
        Figure(
            f"{MANY} servers: request",
            f"{seconds * 1000:.0f} ms",
            f"{SECONDS * 1000:.0f} ms",
            seconds / SECONDS,
            1.0,
            "at most",
        ),
    ]


def _adopt(client: APIClient, path: str, body: dict[str, Any], expected: int) -> tuple[float, Statements]:
    """Adopt, and return the seconds and the statements of the request. Raises RuntimeError if the count is another one."""
    answers: list[Any] = []
    seconds: list[float] = []

    def send() -> None:
        seconds.append(measure(lambda: answers.append(client.post(path, body, format="json"))))

    statements = count_statements(send)
    (answer,) = answers
    if answer.status_code != 201 or answer.json()["adopted"] != expected:
        raise RuntimeError(
            f"Expected were {expected} servers; the answer is {answer.status_code}: {answer.content[:500]!r}"
        )
    return seconds[0], statements


def _count_rows() -> tuple[int, int]:
    from vms.models import VirtualMachine
    from volumepool.models import Volume

    return VirtualMachine.objects.count(), Volume.objects.count()
