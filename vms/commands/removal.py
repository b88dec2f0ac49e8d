"""What a worker does to remove a VM: its server, then its volumes or not, then the row."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from openstack_client import NotFound
from tasks.command import Done, Failed, Failure, Refusal, Result, Spawn, minutes, register, step
from tasks.models import JobStatus
from tasks.polling import MISSING
from volumepool.commands import RemoveVolume
from volumepool.models import Volume, VolumeSnapshot

from ..actions import allowed_actions
from ..keepers import kept_by
from ..models import VirtualMachine, VMOperationLog, VMSnapshot, VMStatus
from .server import ServerCommand, delete_servers, vm_tag

# What may be removed without force: nothing runs in it.
_REMOVABLE = frozenset({VMStatus.STOPPED, VMStatus.SHELVED, VMStatus.ERROR, VMStatus.REMOVED})


@register
@dataclass
class RemoveVm(ServerCommand):
    """Remove a VM. What is gone already is success, so it can be asked for again after it failed half-way.

    Nothing of it can be taken back: a server that was asked to go, goes.
    """

    vm_id: str
    volumes: Literal["delete", "keep"] = "delete"
    force: bool = False

    kind: ClassVar[str] = "vms.remove"
    title: ClassVar[str | Promise] = gettext_lazy("Remove VM")

    def validate(self) -> list[Refusal]:
        """Refuse one that runs, unless forced, and volumes on which snapshots hang."""
        refusals = kept_by(self.vm.pk)
        if self.vm.openstack_id and not self.force and VMStatus(self.vm.status) not in _REMOVABLE:
            message = gettext_lazy("A VM that is '%(status)s' is not removed; stop it first, or force it.")
            refusals.append(
                Refusal(
                    "wrong_state",
                    message % {"status": VMStatus(self.vm.status).label},
                    field="force",
                    details={"allowed": allowed_actions(self.vm)},
                )
            )
        snapshots = VMSnapshot.objects.filter(vm_id=self.vm.pk).exclude(volume_snapshots=[]).count()
        snapshots += VolumeSnapshot.objects.filter(volume__vm=self.vm).count()
        if self.volumes == "delete" and snapshots:
            message = gettext_lazy(
                "%(count)s snapshots were made of its volumes; remove them first, or keep the volumes."
            )
            refusals.append(Refusal("has_snapshots", message % {"count": snapshots}, field="volumes"))
        return refusals

    def servers(self) -> list[str]:
        """Its server; of a VM that was never bound, whatever carries its tag."""
        if self.vm.openstack_id is not None:
            return [self.vm.openstack_id]
        return [server.id for server in self.cloud().compute.find_servers_by_tag(vm_tag(self.vm_id))]

    @step(title=gettext_lazy("Ask the cloud to remove the server"))
    def ask_the_cloud(self) -> Result:
        """Delete the server."""
        compute = self.cloud().compute
        self.data["servers"] = self.servers()
        for server_id in self.data["servers"]:
            try:
                compute.delete_server(server_id)
            except NotFound:
                continue
        return Done()

    @step(deadline=minutes(30), title=gettext_lazy("See it gone"))
    def see_it_gone(self) -> Result:
        """Wait until Nova has it no more."""
        if self.vm.openstack_id is None:
            return delete_servers(self.cloud().compute, self.data["servers"])
        # ERROR is no reason to give up: a server that was in error shows it until it is gone.
        return self.watch(MISSING, "SOFT_DELETED", unless=())

    @step(title=gettext_lazy("Remove its volumes"))
    def remove_volumes(self) -> Result:
        """Remove its volumes, or leave them to the tenant."""
        self.data["server_gone"] = True
        of_vm = Volume.objects.filter(vm=self.vm).order_by("created_at")
        ids = [str(pk) for pk in of_vm.values_list("pk", flat=True)]
        if self.volumes == "keep" or not ids:
            return Done(_("Its volumes are kept.") if ids else "")
        return Spawn([RemoveVmVolumes(self.vm_id, ids)], permanent=True)

    def succeeded(self) -> None:
        """The row goes; the log stays, and so do volumes that were kept."""
        vm = VirtualMachine.objects.select_related("information_system").get(pk=self.vm_id)
        kept = Volume.objects.filter(vm=vm).update(vm=None, device="", is_boot=False, status="available")
        detail = _("%(count)s volumes were kept.") % {"count": kept} if kept else ""
        self.log(vm, VMOperationLog.Operation.REMOVE, success=True, detail=detail)
        vm.delete()

    def failed(self, failure: Failure) -> None:
        """The row stays, so that it can be asked for again; what is known of the server is written."""
        vm = self.observed_vm()
        if self.data.get("server_gone"):
            vm.status = VMStatus.REMOVED
        vm.save()
        self.log(
            vm, VMOperationLog.Operation.REMOVE, success=False, detail=f"{failure.code}: {failure.message}"
        )


@register
@dataclass
class RemoveVmVolumes(ServerCommand):
    """Remove the volumes of a VM whose server is gone. All are tried; those that could not be are named."""

    vm_id: str
    volume_ids: list[str] = field(default_factory=list)

    kind: ClassVar[str] = "vms.remove_volumes"
    title: ClassVar[str | Promise] = gettext_lazy("Remove the volumes of VM")
    # How many are removed side by side: more would only wait in Cinder.
    AT_ONCE: ClassVar[int] = 5

    @step(title=gettext_lazy("Remove each volume"))
    def remove_each(self) -> Result:
        """One child for each volume."""
        left = Volume.objects.filter(pk__in=self.volume_ids).values_list("pk", flat=True)
        children = [RemoveVolume(str(pk), with_its_vm=True) for pk in left]
        return Spawn(children, at_once=self.AT_ONCE, optional=True, permanent=True)

    @step(title=gettext_lazy("See that all are gone"))
    def see_all_gone(self) -> Result:
        """Say which are not."""
        failed = [child for child in self.children_of("remove_each") if child.status != JobStatus.SUCCEEDED]
        if not failed:
            return Done()
        said = " ".join(f"{child.subject}: {child.outcome_message}" for child in failed)
        return Failed("volumes_left", _("Some volumes could not be removed. %(said)s") % {"said": said})
