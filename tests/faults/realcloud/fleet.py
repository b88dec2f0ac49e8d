"""What runs in the real cloud before, and the mixed jobs that are asked for while its processes die."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Any

from django.conf import settings
from django.utils import timezone

from api.domain_errors import DomainError
from cloudaccounts.models import CloudAccount
from cloudaccounts.sync.resources import sync_resource
from openstack_client import Cloud
from tasks.models import Job
from tenants.scoping import Role, Scope
from tests.catalogue import catalogue_types
from tests.factories import InformationSystemFactory, MembershipFactory
from vms.models import Resize, VirtualMachine
from vms.services import (
    attach_volume,
    control_vm,
    create_vm,
    detach_volume,
    remove_vm,
    resize_vm,
    take_snapshot,
)
from volumepool.models import Volume
from volumepool.services import VolumeCreationRequest, create_volumes

# Of so many jobs of a load, how many are of each kind, in parts.
MIX = {"create": 8, "power": 8, "attach": 6, "detach": 4, "snapshot": 3, "resize": 3, "remove": 4}


def account_of(name: str) -> CloudAccount:
    """An account of the portal with the credentials of one of `clouds.yaml`."""
    with Cloud.from_clouds_yaml(name) as cloud:
        credentials = cloud.credentials
        account = CloudAccount(
            name=f"real {name}",
            auth_url=credentials.auth_url,
            credential_kind=CloudAccount.CredentialKind.PASSWORD,
            access_id=credentials.username or "",
            project=credentials.project_name or "",
        )
        account.set_secret(credentials.password or "")
    account.save()
    for type_code in catalogue_types():
        log = sync_resource(account.pk, type_code)
        assert log.state == "success", log.message
    return account


def marked_in(name: str) -> frozenset[str]:
    """Ids of everything in a cloud that carries the portal's marks."""
    with Cloud.from_clouds_yaml(name) as cloud:
        servers = cloud.compute.list_servers(tag=settings.CLOUD_TAG)
        volumes = cloud.block_storage.find_volumes_by_metadata({"portal": settings.CLOUD_TAG})
        images = cloud.image.find_images_by_property("portal", settings.CLOUD_TAG)
        return frozenset(one.id for one in (*servers, *volumes, *images))


@dataclass
class Fleet:
    """A tenant's VMs and volumes in the cloud."""

    account: CloudAccount
    scope: Scope
    system: Any
    chance: Random
    refused: Counter[str] = field(default_factory=Counter)
    # Ids of what another campaign has left in the cloud.
    left_before: frozenset[str] = frozenset()

    @classmethod
    def of(cls, account: CloudAccount, seed: int) -> Fleet:
        """A new tenant without any."""
        member = MembershipFactory(role=Role.ADMIN)
        system = InformationSystemFactory(tenant=member.tenant)
        return cls(account, Scope(member.user, member.tenant, Role.ADMIN), system, Random(seed))

    def counts(self, jobs: int) -> dict[str, int]:
        """How many jobs of each kind make a load of so many."""
        parts = sum(MIX.values())
        return {kind: max(1, round(jobs * part / parts)) for kind, part in MIX.items()}

    def fill(self, jobs: int) -> list[Job]:
        """Ask for the VMs and volumes that a load needs and that are not there; the jobs that make them."""
        counts = self.counts(jobs)
        needed = sum(counts[kind] for kind in ("power", "attach", "detach", "snapshot", "resize", "remove"))
        made = [self.create(number % 4 == 0) for number in range(needed - len(self.usable()))]
        free = Volume.objects.filter(vm=None, status="available", information_system=self.system).count()
        lacking = counts["attach"] + counts["detach"] - free
        if lacking > 0:
            wanted = VolumeCreationRequest(
                information_system=self.system.pk, size_gb=1, count=lacking, name="data"
            )
            job = create_volumes(scope=self.scope, request=wanted).job
            made.append(job)
        return [job for job in made if job is not None]

    def usable(self) -> list[VirtualMachine]:
        """VMs that something can be asked of, in a random order."""
        vms = VirtualMachine.objects.filter(
            information_system=self.system, openstack_id__isnull=False, status__in=["running", "stopped"]
        )
        found = list(vms.exclude(pk__in=Resize.objects.values("vm")).order_by("pk"))
        self.chance.shuffle(found)
        return found

    def create(self, boot_volume: bool) -> Job | None:
        """Ask for a VM."""
        wish = {
            "information_system": self.system.pk,
            "name": f"real-{self.chance.randrange(10**6)}",
            "cpu_cores": 1,
            "memory_gb": 1,
            "disk_gb": 10,
            "os_type": "cirros",
            "boot_volume": boot_volume,
        }
        return create_vm(scope=self.scope, params=wish).job

    def attach_some(self, count: int) -> list[Job]:
        """Put free volumes on VMs; the jobs."""
        free = Volume.objects.filter(vm=None, status="available", information_system=self.system)[:count]
        pairs = zip(self.usable(), free, strict=False)
        return [attach_volume(scope=self.scope, vm_id=vm.pk, volume_id=one.pk).job for vm, one in pairs]

    def load(self, jobs: int) -> None:
        """Ask for mixed jobs, each of a VM of its own. What is refused is counted."""
        counts = self.counts(jobs)
        vms = iter(self.usable())
        free = iter(Volume.objects.filter(vm=None, status="available", information_system=self.system))
        attached = iter(
            Volume.objects.filter(vm__isnull=False, is_boot=False, information_system=self.system)
        )
        busy: set[Any] = set()
        wishes = [kind for kind, count in counts.items() for _ in range(count)]
        self.chance.shuffle(wishes)
        # Volumes are taken off first, so that nobody else takes their VMs.
        wishes.sort(key=lambda kind: kind != "detach")
        for kind in wishes:
            try:
                if kind == "create":
                    self.create(self.chance.random() < 0.5)
                elif kind == "detach":
                    volume = next(attached)
                    busy.add(volume.vm_id)
                    detach_volume(scope=self.scope, vm_id=volume.vm_id, volume_id=volume.pk)
                else:
                    vm = next(vm for vm in vms if vm.pk not in busy)
                    self._ask(kind, vm, free)
            except StopIteration:
                self.refused[f"{kind}: none left"] += 1
            except DomainError as refused:
                self.refused[f"{kind}: {refused.code}"] += 1

    def _ask(self, kind: str, vm: VirtualMachine, free: Any) -> None:
        scope = self.scope
        if kind == "power":
            action = "start" if vm.status == "stopped" else self.chance.choice(["stop", "restart", "restart"])
            control_vm(scope=scope, vm_id=vm.pk, action=action)
        elif kind == "attach":
            attach_volume(scope=scope, vm_id=vm.pk, volume_id=next(free).pk)
        elif kind == "snapshot":
            take_snapshot(scope=scope, vm_id=vm.pk, name="kept")
        elif kind == "resize":
            cores = vm.cpu_cores * 2
            resize_vm(scope=scope, vm_id=vm.pk, cpu_cores=cores, memory_gb=cores * 2)
        else:
            volumes = self.chance.choice(["delete", "keep"])
            remove_vm(scope=scope, vm_id=vm.pk, volumes=volumes, force=True)

    def confirm_resizes(self) -> None:
        """Have what waits for a person confirmed."""
        Resize.objects.filter(confirms_at__isnull=False).update(confirms_at=timezone.now())
