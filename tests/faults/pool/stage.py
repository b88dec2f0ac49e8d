"""The stage of the stories about pools: each begins with an empty cloud, full pools, and without a tenant's volume."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.core.cache import cache
from django.db import connection
from django.utils import timezone

from cloudaccounts import connect
from cloudaccounts.connect import open_cloud
from cloudaccounts.models import CloudAccount
from openstack_client.block_storage import BlockStorage
from tasks.models import EntityLock, Job, PollScope
from tenants.models import InformationSystem
from tenants.scoping import Role, Scope
from tests.factories import InformationSystemFactory, MembershipFactory
from tests.faults.killable_worker import Killed, Worker
from tests.simulated import SimulatedCloud
from vms.models import VirtualMachine, VMOperationLog
from volumepool.commands.spares import SpareCommand
from volumepool.models import Claim, OrphanVolume, SpareVolume, Volume, VolumePool, VolumeSnapshot
from volumepool.services import ClaimRequest, ClaimResult, backfill, claim_volumes, reconcile

from . import invariants

REGION = "RegionOne"
SIZE_GB, DESIRED = 2, 3
# How often pools are reconciled and filled before the test gives up.
MAX_ROUNDS = 5


@dataclass
class PoolStage:
    """A pool of empty volumes in the simulated cloud, and a tenant that claims from it."""

    cloud: SimulatedCloud
    account: CloudAccount
    scope: Scope
    system: InformationSystem
    pool: VolumePool
    worker: Worker
    changed: invariants.ExternallyChanged = field(default_factory=invariants.ExternallyChanged)

    @classmethod
    def of(cls, cloud: SimulatedCloud, account: CloudAccount, worker: Worker) -> PoolStage:
        """Create a stage for an account. Clear it before use."""
        member = MembershipFactory(role=Role.ADMIN)
        pool = VolumePool.objects.create(
            account=account,
            region=REGION,
            type="debian",
            size_gb=SIZE_GB,
            desired=DESIRED,
            max_in_flight=10,
        )
        scope = Scope(member.user, member.tenant, Role.ADMIN)
        return cls(cloud, account, scope, InformationSystemFactory(tenant=member.tenant), pool, worker)

    @property
    def cinder(self) -> BlockStorage:
        """Return the Cinder of the account."""
        return open_cloud(self.account, REGION).block_storage

    def clear(self, spares: int = DESIRED) -> None:
        """Empty the cloud, delete the volumes, and create this many spares."""
        for opened in connect._open_clouds.values():
            opened.cloud.close()
        connect._open_clouds.clear()
        cache.clear()
        self.cloud.reset()
        self.worker.armed, self.worker.on_point = None, None
        self.changed = invariants.ExternallyChanged()
        EntityLock.objects.all().delete()
        Job.objects.all().delete()
        for model in (PollScope, Claim, VMOperationLog, OrphanVolume, VolumeSnapshot, Volume, SpareVolume):
            model.objects.all().delete()
        VirtualMachine.objects.all().delete()
        VolumePool.objects.exclude(pk=self.pool.pk).delete()
        VolumePool.objects.update(
            desired=DESIRED, enabled=True, paused_until=None, pauses=0, last_error="", max_age_days=0
        )
        self.pool.refresh_from_db()
        for _ in range(spares):
            self.create_spare()
        self.worker.passed.clear()
        self.worker.deaths = 0
        self.cloud.call("DELETE", "requests")

    def create_spare(self, **columns: Any) -> SpareVolume:
        """Create a spare that can be claimed, as a backfill does."""
        pool: VolumePool = columns.pop("pool", self.pool)
        spare = SpareVolume(
            pool=pool,
            region=REGION,
            size_gb=pool.size_gb,
            image_id=pool.image_id,
            status=SpareVolume.Status.AVAILABLE,
            available_at=timezone.now(),
            **columns,
        )
        spare.name = f"spare-{pool.type}-{str(spare.pk)[:8]}"
        command = SpareCommand()
        command.spare_id = str(spare.pk)
        spare.volume_id = self.cinder.create_volume(
            name=spare.name,
            size_gb=spare.size_gb,
            image_id=pool.image_id or None,
            metadata=command.ownership_metadata(),
        ).id
        spare.save(force_insert=True)
        return spare

    def claim(self, count: int = 1, **more: Any) -> ClaimResult:
        """Claim volumes of the pool's type."""
        request = ClaimRequest(information_system=self.system.pk, type=self.pool.type, count=count, **more)
        return claim_volumes(scope=self.scope, request=request)

    def change_volume(self, volume_id: str | None, **columns: Any) -> None:
        """Change a volume in the cloud without the portal."""
        self.cloud.call("PATCH", f"volumes/{volume_id}", columns)

    def reconcile(self) -> None:
        """Reconcile the pool with the cloud."""
        reconcile(self.account.pk, REGION)

    def settle(self) -> list[str]:
        """End every fault, work until the pool is reconciled and full, and return a sentence for each violation then."""
        self.worker.armed, self.worker.on_point = None, None
        self.cloud.no_faults()
        wrong: list[str] = []
        for _ in range(MAX_ROUNDS):
            VolumePool.objects.update(paused_until=None)
            self.worker.settle()
            self.reconcile()
            for pool in VolumePool.objects.order_by("pk"):
                backfill(pool.pk)
            self.worker.settle()
            wrong = self.find_violations()
            if not wrong:
                break
        return wrong

    def find_violations(self) -> list[str]:
        """Return a sentence for each violation of an invariant."""
        return invariants.find_violations(self.cloud, self.changed)


@contextmanager
def dying_at_write(number: int) -> Iterator[list[str]]:
    """Die, as by SIGKILL, before the writing statement of this number. Give the statements that were reached.

    The block runs to its end if it has fewer statements.
    """
    reached: list[str] = []

    def count(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        if not sql.lstrip().upper().startswith(("SELECT", "SAVEPOINT", "RELEASE")):
            reached.append(" ".join(sql.split()[:4]))
            if len(reached) == number:
                raise Killed
        return execute(sql, params, many, context)

    try:
        with connection.execute_wrapper(count):
            yield reached
    except Killed:
        pass
