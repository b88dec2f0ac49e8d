"""What people do in a campaign: they create and remove VMs, put volumes on them, take snapshots, and change their minds.

Everything is chosen by one seeded generator, from what there is at that moment; what is refused is counted.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Any

from api.domain_errors import DomainError, NotFoundError
from tasks import engine
from tasks.models import IN_FLIGHT, Job
from vms.models import VirtualMachine, VMSnapshot
from vms.services import attach_volume, detach_volume, remove_snapshot, remove_vm, take_snapshot
from volumepool.models import Volume
from volumepool.services import remove_volume

from .stage import Stage

# What is cancelled: what can be taken back. A removal that is cancelled half-way only has to be asked for again.
CANCELLED = {"vms.create", "vms.attach_volume", "vms.snapshot", "vms.remove"}


@dataclass
class People:
    """All of them together, one after another."""

    stage: Stage
    chance: Random
    creations: int
    asked: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)

    @property
    def crowd(self) -> int:
        """When so many VMs are there, they are removed more often than made."""
        return max(5, self.creations // 12)

    @property
    def are_done(self) -> bool:
        """Whether they have created as many VMs as they wanted."""
        return self.asked["create"] >= self.creations

    def do_something(self) -> None:
        """One person does one thing."""
        vms = list(VirtualMachine.objects.exclude(openstack_id=None).order_by("created_at"))
        few = VirtualMachine.objects.count() < self.crowd
        actions = {
            "create": 10 if few else 2,
            "create of a volume": 8 if few else 2,
            "remove": 0 if few else 14,
            "remove, keep volumes": 1 if few else 4,
            "attach": 3,
            "detach": 1,
            "snapshot": 2,
            "remove snapshot": 2,
            "remove volume": 2,
            "cancel": 2,
        }
        name = self.chance.choices(list(actions), list(actions.values()))[0]
        try:
            done = self._do(name, vms)
        except DomainError as refusal:
            self.refused[f"{name}: {refusal.code}"] += 1
            return
        except NotFoundError:  # It has gone since it was chosen.
            self.refused[f"{name}: not found"] += 1
            return
        if done:
            self.asked["create" if name.startswith("create") else name] += 1

    def _do(self, name: str, vms: list[VirtualMachine]) -> Any:
        stage, scope = self.stage, self.stage.scope
        if name.startswith("create"):
            return stage.create(boot_volume=name != "create", name=f"vm-{self.asked['create']}")
        if name == "cancel":
            jobs = Job.objects.filter(status__in=IN_FLIGHT, parent=None, kind__in=CANCELLED).order_by(
                "created_at"
            )
            found = self._one(list(jobs))
            return found is not None and engine.cancel(found)
        if name == "remove snapshot":
            snapshot = self._one(list(VMSnapshot.objects.order_by("created_at")))
            return snapshot and remove_snapshot(scope=scope, snapshot_id=snapshot.pk)
        if name == "remove volume":
            volume = self._one(list(Volume.objects.filter(vm=None).order_by("created_at")))
            return volume and remove_volume(scope=scope, volume_id=volume.pk)
        if name == "detach":
            volume = self._one(list(Volume.objects.exclude(vm=None).order_by("created_at")))
            return volume and detach_volume(scope=scope, vm_id=volume.vm_id, volume_id=volume.pk)
        vm = self._one(vms)
        if vm is None:
            return None
        if name == "attach":
            free = Volume.objects.filter(vm=None).exclude(volume_id=None).order_by("created_at").first()
            if free is not None and self.chance.random() < 0.3:
                return attach_volume(scope=scope, vm_id=vm.pk, volume_id=free.pk)
            return attach_volume(scope=scope, vm_id=vm.pk, size_gb=self.chance.randint(1, 5))
        if name == "snapshot":
            return take_snapshot(scope=scope, vm_id=vm.pk, name=f"of-{vm.name}")
        return remove_vm(
            scope=scope,
            vm_id=vm.pk,
            volumes="keep" if name.endswith("keep volumes") else "delete",
            force=True,
        )

    def _one(self, things: list[Any]) -> Any:
        return self.chance.choice(things) if things else None

    def ask_again(self) -> int:
        """Ask once more for the removals that came to nothing: they leave half a VM; how many."""
        count = 0
        for vm in VirtualMachine.objects.filter(desired_state=VirtualMachine.DesiredState.REMOVED):
            # Volumes with snapshots cannot be removed; they are kept then, as a person would do.
            remove_vm(scope=self.stage.scope, vm_id=vm.pk, volumes="keep", force=True)
            count += 1
        return count
