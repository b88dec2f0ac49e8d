"""Where one story of a pool after another is told: each begins with an empty cloud, full pools, and no tenant's volume."""

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
from tests.faults.creation.worker import Killed, Worker
from tests.simulated import SimulatedCloud
from vms.models import VirtualMachine, VMOperationLog
from volumepool.commands.spares import SpareCommand
from volumepool.models import Claim, OrphanVolume, SpareVolume, Volume, VolumePool, VolumeSnapshot
from volumepool.services import ClaimRequest, ClaimResult, backfill, claim_volumes, reconcile

from . import invariants

REGION = "RegionOne"
SIZE_GB, DESIRED = 2, 3
# So often everything is compared and filled before it is said that it does not settle.
ROUNDS = 5


@dataclass
class PoolStage:
    """A pool of empty volumes in the simulated cloud, and a tenant that claims from it."""

    cloud: SimulatedCloud
    account: CloudAccount
    scope: Scope
    system: InformationSystem
    pool: VolumePool
    hands: Worker
    done: invariants.BehindOurBack = field(default_factory=invariants.BehindOurBack)

    @classmethod
    def of(cls, cloud: SimulatedCloud, account: CloudAccount, hands: Worker) -> PoolStage:
        """A stage for an account, not yet cleared."""
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
        return cls(cloud, account, scope, InformationSystemFactory(tenant=member.tenant), pool, hands)

    @property
    def cinder(self) -> BlockStorage:
        """The Cinder that all is in."""
        return open_cloud(self.account, REGION).block_storage

    def clear(self, spares: int = DESIRED) -> None:
        """An empty cloud, no volume, and a pool with so many spares."""
        for opened in connect._open_clouds.values():
            opened.cloud.close()
        connect._open_clouds.clear()
        cache.clear()
        self.cloud.reset()
        self.hands.armed, self.hands.at_point = None, None
        self.done = invariants.BehindOurBack()
        EntityLock.objects.all().delete()
        Job.objects.all().delete()
        for rows in (PollScope, Claim, VMOperationLog, OrphanVolume, VolumeSnapshot, Volume, SpareVolume):
            rows.objects.all().delete()
        VirtualMachine.objects.all().delete()
        VolumePool.objects.exclude(pk=self.pool.pk).delete()
        VolumePool.objects.update(
            desired=DESIRED, enabled=True, paused_until=None, pauses=0, last_error="", max_age_days=0
        )
        self.pool.refresh_from_db()
        for _ in range(spares):
            self.spare()
        self.hands.passed.clear()
        self.hands.deaths = 0
        self.cloud.call("DELETE", "requests")

    def spare(self, **columns: Any) -> SpareVolume:
        """A spare that is ready, as a backfill would have made it."""
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
        """Ask for volumes of the pool's type."""
        wanted = ClaimRequest(information_system=self.system.pk, type=self.pool.type, count=count, **more)
        return claim_volumes(scope=self.scope, request=wanted)

    def change(self, volume_id: str | None, **columns: Any) -> None:
        """Change a volume behind the portal's back."""
        self.cloud.call("PATCH", f"volumes/{volume_id}", columns)

    def reconcile(self) -> None:
        """Compare the pool with the cloud."""
        reconcile(self.account.pk, REGION)

    def settle(self) -> None:
        """Let everything come to rest, nothing disturbing it any more."""
        self.hands.armed, self.hands.at_point = None, None
        self.cloud.no_faults()
        for _ in range(ROUNDS):
            VolumePool.objects.update(paused_until=None)
            self.hands.settle()
            self.reconcile()
            for pool in VolumePool.objects.order_by("pk"):
                backfill(pool.pk)
            self.hands.settle()
            if not self.broken():
                return

    def broken(self) -> list[str]:
        """What does not hold now."""
        return invariants.broken(self.cloud, self.done)


@contextmanager
def dying_at_write(number: int) -> Iterator[list[str]]:
    """Die, as if by kill -9, before the so-many-th statement that writes: at every commit and in every transaction.

    The statements that were reached are in what it gives; nobody dies when there are fewer.
    """
    seen: list[str] = []

    def count(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        if not sql.lstrip().upper().startswith(("SELECT", "SAVEPOINT", "RELEASE")):
            seen.append(" ".join(sql.split()[:4]))
            if len(seen) == number:
                raise Killed
        return execute(sql, params, many, context)

    try:
        with connection.execute_wrapper(count):
            yield seen
    except Killed:
        pass
