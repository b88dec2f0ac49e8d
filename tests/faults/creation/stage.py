"""Where one story of a VM after another is told: each begins with an empty cloud and without any VM."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from django.core.cache import cache

from cloudaccounts import connect
from cloudaccounts.models import CloudAccount
from cloudaccounts.sync.resources import sync_resource
from tasks.models import EntityLock, Job, PollScope
from tenants.models import InformationSystem
from tenants.scoping import Role, Scope
from tests.factories import InformationSystemFactory, MembershipFactory, catalogue_types
from tests.simulated import SimulatedCloud
from vms.models import Orphan, VirtualMachine, VMOperationLog, VMSnapshot
from vms.services import create_vm
from volumepool.models import Volume

from . import invariants
from .worker import Worker

_ID = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}")


@dataclass
class Stage:
    """A tenant with an information system, and the simulated cloud of its account."""

    cloud: SimulatedCloud
    account: CloudAccount
    scope: Scope
    system: InformationSystem
    before: dict[str, set[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, cloud: SimulatedCloud, account: CloudAccount) -> Stage:
        """A stage for an account, whose catalogue is read first."""
        for type_code in catalogue_types():
            log = sync_resource(account.pk, type_code)
            assert log.state == "success", log.message
        member = MembershipFactory(role=Role.ADMIN)
        scope = Scope(member.user, member.tenant, Role.ADMIN)
        return cls(cloud, account, scope, InformationSystemFactory(tenant=member.tenant))

    def clear(self) -> None:
        """An empty cloud, in which the catalogue has the same ids as ever, and no VM; nobody is logged in."""
        for opened in connect._open_clouds.values():
            opened.cloud.close()
        connect._open_clouds.clear()
        cache.clear()
        self.cloud.reset()
        EntityLock.objects.all().delete()
        Job.objects.all().delete()
        for rows in (PollScope, VMOperationLog, Orphan, VMSnapshot, Volume, VirtualMachine):
            rows.objects.all().delete()
        self.before = invariants.ids_in(self.cloud)

    def create(self, *, boot_volume: bool = False, name: str = "shop", **fields: Any) -> Job:
        """Ask for a VM, as a person does; its job."""
        wish = {
            "information_system": self.system.pk,
            "name": name,
            "cpu_cores": 2,
            "memory_gb": 4,
            "disk_gb": 40,
            "os_type": "ubuntu",
            "boot_volume": boot_volume,
            **fields,
        }
        job = create_vm(scope=self.scope, params=wish).job
        assert job is not None
        return job

    def made(self, worker: Worker, *, boot_volume: bool = False, name: str = "shop") -> VirtualMachine:
        """A VM that was created without trouble."""
        job = self.create(boot_volume=boot_volume, name=name)
        worker.settle()
        job.refresh_from_db()
        assert job.status == "succeeded", job.outcome_message
        return VirtualMachine.objects.get(pk=job.entity_id)

    def broken(self) -> dict[str, list[str]]:
        """The invariants that do not hold now."""
        return invariants.broken(self.cloud, self.system.tenant, self.before)

    def servers(self) -> list[dict[str, Any]]:
        """What servers the portal has in the cloud."""
        found = invariants.things_in(self.cloud)["servers"]
        return [server for key, server in found.items() if key not in self.before["servers"]]

    def requests(self) -> list[dict[str, Any]]:
        """The fault rules that strike each request that was made since the stage was cleared, in their order."""
        rules = []
        for asked in self.cloud.call("GET", "requests")["requests"]:
            path = "[^/]+".join(re.escape(part) for part in _ID.split(asked["path"]))
            rule = {"method": asked["method"], "path": f"{path}$"}
            if rule not in rules and "_control" not in path:
                rules.append(rule)
        return rules
