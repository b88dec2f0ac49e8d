import hashlib
import json
import os
import urllib.request
from datetime import timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.utils import timezone

from api.deferral import DeferredError
from approvals.models import ApprovalPolicy, ApprovalRequest
from approvals.quota_requests import change_quota
from cloudaccounts.connect import fill_from_clouds_yaml
from cloudaccounts.models import SERVER_GROUP_POLICIES, CatalogueGrant, CatalogueKind, CloudAccount
from cloudaccounts.registry import list_synced_types
from cloudaccounts.services import verify_account
from cloudaccounts.services.catalogue import grant_common_kinds
from cloudaccounts.sync.resources import sync_resource
from deploys.models import Host, MicroService, MicroServiceInstance, MicroServiceVersion
from tenants.models import InformationSystem, Membership, Tenant, User
from tenants.scoping import Role, Scope
from vms.models import SSHKey, UsageSample, UserDataTemplate, VirtualMachine
from vms.services.ssh_keys import add_ssh_key
from vms.services.usage import record_usage
from vms.services.user_data_templates import add_template
from vms.sync.adopted_servers import adopt_servers
from volumepool.services.pools import seed_pools

MEMBERS = {
    "acme": {"alice": Role.ADMIN, "oscar": Role.OPERATOR, "vera": Role.VIEWER, "bruno": Role.OPERATOR},
    "globex": {"gina": Role.ADMIN, "bruno": Role.OPERATOR},
}
# By tenant and information system: the servers that the simulator gets, as (name prefix, count, status).
SYSTEMS = {
    ("acme", "Web shop"): [("shop-web", 40, "ACTIVE"), ("shop-db", 20, "SHUTOFF")],
    ("acme", "Warehouse"): [("warehouse", 40, "ACTIVE"), ("warehouse-test", 20, "SHUTOFF")],
    ("globex", "Portal"): [("portal", 40, "ACTIVE"), ("portal-test", 20, "SHUTOFF")],
    ("globex", "Archive"): [("archive", 20, "SHUTOFF")],
}


QUOTAS = {"quota_vms": 200, "quota_cpu_cores": 400, "quota_memory_gb": 512, "quota_disk_gb": 4096}
# The length of the made-up history of what tenants use, so that the charts show something on the first day.
HISTORY_HOURS = 14 * 24

# Pools of the simulated cloud only, because pools of a real cloud cost money.
POOLS: dict[str, dict[str, Any]] = {
    "igw": {"size_gb": 10, "snapshot_prefix": "igw-", "desired": 3},
    "data": {"size_gb": 20, "desired": 4},
}
# Versions of the demo's service: the first one runs, and the deployment of the last one fails.
LABELS = ("1.0", "1.1", "2.0", "2.1-broken")


class Command(BaseCommand):
    """Create tenants, users, a cloud account and VMs to try the portal with. A repetition creates only what is missing.

    DEMO_PASSWORD is the password of all users; SIMULATOR_PORT is the port of the simulator.
    With OS_CLOUD, the account is that cloud of clouds.yaml, and the VMs are its servers.
    """

    help = __doc__ or ""

    def handle(self, *args: Any, **options: Any) -> None:
        """Create everything that is missing."""
        if settings.PRODUCTION:
            raise CommandError(
                "PORTAL_ENV is 'production': the demo's users have a password that everybody knows. "
                "Make an administrator with `manage.py createsuperuser`."
            )
        with transaction.atomic():
            systems = self.create_users_and_systems(os.environ.get("DEMO_PASSWORD", "demo"))
            self.create_key_and_template(Tenant.objects.get(slug="acme"))
            self.create_service(systems["acme", "Web shop"])
            self.create_approvals(Tenant.objects.get(slug="acme"))
        if not (settings.OS_CLOUD or self.find_simulator()):
            self.stdout.write("No cloud: enter an account in the admin.")
            return
        account, region, is_new = self.create_account()
        if is_new and not settings.OS_CLOUD:
            self.seed_cloud()
        # Synced in this process, so that forms have choices as soon as the portal is up. The workers verify the account.
        for type_code in list_synced_types(account):
            sync_resource(account.pk, type_code)
        if account.last_verified_at is None:
            admin = User.objects.get(username="admin")
            verify_account(scope=Scope(admin, None, Role.ADMIN), account_id=account.pk)
        adopted = adopt_servers(
            account=account, region=region, system_for=lambda n, name: self.find_system(systems, n, name)
        )
        if not settings.OS_CLOUD:
            place = {"account": account.name, "region": region}
            seed_pools({name: {**place, **pool} for name, pool in POOLS.items()})
            self.create_usage_history()
        self.stdout.write(
            f"{VirtualMachine.objects.count()} VMs ({adopted} new), {len(systems)} information systems"
        )

    def create_users_and_systems(self, password: str) -> dict[tuple[str, str], InformationSystem]:
        """Create users, tenants, memberships and information systems; return the systems."""
        self.create_user("admin", password, is_staff=True, is_superuser=True)
        systems = {}
        for slug, members in MEMBERS.items():
            tenant, _created = Tenant.objects.get_or_create(
                slug=slug, defaults={"name": slug.capitalize(), **QUOTAS}
            )
            for username, role in members.items():
                user = self.create_user(username, password)
                Membership.objects.get_or_create(user=user, tenant=tenant, defaults={"role": role})
        for slug, name in SYSTEMS:
            systems[slug, name], _created = InformationSystem.objects.get_or_create(
                tenant=Tenant.objects.get(slug=slug), name=name
            )
        return systems

    def create_key_and_template(self, tenant: Tenant) -> None:
        """Create a key of Alice's and a template of user data. Nobody has the private key."""
        scope = Scope(User.objects.get(username="alice"), tenant, Role.ADMIN)
        if not SSHKey.objects.filter(user=scope.user).exists():
            public = Ed25519PrivateKey.generate().public_key()
            text = public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
            add_ssh_key(scope=scope, name="alice@laptop", public_key=text)
        if not UserDataTemplate.objects.filter(tenant=tenant).exists():
            add_template(scope=scope, name="Web server", text="#cloud-config\npackages: [nginx]\n")

    def create_approvals(self, tenant: Tenant) -> None:
        """Create a policy for large VMs, and a request of Alice's for a higher quota, which waits for the administrator."""
        ApprovalPolicy.objects.get_or_create(
            tenant=tenant,
            name="Large VMs",
            defaults={"commands": ["vms.create"], "min_cpu_cores": 8, "level1_role": "operator"},
        )
        if ApprovalRequest.objects.filter(tenant=tenant).exists():
            return
        scope = Scope(User.objects.get(username="alice"), tenant, Role.ADMIN)
        try:
            change_quota(scope=scope, quotas={"cpu_cores": 600}, reason="The shop needs more for the season.")
        except DeferredError as held:
            held.store()

    def create_usage_history(self) -> None:
        """Create samples of past hours that lead up to the present use, with fewer VMs running at night."""
        if UsageSample.objects.exists():
            return
        record_usage()
        history = []
        for now in list(UsageSample.objects.all()):
            for hours in range(1, HISTORY_HOURS):
                at = now.at - timedelta(hours=hours)
                grown = 1 - 0.35 * hours / HISTORY_HOURS
                vms = round(now.vms * grown)
                running = round(now.running * grown * (1 if 6 <= at.hour < 20 else 0.8))
                history.append(
                    UsageSample(
                        tenant_id=now.tenant_id,
                        at=at,
                        vms=vms,
                        cpu_cores=round(now.cpu_cores * grown),
                        memory_gb=round(now.memory_gb * grown),
                        disk_gb=round(now.disk_gb * grown),
                        running=running,
                        stopped=max(0, vms - running),
                        error=0,
                    )
                )
        UsageSample.objects.bulk_create(history, ignore_conflicts=True)

    def create_service(self, system: InformationSystem) -> None:
        """Create a service with its first version on four hosts and newer versions, if the installation has the demo program.

        The demo program only simulates a deployment.
        """
        if (
            "demo" not in settings.DEPLOY_PROGRAMS
            or MicroService.objects.filter(information_system=system).exists()
        ):
            return
        service = MicroService.objects.create(
            information_system=system,
            name="checkout",
            language="Python",
            description="Takes orders and payments.",
            folder="/srv/checkout",
            port=8080,
            executor="command",
            executor_settings={"program": "demo"},
            last_number=len(LABELS),
        )
        versions = [
            MicroServiceVersion.objects.create(
                service=service,
                label=label,
                number=number,
                build_status=MicroServiceVersion.BuildStatus.SUCCESS,
                artifact_url=f"https://artifacts.example.org/checkout/{label}.tar.gz",
                sha256=hashlib.sha256(label.encode()).hexdigest(),
                built_at=timezone.now(),
            )
            for number, label in enumerate(LABELS, start=1)
        ]
        for number in range(1, 5):
            name = f"checkout-{number}"
            MicroServiceInstance.objects.create(
                service=service,
                version=versions[0],
                host=Host.objects.create(tenant=system.tenant, hostname=name, ip=f"10.20.0.{number}"),
                port=8080,
                status=MicroServiceInstance.Status.RUNNING,
            )

    def create_user(self, username: str, password: str, **flags: bool) -> User:
        """Return a user, created if missing. An existing user keeps the password."""
        return User.objects.filter(username=username).first() or User.objects.create_user(
            username, f"{username}@example.org", password, **flags
        )

    def create_account(self) -> tuple[CloudAccount, str, bool]:
        """Return the demo's cloud account, its region, and whether it is new."""
        name = settings.OS_CLOUD or "simulator"
        account = CloudAccount.objects.filter(name=name).first()
        is_new = account is None
        account = account or CloudAccount(name=name)
        region = "RegionOne"
        if settings.OS_CLOUD:
            region = fill_from_clouds_yaml(account, settings.OS_CLOUD) or region
        else:
            account.auth_url = f"{self.find_simulator()}/identity/v3"
            account.credential_kind = CloudAccount.CredentialKind.PASSWORD
            account.access_id, account.project = "demo", "demo"
            account.set_secret("demo")
        account.save()
        if is_new:
            grant_common_kinds(account=account, user=None)
            for kind in (CatalogueKind.NETWORK, CatalogueKind.EXTERNAL_NETWORK):
                CatalogueGrant.objects.create(account=account, kind=kind, match="*", note="Demo")
            for policy in SERVER_GROUP_POLICIES:
                CatalogueGrant.objects.create(
                    account=account, kind=CatalogueKind.SERVER_GROUP_POLICY, cloud_id=policy, note="Demo"
                )
        return account, region, is_new

    def find_simulator(self) -> str:
        """Return the URL of the simulator; empty when there is none (`make up-nosim`)."""
        port = os.environ.get("SIMULATOR_PORT", "5050")
        return f"http://127.0.0.1:{port}" if port else ""

    def seed_cloud(self) -> None:
        """Create the servers of the demo in the simulator, and a router, security groups and floating IPs."""
        for batches in SYSTEMS.values():
            for prefix, count, status in batches:
                self.request_seed({"servers": count, "name_prefix": prefix, "status": status})
        self.request_seed({"reachable": True})

    def request_seed(self, wanted: dict[str, object]) -> None:
        """Create objects in the project of the demo."""
        request = urllib.request.Request(  # noqa: S310 - always http, on loopback.
            f"{self.find_simulator()}/_control/seed",
            data=json.dumps({"project": "demo", **wanted}).encode(),
            headers={"Content-Type": "application/json"},
        )
        urllib.request.urlopen(request, timeout=30).close()  # noqa: S310 - as above.

    def find_system(
        self, systems: dict[tuple[str, str], InformationSystem], number: int, name: str
    ) -> InformationSystem | None:
        """Return the system for a server by its name. Other servers of a real cloud are distributed among all systems."""
        for key, batches in SYSTEMS.items():
            if any(name.rpartition("-")[0] == prefix for prefix, _count, _status in batches):
                return systems[key]
        return list(systems.values())[number % len(systems)] if settings.OS_CLOUD else None
