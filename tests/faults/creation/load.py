"""The load of the creation campaign: requests to create and remove VMs, volumes, snapshots, floating IPs and groups, and to cancel.

A seeded generator chooses each request from what exists at that moment. Rejected requests are counted.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Any

from api.domain_errors import DomainError, NotFoundError
from networks.models import FloatingIp, RowStatus, SecurityGroup
from networks.services import (
    create_security_group,
    release_floating_ip,
    remove_security_group,
    take_floating_ip,
)
from tasks import engine
from tasks.models import IN_FLIGHT, Job
from vms.models import VirtualMachine, VMSnapshot
from vms.services import attach_volume, detach_volume, remove_snapshot, remove_vm, take_snapshot
from volumepool.models import Volume
from volumepool.services import remove_volume

from .stage import Stage

# The kinds of jobs that are cancelled. A removal cannot be undone: one that is cancelled is requested again.
CANCELLED = {
    "vms.create",
    "vms.attach_volume",
    "vms.snapshot",
    "vms.remove",
    "networks.take_floating_ip",
    "networks.create_security_group",
}


# The part of all requests before which the next server is made to fail its build.
FAILING_BUILDS = 0.04


@dataclass
class CreationLoad:
    """The requests of a campaign; see `Load`."""

    stage: Stage
    dice: Random
    # Separate from `dice`, so that a change of the failing builds does not change the requests.
    build_dice: Random
    creations: int
    requested: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)

    @property
    def max_vms(self) -> int:
        """Return the number of VMs from which on they are removed more often than created."""
        return max(5, self.creations // 12)

    @property
    def is_done(self) -> bool:
        """Return whether all VMs have been requested."""
        return self.requested["create"] >= self.creations

    @property
    def progress(self) -> str:
        """Return how far the load has come."""
        return f"{self.requested['create']} creations"

    def send_request(self) -> None:
        """Choose one request and send it."""
        if self.build_dice.random() < FAILING_BUILDS:
            self.stage.cloud.call("POST", "failing_builds", {"times": 1})
        vms = list(VirtualMachine.objects.exclude(openstack_id=None).order_by("created_at"))
        few = VirtualMachine.objects.count() < self.max_vms
        actions = {
            "create": 10 if few else 2,
            "create of a volume": 8 if few else 2,
            "create with key, group and address": 8 if few else 2,
            "take an address": 1,
            "give an address back": 4,
            "create a group": 1,
            "remove a group": 1,
            "remove": 0 if few else 14,
            "remove, keep volumes": 1 if few else 4,
            "attach": 3,
            "detach": 1,
            "snapshot": 2,
            "remove snapshot": 2,
            "remove volume": 2,
            "cancel": 2,
        }
        name = self.dice.choices(list(actions), list(actions.values()))[0]
        try:
            done = self._send(name, vms)
        except DomainError as error:
            self.rejected[f"{name}: {error.code}"] += 1
            return
        except NotFoundError:  # A job has removed it since it was chosen.
            self.rejected[f"{name}: not found"] += 1
            return
        if done:
            is_vm = name.startswith("create") and name != "create a group"
            self.requested["create" if is_vm else name] += 1

    def _send(self, name: str, vms: list[VirtualMachine]) -> Any:
        stage, scope = self.stage, self.stage.scope
        if name == "create a group":
            params = {"account": stage.account.pk, "name": f"group-{self.requested[name]}", "template": "web"}
            return create_security_group(scope=scope, params=params)
        if name == "remove a group":
            chosen = stage.reach["security_groups"]
            group = self._choose(list(SecurityGroup.objects.exclude(pk__in=chosen).order_by("created_at")))
            return group and remove_security_group(scope=scope, group_id=group.pk)
        if name == "take an address":
            params = {"account": stage.account.pk, "network": stage.reach["floating_network"]}
            return take_floating_ip(scope=scope, params=params)
        if name == "give an address back":
            unattached = FloatingIp.objects.filter(vm=None, status=RowStatus.ACTIVE).order_by("taken_at")
            address = self._choose(list(unattached))
            return address and release_floating_ip(scope=scope, floating_ip_id=address.pk)
        if name == "create with key, group and address":
            return stage.request_vm(name=f"vm-{self.requested['create']}", **stage.reach)
        if name.startswith("create"):
            return stage.request_vm(boot_volume=name != "create", name=f"vm-{self.requested['create']}")
        if name == "cancel":
            jobs = Job.objects.filter(status__in=IN_FLIGHT, parent=None, kind__in=CANCELLED).order_by(
                "created_at"
            )
            job = self._choose(list(jobs))
            return job is not None and engine.cancel(job)
        if name == "remove snapshot":
            snapshot = self._choose(list(VMSnapshot.objects.order_by("created_at")))
            return snapshot and remove_snapshot(scope=scope, snapshot_id=snapshot.pk)
        if name == "remove volume":
            volume = self._choose(list(Volume.objects.filter(vm=None).order_by("created_at")))
            return volume and remove_volume(scope=scope, volume_id=volume.pk)
        if name == "detach":
            volume = self._choose(list(Volume.objects.exclude(vm=None).order_by("created_at")))
            return volume and detach_volume(scope=scope, vm_id=volume.vm_id, volume_id=volume.pk)
        vm = self._choose(vms)
        if vm is None:
            return None
        if name == "attach":
            free = Volume.objects.filter(vm=None).exclude(volume_id=None).order_by("created_at").first()
            if free is not None and self.dice.random() < 0.3:
                return attach_volume(scope=scope, vm_id=vm.pk, volume_id=free.pk)
            return attach_volume(scope=scope, vm_id=vm.pk, size_gb=self.dice.randint(1, 5))
        if name == "snapshot":
            return take_snapshot(scope=scope, vm_id=vm.pk, name=f"of-{vm.name}")
        return remove_vm(
            scope=scope,
            vm_id=vm.pk,
            volumes="keep" if name.endswith("keep volumes") else "delete",
            force=True,
        )

    def _choose(self, candidates: list[Any]) -> Any:
        return self.dice.choice(candidates) if candidates else None

    def retry_removals(self) -> int:
        """Request the removals again that did not succeed, and return how many: each has left half a VM."""
        count = 0
        for vm in VirtualMachine.objects.filter(desired_state=VirtualMachine.DesiredState.REMOVED):
            # Volumes that have snapshots cannot be removed, so all are kept.
            remove_vm(scope=self.stage.scope, vm_id=vm.pk, volumes="keep", force=True)
            count += 1
        return count
