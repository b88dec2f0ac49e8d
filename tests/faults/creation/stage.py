"""The stage of the stories about VMs: each story begins with an empty cloud and without any VM."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from django.core.cache import cache

from cloudaccounts import connect
from cloudaccounts.models import CloudAccount, CloudResource
from cloudaccounts.sync.resources import sync_resource
from tasks.models import EntityLock, Job, PollScope
from tenants.models import InformationSystem
from tenants.scoping import Role, Scope
from tests.catalogue import sync_catalogue
from tests.factories import InformationSystemFactory, MembershipFactory
from tests.faults.killable_worker import Worker
from tests.network_factories import SecurityGroupFactory
from tests.simulated import SimulatedCloud
from vms.models import Orphan, VirtualMachine, VMOperationLog, VMSnapshot
from vms.services import create_vm
from vms.services.ssh_keys import add_ssh_key
from volumepool.models import Volume

from . import invariants

# The public half of a key whose private half was thrown away.
PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDIaQ8dqcV/qKuGiR0YnUIeSYFqqo1G7jFqkx9CJnNvL campaign"
UUID_PATTERN = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}")


@dataclass
class Stage:
    """A tenant with an information system, and the simulated cloud of its account."""

    cloud: SimulatedCloud
    account: CloudAccount
    scope: Scope
    system: InformationSystem
    before: dict[str, set[str]] = field(default_factory=dict)
    # What VMs with logins and networks are created with; see `prepare_reach`.
    reach: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, cloud: SimulatedCloud, account: CloudAccount) -> Stage:
        """Create a stage for an account, and sync the resources of that."""
        sync_catalogue(account)
        member = MembershipFactory(role=Role.ADMIN)
        scope = Scope(member.user, member.tenant, Role.ADMIN)
        return cls(cloud, account, scope, InformationSystemFactory(tenant=member.tenant))

    def prepare_reach(self) -> None:
        """Connect the cloud's internal network to its external one, and give the tenant a key and a security group."""
        self.cloud.call("POST", "seed", {"project": "demo", "servers": 0, "reachable": True})
        for type_code in ("network", "subnet", "port"):
            log = sync_resource(self.account.pk, type_code)
            assert log.state == "success", log.message
        external = CloudResource.objects.get(
            account=self.account, type="network", attributes__is_external=True
        )
        key = add_ssh_key(scope=self.scope, name="laptop", public_key=PUBLIC_KEY)
        groups = self.cloud.call("GET", "objects")["security_groups"]
        in_cloud = next(group for group in groups if group["name"] != "default")
        group = SecurityGroupFactory(
            tenant=self.system.tenant, account=self.account, cloud_id=in_cloud["id"], name=in_cloud["name"]
        )
        self.reach = {
            "ssh_keys": [key.pk],
            "user_data": "#!/bin/sh\ntrue\n",
            "security_groups": [group.pk],
            "floating_network": external.cloud_id,
        }

    def clear(self) -> None:
        """Empty the cloud, delete the VMs and their jobs, and log out. The resources keep their ids."""
        for opened in connect._open_clouds.values():
            opened.cloud.close()
        connect._open_clouds.clear()
        cache.clear()
        self.cloud.reset()
        EntityLock.objects.all().delete()
        Job.objects.all().delete()
        for model in (PollScope, VMOperationLog, Orphan, VMSnapshot, Volume, VirtualMachine):
            model.objects.all().delete()
        self.before = invariants.ids_in(self.cloud)

    def request_vm(self, *, boot_volume: bool = False, name: str = "shop", **fields: Any) -> Job:
        """Request a VM, as a user does, and return its job."""
        params = {
            "information_system": self.system.pk,
            "name": name,
            "cpu_cores": 2,
            "memory_gb": 4,
            "disk_gb": 40,
            "os_type": "ubuntu",
            "boot_volume": boot_volume,
            **fields,
        }
        job = create_vm(scope=self.scope, params=params).job
        assert job is not None
        return job

    def create_vm(self, worker: Worker, *, boot_volume: bool = False, name: str = "shop") -> VirtualMachine:
        """Create a VM without any fault, and return it."""
        job = self.request_vm(boot_volume=boot_volume, name=name)
        worker.settle()
        job.refresh_from_db()
        assert job.status == "succeeded", job.outcome_message
        return VirtualMachine.objects.get(pk=job.entity_id)

    def find_violations(self) -> dict[str, list[str]]:
        """Return the violations of the invariants that do not hold now."""
        return invariants.find_violations(self.cloud, self.system.tenant, self.before)

    def list_new_servers(self) -> list[dict[str, Any]]:
        """Return the servers that the portal has created in the cloud."""
        servers = invariants.objects_in(self.cloud)["servers"]
        return [server for key, server in servers.items() if key not in self.before["servers"]]

    def list_request_rules(self) -> list[dict[str, Any]]:
        """Return a fault rule for each request that was sent since the log was emptied, in their order."""
        rules = []
        for request in self.cloud.call("GET", "requests")["requests"]:
            path = "[^/]+".join(re.escape(part) for part in UUID_PATTERN.split(request["path"]))
            rule = {"method": request["method"], "path": f"{path}$"}
            if rule not in rules and "_control" not in path:
                rules.append(rule)
        return rules
