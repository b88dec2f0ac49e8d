"""The VMs and volumes that a campaign has in the real cloud, and the mixed jobs that it requests."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Any

from django.conf import settings
from django.utils import timezone

from api.domain_errors import DomainError
from cloudaccounts.models import CloudAccount
from openstack_client import Cloud
from tasks.models import Job
from tenants.scoping import Role, Scope
from tests.catalogue import sync_catalogue
from tests.factories import InformationSystemFactory, MembershipFactory, grant_everything
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

# The weight of each kind of job in a load.
WEIGHTS = {"create": 8, "power": 8, "attach": 6, "detach": 4, "snapshot": 3, "resize": 3, "remove": 4}


def create_account(name: str) -> CloudAccount:
    """Create an account of the portal with the credentials of a cloud in `clouds.yaml`."""
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
    grant_everything(account)
    sync_catalogue(account)
    return account


def find_marked_objects(name: str) -> frozenset[str]:
    """Return the ids of everything in a cloud that carries the portal's marks."""
    with Cloud.from_clouds_yaml(name) as cloud:
        servers = cloud.compute.find_servers_by_tag(settings.CLOUD_TAG)
        volumes = cloud.block_storage.find_volumes_by_metadata({"portal": settings.CLOUD_TAG})
        images = cloud.image.find_images_by_property("portal", settings.CLOUD_TAG)
        return frozenset(one.id for one in (*servers, *volumes, *images))


@dataclass
class Fleet:
    """The VMs and volumes of a tenant in the cloud."""

    account: CloudAccount
    scope: Scope
    system: Any
    dice: Random
    rejected: Counter[str] = field(default_factory=Counter)
    # The ids of what an earlier campaign has left in the cloud.
    left_before: frozenset[str] = frozenset()

    @classmethod
    def create(cls, account: CloudAccount, seed: int) -> Fleet:
        """Create a tenant without VMs and volumes."""
        member = MembershipFactory(role=Role.ADMIN)
        system = InformationSystemFactory(tenant=member.tenant)
        return cls(account, Scope(member.user, member.tenant, Role.ADMIN), system, Random(seed))

    def count_by_kind(self, jobs: int) -> dict[str, int]:
        """Return how many jobs of each kind make a load of this many jobs."""
        total = sum(WEIGHTS.values())
        return {kind: max(1, round(jobs * weight / total)) for kind, weight in WEIGHTS.items()}

    def fill(self, jobs: int) -> list[Job]:
        """Request the VMs and volumes that a load lacks, and return the jobs that create them."""
        counts = self.count_by_kind(jobs)
        needed = sum(counts[kind] for kind in ("power", "attach", "detach", "snapshot", "resize", "remove"))
        created = [self.create_vm(number % 4 == 0) for number in range(needed - len(self.list_usable_vms()))]
        free = Volume.objects.filter(vm=None, status="available", information_system=self.system).count()
        lacking = counts["attach"] + counts["detach"] - free
        if lacking > 0:
            request = VolumeCreationRequest(
                information_system=self.system.pk, size_gb=1, count=lacking, name="data"
            )
            job = create_volumes(scope=self.scope, request=request).job
            created.append(job)
        return [job for job in created if job is not None]

    def list_usable_vms(self) -> list[VirtualMachine]:
        """Return the VMs that accept requests, in a random order."""
        vms = VirtualMachine.objects.filter(
            information_system=self.system, openstack_id__isnull=False, status__in=["running", "stopped"]
        )
        found = list(vms.exclude(pk__in=Resize.objects.values("vm")).order_by("pk"))
        self.dice.shuffle(found)
        return found

    def create_vm(self, boot_volume: bool) -> Job | None:
        """Request a VM, and return its job."""
        params = {
            "information_system": self.system.pk,
            "name": f"real-{self.dice.randrange(10**6)}",
            "cpu_cores": 1,
            "memory_gb": 1,
            "disk_gb": 10,
            "os_type": "cirros",
            "boot_volume": boot_volume,
        }
        return create_vm(scope=self.scope, params=params).job

    def attach_volumes(self, count: int) -> list[Job]:
        """Request that free volumes are attached to VMs, and return the jobs."""
        free = Volume.objects.filter(vm=None, status="available", information_system=self.system)[:count]
        pairs = zip(self.list_usable_vms(), free, strict=False)
        return [attach_volume(scope=self.scope, vm_id=vm.pk, volume_id=volume.pk).job for vm, volume in pairs]

    def request_mixed_jobs(self, jobs: int) -> None:
        """Request mixed jobs, each for a VM of its own. Rejected requests are counted."""
        counts = self.count_by_kind(jobs)
        vms = iter(self.list_usable_vms())
        free = iter(Volume.objects.filter(vm=None, status="available", information_system=self.system))
        attached = iter(
            Volume.objects.filter(vm__isnull=False, is_boot=False, information_system=self.system)
        )
        busy: set[Any] = set()
        kinds = [kind for kind, count in counts.items() for _ in range(count)]
        self.dice.shuffle(kinds)
        # Volumes are detached first, so that no other request takes their VMs.
        kinds.sort(key=lambda kind: kind != "detach")
        for kind in kinds:
            try:
                if kind == "create":
                    self.create_vm(self.dice.random() < 0.5)
                elif kind == "detach":
                    volume = next(attached)
                    busy.add(volume.vm_id)
                    detach_volume(scope=self.scope, vm_id=volume.vm_id, volume_id=volume.pk)
                else:
                    vm = next(vm for vm in vms if vm.pk not in busy)
                    self._request(kind, vm, free)
            except StopIteration:
                self.rejected[f"{kind}: none left"] += 1
            except DomainError as error:
                self.rejected[f"{kind}: {error.code}"] += 1

    def _request(self, kind: str, vm: VirtualMachine, free: Any) -> None:
        scope = self.scope
        if kind == "power":
            action = "start" if vm.status == "stopped" else self.dice.choice(["stop", "restart", "restart"])
            control_vm(scope=scope, vm_id=vm.pk, action=action)
        elif kind == "attach":
            attach_volume(scope=scope, vm_id=vm.pk, volume_id=next(free).pk)
        elif kind == "snapshot":
            take_snapshot(scope=scope, vm_id=vm.pk, name="kept")
        elif kind == "resize":
            cores = vm.cpu_cores * 2
            resize_vm(scope=scope, vm_id=vm.pk, cpu_cores=cores, memory_gb=cores * 2)
        else:
            volumes = self.dice.choice(["delete", "keep"])
            remove_vm(scope=scope, vm_id=vm.pk, volumes=volumes, force=True)

    def confirm_resizes(self) -> None:
        """Make every resize that waits for a confirmation due for it."""
        Resize.objects.filter(confirms_at__isnull=False).update(confirms_at=timezone.now())
