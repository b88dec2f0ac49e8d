"""The objects of a storm: a tenant, its users, and VMs that are bound to servers of the simulated cloud."""

from __future__ import annotations

from dataclasses import dataclass
from secrets import token_hex
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.faults.framework.servers import Servers

from .plan import BYSTANDERS, Plan
from .planted_secrets import PlantedSecrets, create_application_credential
from .visitors import PASSWORD, WRONG_PASSWORD

REGION = "RegionOne"
# Long enough for a kill to meet an action in progress, and short enough for many actions in a few minutes.
ACTION_SECONDS = 0.8


@dataclass(frozen=True, slots=True)
class Vm:
    """A VM, its server, and Nova's status of that when the storm began."""

    id: str
    server: str
    initial_status: str


@dataclass(frozen=True, slots=True)
class Scene:
    """The objects of a storm. `cloud` is `tests.simulated.SimulatedCloud`."""

    cloud: Any
    account: Any
    vms: list[Vm]
    # VMs that no user clicks on. Their servers are changed without the portal.
    bystanders: list[Vm]
    tokens: list[str]


def set_scene(servers: Servers, plan: Plan, *, bystanders: int = BYSTANDERS) -> Scene:
    """Fill the database and the cloud."""
    from django.core.management import call_command

    from api.models import ApiToken
    from tenants.models import InformationSystem, Membership, Tenant, User
    from tenants.scoping import Role
    from tests.simulated import SimulatedCloud
    from vms.models import VirtualMachine
    from vms.sync.adopted_servers import adopt_servers

    call_command("write_schedules", verbosity=0, stdout=(servers.folder / "schedules.log").open("w"))
    cloud = SimulatedCloud(servers.cloud_url, f"{servers.cloud_url}/identity/v3")
    cloud.clock(action_seconds=ACTION_SECONDS)
    account = cloud.account()
    tenant = Tenant.objects.create(slug="storm", name="Storm")
    system = InformationSystem.objects.create(tenant=tenant, name="Storm")
    tokens = []
    for number in range(plan.users):
        user = User.objects.create_user(f"storm-{number}")
        Membership.objects.create(user=user, tenant=tenant, role=Role.OPERATOR)
        tokens.append(ApiToken.objects.create(user=user, name="storm", expiry=None)[1])
    half = plan.vms // 2
    initial = dict.fromkeys(cloud.seed(half, status="SHUTOFF"), "SHUTOFF")
    initial |= dict.fromkeys(cloud.seed(plan.vms - half), "ACTIVE")
    bystander_servers = cloud.seed(bystanders, name_prefix="bystander") if bystanders else []
    adopt_servers(account=account, region=REGION, system_for=lambda n, name: system)
    cloud.call("DELETE", "requests")
    ids = {vm.openstack_id: str(vm.pk) for vm in VirtualMachine.objects.all()}
    return Scene(
        cloud=cloud,
        account=account,
        vms=[Vm(ids[server], server, status) for server, status in initial.items()],
        bystanders=[Vm(ids[server], server, "ACTIVE") for server in bystander_servers],
        tokens=tokens,
    )


def plant_secrets(scene: Scene, servers: Servers, planted: PlantedSecrets) -> None:
    """Give the portal secrets of every kind that it keeps, and remember those that it has already."""
    from deploys.models import DeployKey
    from tenants.models import Tenant
    from vms.models import UserDataTemplate

    planted.add_all({f"API token {number}": token for number, token in enumerate(scene.tokens)})
    planted.add("password of PostgreSQL", servers.postgres.password)
    planted.add("password of Valkey", servers.valkey.password)
    planted.add("a person's password", PASSWORD)
    planted.add("a password that was typed by mistake", WRONG_PASSWORD)
    account = scene.account
    secret = planted.add("secret of the cloud account", f"canary-cloud-secret-{token_hex(16)}")
    account.credential_kind = account.CredentialKind.APPLICATION_CREDENTIAL
    account.access_id = create_application_credential(servers.cloud_url, secret)
    account.set_secret(secret)
    account.save()
    tenant = Tenant.objects.get(slug="storm")
    key = DeployKey(tenant=tenant)
    private = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    key.set_private_key(private.decode())
    key.save()
    # The lines in the middle hold the key itself.
    planted.add("private deploy key", private.decode().splitlines()[2])
    template = UserDataTemplate(tenant=tenant, name="canary")
    template.set_text(f"#!/bin/sh\n# {planted.add('user data', f'canary-user-data-{token_hex(16)}')}\n")
    template.save()
