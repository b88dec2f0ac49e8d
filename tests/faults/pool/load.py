"""The load of the pool campaign: requests to claim, extend, copy, boot from and remove volumes, and to cancel.

A seeded generator chooses each request from what exists at that moment. Rejected requests are counted. The answer to every
claim is kept, to be compared with the volumes at the end.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Any
from uuid import UUID

from django.db.models import F

from api.domain_errors import DomainError, NotFoundError
from cloudaccounts.models import CloudAccount, CloudResource
from tasks import engine
from tasks.models import IN_FLIGHT, Job
from tenants.models import InformationSystem
from tenants.scoping import Role, Scope
from tests.catalogue import sync_catalogue
from tests.factories import InformationSystemFactory, MembershipFactory
from tests.simulated import SimulatedCloud
from vms.models import VirtualMachine
from vms.services import create_vm, remove_vm
from volumepool.models import SpareVolume, Volume, VolumePool, VolumeSnapshot
from volumepool.services import (
    ClaimRequest,
    ClaimResult,
    claim_volumes,
    extend_volume,
    remove_snapshot,
    remove_volume,
    take_snapshot,
)

from .external_changes import GOLDEN, change_object
from .stage import REGION

# The kinds of jobs that are cancelled.
CANCELLED = {"volumepool.provide_volumes", "vms.create"}


@dataclass(frozen=True)
class ClaimingTenant:
    """A tenant that claims volumes for its information system."""

    scope: Scope
    system: InformationSystem

    @classmethod
    def create(cls) -> ClaimingTenant:
        """Create a tenant with an administrator."""
        member = MembershipFactory(role=Role.ADMIN)
        scope = Scope(member.user, member.tenant, Role.ADMIN)
        return cls(scope, InformationSystemFactory(tenant=member.tenant))

    def list_free_volumes(self) -> list[Volume]:
        """Return the volumes that are attached to no VM, the oldest first."""
        free = Volume.objects.filter(information_system=self.system, vm=None).exclude(volume_id=None)
        return list(free.order_by("created_at"))


@dataclass(frozen=True)
class ClaimAnswer:
    """The answer to a claim: one row for each volume, and the job that provides them, if one is needed."""

    count: int
    volume_pks: list[UUID]
    job_pk: UUID | None


def create_pools(cloud: SimulatedCloud, account: CloudAccount | None = None) -> CloudAccount:
    """Give an account, or a new one, a pool of empty volumes, one of an image and one of a snapshot, and return the account."""
    account = account or cloud.account()
    sync_catalogue(account)
    images = CloudResource.objects.present().filter(account=account, type="image")
    ubuntu = next(image for image in images.order_by("-name") if "ubuntu" in image.name.lower())
    common = {"account": account, "region": REGION, "max_in_flight": 12}
    VolumePool.objects.create(**common, type="data", size_gb=2, desired=12)
    VolumePool.objects.create(**common, type="ubuntu", size_gb=40, desired=8, image_id=ubuntu.cloud_id)
    VolumePool.objects.create(**common, type="igw", size_gb=20, desired=8, snapshot_prefix=GOLDEN)
    return account


@dataclass
class ClaimLoad:
    """The requests of a campaign; see `Load`."""

    cloud: SimulatedCloud
    dice: Random
    claims: int
    tenants: list[ClaimingTenant]
    requested: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    answers: list[ClaimAnswer] = field(default_factory=list)
    # Volumes whose removal was requested.
    removed: set[UUID] = field(default_factory=set)
    claimed: int = 0

    @property
    def is_done(self) -> bool:
        """Return whether all claims have been made."""
        return self.claimed >= self.claims

    @property
    def progress(self) -> str:
        """Return how far the load has come."""
        return f"{self.claimed} claims"

    def send_request(self) -> None:
        """Choose one request and send it."""
        has_many = Volume.objects.count() > 45
        actions = {
            "claim": 3 if has_many else 12,
            "claim a named spare": 1 if has_many else 3,
            "replace one in error": 3,
            "extend": 3,
            "snapshot": 3,
            "remove snapshot": 4 if has_many else 2,
            "remove volume": 16 if has_many else 4,
            "create VM": 3,
            "create VM that fails": 1,
            "remove VM": 4 if has_many else 2,
            "cancel": 1,
        }
        name = self.dice.choices(list(actions), list(actions.values()))[0]
        tenant = self.dice.choice(self.tenants)
        try:
            done = self._send(name, tenant)
        except DomainError as error:
            fields = " ".join(getattr(error, "errors", None) or ())
            self.rejected[f"{name}: {error.code} {fields}".strip()] += 1
            return
        except NotFoundError:  # A job has removed it since it was chosen.
            self.rejected[f"{name}: not found"] += 1
            return
        if done:
            self.requested[name] += 1

    def _send(self, name: str, tenant: ClaimingTenant) -> Any:
        scope = tenant.scope
        if name.startswith(("claim", "replace")):
            return self._claim(name, tenant)
        if name == "remove volume":
            volume = self._choose(tenant.list_free_volumes())
            done = volume and remove_volume(scope=scope, volume_id=volume.pk)
            if done:
                self.removed.add(volume.pk)
            return done
        if name == "extend":
            volume = self._choose(tenant.list_free_volumes())
            return volume and extend_volume(scope=scope, volume_id=volume.pk, size_gb=volume.size_gb + 1)
        if name == "snapshot":
            volume = self._choose(tenant.list_free_volumes())
            return volume and take_snapshot(scope=scope, volume_id=volume.pk, name=f"of-{volume.name}")
        if name == "remove snapshot":
            kept = VolumeSnapshot.objects.filter(information_system=tenant.system).order_by("created_at")
            snapshot = self._choose(list(kept))
            return snapshot and remove_snapshot(scope=scope, snapshot_id=snapshot.pk)
        if name.startswith("create VM"):
            return self._create_vm(tenant, fails=name.endswith("that fails"))
        if name == "remove VM":
            vms = VirtualMachine.objects.filter(information_system=tenant.system).exclude(openstack_id=None)
            vm = self._choose(list(vms.order_by("created_at")))
            if vm is None:
                return None
            self.removed |= set(Volume.objects.filter(vm=vm).values_list("pk", flat=True))
            return remove_vm(scope=scope, vm_id=vm.pk, volumes="delete", force=True)
        jobs = Job.objects.filter(status__in=IN_FLIGHT, parent=None, kind__in=CANCELLED)
        job = self._choose(list(jobs.order_by("created_at")))
        return job is not None and engine.cancel(job)

    def _claim(self, name: str, tenant: ClaimingTenant) -> Any:
        pools = list(VolumePool.objects.order_by("pk"))
        pool = self._choose(pools[:1] if name.startswith("replace") else pools)
        count, named = self.dice.randint(1, 5), []
        if name == "claim a named spare":
            spare = self._choose(list(SpareVolume.objects.claimable().filter(pool=pool)[:3]))
            if spare is None:
                return None
            named = [str(spare.volume_id)]
        if name == "replace one in error":
            broken = self._choose([one for one in tenant.list_free_volumes() if one.size_gb == pool.size_gb])
            if broken is None or VolumeSnapshot.objects.filter(volume=broken).exists():
                return None
            # The volume breaks, and a status sync has written that to its row.
            change_object(self.cloud, "PATCH", f"volumes/{broken.volume_id}", {"status": "error"})
            Volume.objects.filter(pk=broken.pk).update(status="error", updated_at=F("updated_at"))
            named, count = [str(broken.volume_id)], 1
        request = ClaimRequest(
            information_system=tenant.system.pk,
            type=pool.type,
            count=count,
            volume_ids=named,
            name=f"data-{self.claimed}",
        )
        result: ClaimResult = claim_volumes(scope=tenant.scope, request=request)
        if name == "replace one in error":
            self.removed |= set(Volume.objects.filter(volume_id__in=named).values_list("pk", flat=True))
        self.claimed += 1
        job = result.job.pk if result.job else None
        self.answers.append(ClaimAnswer(count, [volume.pk for volume in result.volumes], job))
        return result

    def _create_vm(self, tenant: ClaimingTenant, *, fails: bool) -> Any:
        if fails:
            self.cloud.call("POST", "failing_builds", {"times": 1})
        # Type and size select a spare of the image's pool or of the snapshot's.
        of_image = self.dice.random() < 0.5
        params = {
            "information_system": tenant.system.pk,
            "name": f"vm-{self.requested['create VM']}-{self.dice.randint(0, 9999)}",
            "cpu_cores": 2,
            "memory_gb": 4,
            "disk_gb": 40 if of_image else 20,
            "os_type": "ubuntu" if of_image else "igw",
            "boot_volume": True,
        }
        return create_vm(scope=tenant.scope, params=params).job

    def _choose(self, candidates: list[Any]) -> Any:
        return self.dice.choice(candidates) if candidates else None

    def retry_removals(self) -> int:
        """Request the removals of VMs again that did not succeed, and return how many."""
        count = 0
        for vm in VirtualMachine.objects.filter(desired_state=VirtualMachine.DesiredState.REMOVED):
            tenant = next(one for one in self.tenants if one.system.pk == vm.information_system_id)
            remove_vm(scope=tenant.scope, vm_id=vm.pk, volumes="keep", force=True)
            count += 1
        return count

    def find_wrong_claims(self) -> list[str]:
        """Return a sentence for each claim whose volumes are too few, doubled, or gone without a failed job."""
        wrong = []
        answered: Counter[UUID] = Counter(pk for answer in self.answers for pk in answer.volume_pks)
        existing = set(Volume.objects.values_list("pk", flat=True))
        jobs = {job.pk: job for job in Job.objects.filter(kind="volumepool.provide_volumes")}
        for answer in self.answers:
            if len(answer.volume_pks) != answer.count:
                wrong.append(f"{answer.count} were claimed, {len(answer.volume_pks)} were answered")
            job = jobs.get(answer.job_pk) if answer.job_pk else None
            has_failed = job is not None and job.status in {"failed", "cancelled"}
            gone = [pk for pk in answer.volume_pks if pk not in existing and pk not in self.removed]
            if gone and not has_failed:
                wrong.append(f"{gone} are gone; the claim's job is {job and job.status}")
        wrong += [f"volume {pk} was answered {times} times" for pk, times in answered.items() if times > 1]
        unanswered = Volume.objects.exclude(pk__in=answered).filter(vm=None, is_boot=False)
        boot_volumes = {
            str(pk)
            for pk in Job.objects.filter(kind="vms.create").values_list("params__boot_volume_id", flat=True)
        }
        wrong += [
            f"volume '{volume}' {volume.pk} is of no claim"
            for volume in unanswered
            if str(volume.pk) not in boot_volumes
        ]
        return wrong
