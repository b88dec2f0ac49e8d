"""What tenants do in a campaign: they claim, extend, copy, boot from and remove volumes, and change their minds.

Everything is chosen by one seeded generator from what there is at that moment; what is refused is counted, and every
answer is remembered, to be held against what is there in the end.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Any
from uuid import UUID

from django.db.models import F

from api.domain_errors import DomainError, NotFoundError
from tasks import engine
from tasks.models import IN_FLIGHT, Job
from tenants.models import InformationSystem
from tenants.scoping import Role, Scope
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

from .meddling import changed

CANCELLED = {"volumepool.provide_volumes", "vms.create"}


@dataclass(frozen=True)
class Tenant:
    """Who claims, and for which information system."""

    scope: Scope
    system: InformationSystem

    @classmethod
    def new(cls) -> Tenant:
        """One more."""
        member = MembershipFactory(role=Role.ADMIN)
        scope = Scope(member.user, member.tenant, Role.ADMIN)
        return cls(scope, InformationSystemFactory(tenant=member.tenant))

    def volumes(self) -> list[Volume]:
        """Those that are on no VM, the oldest first."""
        mine = Volume.objects.filter(information_system=self.system, vm=None).exclude(volume_id=None)
        return list(mine.order_by("created_at"))


@dataclass(frozen=True)
class Answer:
    """What a claim was answered with: as many rows as were wanted, and the job that sees to them."""

    wanted: int
    rows: list[UUID]
    job: UUID | None


@dataclass
class People:
    """All of them together, one after another."""

    cloud: SimulatedCloud
    chance: Random
    claims: int
    tenants: list[Tenant]
    asked: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    answers: list[Answer] = field(default_factory=list)
    # Rows whose owners have asked for their end.
    given_up: set[UUID] = field(default_factory=set)
    claimed: int = 0

    @property
    def are_done(self) -> bool:
        """Whether they have claimed as often as they wanted."""
        return self.claimed >= self.claims

    def do_something(self) -> None:
        """One person does one thing."""
        many = Volume.objects.count() > 45
        actions = {
            "claim": 3 if many else 12,
            "claim a named spare": 1 if many else 3,
            "replace one in error": 3,
            "extend": 3,
            "snapshot": 3,
            "remove snapshot": 4 if many else 2,
            "remove volume": 16 if many else 4,
            "create VM": 3,
            "create VM in vain": 1,
            "remove VM": 4 if many else 2,
            "cancel": 1,
        }
        name = self.chance.choices(list(actions), list(actions.values()))[0]
        tenant = self.chance.choice(self.tenants)
        try:
            done = self._do(name, tenant)
        except DomainError as refusal:
            fields = " ".join(getattr(refusal, "errors", None) or ())
            self.refused[f"{name}: {refusal.code} {fields}".strip()] += 1
            return
        except NotFoundError:  # It has gone since it was chosen.
            self.refused[f"{name}: not found"] += 1
            return
        if done:
            self.asked[name] += 1

    def _do(self, name: str, tenant: Tenant) -> Any:
        scope = tenant.scope
        if name.startswith(("claim", "replace")):
            return self._claim(name, tenant)
        if name == "remove volume":
            volume = self._one(tenant.volumes())
            done = volume and remove_volume(scope=scope, volume_id=volume.pk)
            if done:
                self.given_up.add(volume.pk)
            return done
        if name == "extend":
            volume = self._one(tenant.volumes())
            return volume and extend_volume(scope=scope, volume_id=volume.pk, size_gb=volume.size_gb + 1)
        if name == "snapshot":
            volume = self._one(tenant.volumes())
            return volume and take_snapshot(scope=scope, volume_id=volume.pk, name=f"of-{volume.name}")
        if name == "remove snapshot":
            kept = VolumeSnapshot.objects.filter(information_system=tenant.system).order_by("created_at")
            snapshot = self._one(list(kept))
            return snapshot and remove_snapshot(scope=scope, snapshot_id=snapshot.pk)
        if name.startswith("create VM"):
            return self._create_vm(tenant, fails=name.endswith("in vain"))
        if name == "remove VM":
            vms = VirtualMachine.objects.filter(information_system=tenant.system).exclude(openstack_id=None)
            vm = self._one(list(vms.order_by("created_at")))
            if vm is None:
                return None
            self.given_up |= set(Volume.objects.filter(vm=vm).values_list("pk", flat=True))
            return remove_vm(scope=scope, vm_id=vm.pk, volumes="delete", force=True)
        jobs = Job.objects.filter(status__in=IN_FLIGHT, parent=None, kind__in=CANCELLED)
        job = self._one(list(jobs.order_by("created_at")))
        return job is not None and engine.cancel(job)

    def _claim(self, name: str, tenant: Tenant) -> Any:
        pools = list(VolumePool.objects.order_by("pk"))
        pool = self._one(pools[:1] if name.startswith("replace") else pools)
        count, named = self.chance.randint(1, 5), []
        if name == "claim a named spare":
            spare = self._one(list(SpareVolume.objects.claimable().filter(pool=pool)[:3]))
            if spare is None:
                return None
            named = [str(spare.volume_id)]
        if name == "replace one in error":
            broken = self._one([one for one in tenant.volumes() if one.size_gb == pool.size_gb])
            if broken is None or VolumeSnapshot.objects.filter(volume=broken).exists():
                return None
            # As its tenant sees it: the volume broke, and its row has come to say so.
            changed(self.cloud, "PATCH", f"volumes/{broken.volume_id}", {"status": "error"})
            Volume.objects.filter(pk=broken.pk).update(status="error", updated_at=F("updated_at"))
            named, count = [str(broken.volume_id)], 1
        wanted = ClaimRequest(
            information_system=tenant.system.pk,
            type=pool.type,
            count=count,
            volume_ids=named,
            name=f"data-{self.claimed}",
        )
        provided: ClaimResult = claim_volumes(scope=tenant.scope, request=wanted)
        if name == "replace one in error":
            self.given_up |= set(Volume.objects.filter(volume_id__in=named).values_list("pk", flat=True))
        self.claimed += 1
        job = provided.job.pk if provided.job else None
        self.answers.append(Answer(count, [one.pk for one in provided.volumes], job))
        return provided

    def _create_vm(self, tenant: Tenant, *, fails: bool) -> Any:
        if fails:
            self.cloud.call("POST", "failing_builds", {"times": 1})
        # Of the pool of an image, and of that of a snapshot, as the names and sizes say.
        of_image = self.chance.random() < 0.5
        wish = {
            "information_system": tenant.system.pk,
            "name": f"vm-{self.asked['create VM']}-{self.chance.randint(0, 9999)}",
            "cpu_cores": 2,
            "memory_gb": 4,
            "disk_gb": 40 if of_image else 20,
            "os_type": "ubuntu" if of_image else "igw",
            "boot_volume": True,
        }
        return create_vm(scope=tenant.scope, params=wish).job

    def _one(self, things: list[Any]) -> Any:
        return self.chance.choice(things) if things else None

    def ask_again(self) -> int:
        """Ask once more for removals of VMs that came to nothing; how many."""
        count = 0
        for vm in VirtualMachine.objects.filter(desired_state=VirtualMachine.DesiredState.REMOVED):
            owner = next(one for one in self.tenants if one.system.pk == vm.information_system_id)
            remove_vm(scope=owner.scope, vm_id=vm.pk, volumes="keep", force=True)
            count += 1
        return count

    def wrongly_answered(self) -> list[str]:
        """Claims whose answer is not what is there: too few or double volumes, or one that is gone without a word."""
        wrong = []
        owner: Counter[UUID] = Counter(row for answer in self.answers for row in answer.rows)
        there = set(Volume.objects.values_list("pk", flat=True))
        jobs = {job.pk: job for job in Job.objects.filter(kind="volumepool.provide_volumes")}
        for answer in self.answers:
            if len(answer.rows) != answer.wanted:
                wrong.append(f"{answer.wanted} were wanted, {len(answer.rows)} were answered")
            job = jobs.get(answer.job) if answer.job else None
            told = job is not None and job.status in {"failed", "cancelled"}
            gone = [row for row in answer.rows if row not in there and row not in self.given_up]
            if gone and not told:
                wrong.append(f"{gone} are gone; the claim's job is {job and job.status}")
        wrong += [f"row {row} was answered {times} times" for row, times in owner.items() if times > 1]
        unasked = Volume.objects.exclude(pk__in=owner).filter(vm=None, is_boot=False)
        of_vms = {
            str(one)
            for one in Job.objects.filter(kind="vms.create").values_list("params__boot_volume_id", flat=True)
        }
        wrong += [f"nobody asked for '{row}' {row.pk}" for row in unasked if str(row.pk) not in of_vms]
        return wrong
