"""Delete a VM in the cloud: its server, its volumes unless they are kept, then the row."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar, Literal

from django.db.models.functions import Now
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from api.messages import join_messages
from api.messages import message as _
from cloudaccounts.commands import describe_refusal
from networks.models import FloatingIp
from openstack_client import Cloud, CloudConflictError, CloudNotFoundError
from tasks.command import Done, Failed, Failure, Refusal, Result, Spawn, Wait, minutes, register, step
from tasks.models import JobStatus
from tasks.polling import MISSING
from volumepool.cinder_columns import map_volume_columns
from volumepool.commands import RemoveVolumeCommand, release_attachments, write_observed_volume
from volumepool.models import Volume

from ..actions import allowed_actions
from ..models import VirtualMachine, VMOperationLog, VmPort, VMStatus
from ..removal_checks import RemovalCheck, check_removals
from .server import ServerCommand, delete_servers, force_delete_server, is_deletion_running, vm_tag

# The statuses in which a VM may be deleted without force: nothing runs in it.
_REMOVABLE_STATUSES = frozenset({VMStatus.STOPPED, VMStatus.SHELVED, VMStatus.ERROR, VMStatus.REMOVED})


class DeletionCommand(ServerCommand):
    """The deletion of a VM, from the cloud or into the bin."""

    @cached_property
    def check(self) -> RemovalCheck:
        """The reasons against the deletion; a service that deletes many VMs sets them."""
        return check_removals([self.vm])[self.vm.pk]


@register
@dataclass
class RemoveVmCommand(DeletionCommand):
    """Delete a VM. An object that is gone already counts as deleted, so the command can be repeated after a failure.

    It cannot be undone: Nova does not keep a server that it is deleting.
    """

    vm_id: str
    volumes: Literal["delete", "keep"] = "delete"
    force: bool = False

    kind: ClassVar[str] = "vms.remove"
    title: ClassVar[str | Promise] = gettext_lazy("Delete VM")
    renamed_steps: ClassVar[Mapping[str, str]] = {
        "ask_the_cloud": "request_delete",
        "see_it_gone": "wait_until_deleted",
        "end_it_for_good": "force_delete",
        "see_its_volumes_free": "wait_until_volumes_free",
        "remove_volumes": "delete_volumes",
    }

    def validate(self) -> list[Refusal]:
        """Refuse a protected VM, a running one, unless forced, and volumes that are protected or have snapshots."""
        refusals = [*self.check.of_vm]
        if self.vm.openstack_id and not self.force and VMStatus(self.vm.status) not in _REMOVABLE_STATUSES:
            message = _("The VM is '%(status)s'. Stop it first, or select Force delete.")
            refusals.append(
                Refusal(
                    "wrong_state",
                    message % {"status": VMStatus(self.vm.status).label},
                    field="force",
                    details={"allowed": allowed_actions(self.vm)},
                )
            )
        if self.volumes == "delete":
            refusals += self.check.of_volumes
        return refusals

    def list_server_ids(self) -> list[str]:
        """Return the id of the VM's server; for a VM that was never bound, the id of every server with its tag."""
        if self.vm.openstack_id is not None:
            return [self.vm.openstack_id]
        return [server.id for server in self.cloud().compute.find_servers_by_tag(vm_tag(self.vm_id))]

    @step(title=gettext_lazy("Send delete request to cloud"))
    def request_delete(self) -> Result:
        """Delete the server."""
        compute = self.cloud().compute
        self.data["servers"] = self.list_server_ids()
        for server_id in self.data["servers"]:
            try:
                compute.delete_server(server_id)
            except CloudNotFoundError:
                continue
            self.record_request_id()
        return Done()

    @step(deadline=minutes(30), title=gettext_lazy("Wait for deletion"))
    def wait_until_deleted(self) -> Result:
        """Wait until Nova no longer has the server."""
        if self.vm.openstack_id is None:
            return delete_servers(self.cloud().compute, self.data["servers"])
        # ERROR is no failure here: a server that was in error shows it until it is gone.
        return self.watch(MISSING, "SOFT_DELETED", unless=())

    @wait_until_deleted.stalled
    def resend_if_lost(self) -> Result:
        """Send the request again when Nova has given up (ERROR, no task), or shows no trace of it."""
        compute = self.cloud().compute
        try:
            server = compute.get_server(self.server_id)
            if server.status == "DELETED" or (server.status == "SOFT_DELETED" and server.task_state is None):
                return Wait(1.0)  # The watch reports that.
            is_deleting = server.task_state in {"deleting", "soft-deleting"} and server.status != "ERROR"
            if is_deleting and not self.is_lost(server):
                return Wait(0.0, _("The cloud still reports %s.") % server.task_state)
            if not self.can_retry_request():
                return self.build_lost_failure(
                    _("the server stays '%(status)s'.") % {"status": server.status}
                )
            compute.delete_server(self.server_id)
            self.record_request_id()
        except CloudNotFoundError:
            return Wait(1.0)
        except CloudConflictError as refusal:
            return Wait(0.0, describe_refusal(refusal))
        return Wait(0.0, _("Nova had given up; the request was sent again."))

    @step(deadline=minutes(10), title=gettext_lazy("Delete permanently"))
    def force_delete(self) -> Result:
        """Delete now a server that Nova would keep for a while (SOFT_DELETED): until then it keeps its volumes.

        Where the cloud's policy leaves that to administrators, the data volumes are detached; the boot volume stays on the server
        until Nova purges it.
        """
        cloud = self.cloud()
        is_kept = False
        for server_id in self.data["servers"]:
            try:
                server = cloud.compute.get_server(server_id)
                if server.task_state == "deleting":
                    return Wait(0.5, _("Waiting for the server to be deleted."))
                is_gone = server.status == "DELETED"
                if server.status == "SOFT_DELETED":
                    if not force_delete_server(cloud.compute, server_id):
                        is_kept = True
                        self.detach_data_volumes(cloud, server_id)
                        continue
                elif not is_gone:
                    # Nova shows it again, in error, because its deletion has failed.
                    cloud.compute.delete_server(server_id)
                if not is_gone:
                    self.record_request_id()
            except CloudNotFoundError:
                is_gone = True
            except CloudConflictError as refusal:
                return Wait(1.0, describe_refusal(refusal))
            if not is_gone or is_deletion_running(cloud.compute, server_id, self.data.get("request_id", "")):
                return Wait(0.5, _("Waiting for the server to be deleted."))
        self.data["kept_by_nova"] = is_kept
        return Done(_("Nova keeps the deleted server for a while and then purges it.") if is_kept else "")

    def detach_data_volumes(self, cloud: Cloud, server_id: str) -> None:
        """Detach the volumes that a server kept by Nova does not boot from."""
        boots_from = set(Volume.objects.filter(vm=self.vm, is_boot=True).values_list("volume_id", flat=True))
        for attached in cloud.compute.list_volume_attachments(server_id):
            if attached.volume_id not in boots_from:
                with suppress(CloudNotFoundError, CloudConflictError):
                    cloud.compute.detach_volume(server_id, attached.volume_id)

    @step(title=gettext_lazy("Delete ports"))
    def delete_ports(self) -> Result:
        """Delete the ports that the portal made for the VM: Nova keeps what it was given. Ports that Nova made are gone already."""
        ports = VmPort.objects.filter(vm=self.vm, cloud_id__isnull=False)
        for port_id in ports.values_list("cloud_id", flat=True):
            self.cloud().network.delete_port(port_id)
        return Done()

    @step(deadline=minutes(10), title=gettext_lazy("Wait until volumes are free"))
    def wait_until_volumes_free(self) -> Result:
        """Read the status of volumes that are kept, and release those that Cinder keeps attached to the deleted server.

        The job goes on without a volume that the cloud does not release; its row gets the status that Cinder reports.
        """
        self.data["server_gone"] = True
        cloud, found, is_waiting = self.cloud(), self.data.setdefault("kept", {}), False
        if self.volumes != "keep":
            return Done()
        for volume in Volume.objects.filter(vm=self.vm, volume_id__isnull=False):
            try:
                observed = cloud.block_storage.get_volume(str(volume.volume_id))
            except CloudNotFoundError:
                found[str(volume.pk)] = {"status": MISSING}
                continue
            found[str(volume.pk)] = map_volume_columns(observed).as_json()
            if observed.is_used and not (volume.is_boot and self.data.get("kept_by_nova")):
                release_attachments(cloud, observed.id)
                is_waiting = True
        statuses = sorted((pk, columns["status"]) for pk, columns in found.items())
        if is_waiting and not self.is_stalled(statuses):
            return Wait(0.5, _("Waiting for the volume."))
        return Done()

    @step(title=gettext_lazy("Delete volumes"))
    def delete_volumes(self) -> Result:
        """Delete the volumes, unless the tenant keeps them."""
        self.data["server_gone"] = True
        of_vm = Volume.objects.filter(vm=self.vm).order_by("created_at")
        ids = [str(pk) for pk in of_vm.values_list("pk", flat=True)]
        if self.volumes == "keep" or not ids:
            return Done(_("Its volumes are kept.") if ids else "")
        return Spawn([RemoveVmVolumesCommand(self.vm_id, ids)], permanent=True)

    def on_success(self) -> None:
        """Delete the row. The operation log and kept volumes stay."""
        vm = VirtualMachine.objects.select_related("information_system").get(pk=self.vm_id)
        kept_count = Volume.objects.filter(vm=vm).update(vm=None, device="", is_boot=False)
        for volume_id, seen in self.data.get("kept", {}).items():
            write_observed_volume(
                volume_id, {"seen": {name: seen[name] for name in ("status", "server_id") if name in seen}}
            )
        detail = _("%(count)s volumes were kept.") % {"count": kept_count} if kept_count else ""
        self.log(vm, VMOperationLog.Operation.REMOVE, success=True, detail=detail)
        # The tenant keeps its floating IPs; Neutron has detached them from the deleted ports.
        FloatingIp.objects.filter(vm=vm).update(
            vm=None, port_id="", server_id="", fixed_address="", unattached_since=Now()
        )
        vm.delete()

    def on_failure(self, failure: Failure) -> None:
        """Keep the row, so that the command can be repeated, and write the last observation of the server."""
        vm = self.lock_observed_vm()
        if self.data.get("server_gone"):
            vm.status = VMStatus.REMOVED
        vm.save()
        self.log(vm, VMOperationLog.Operation.REMOVE, success=False, detail=failure.detail)


@register
@dataclass
class RemoveVmVolumesCommand(ServerCommand):
    """Delete the volumes of a VM whose server is gone. All are tried; the failure names those that remain."""

    vm_id: str
    volume_ids: list[str] = field(default_factory=list)

    kind: ClassVar[str] = "vms.remove_volumes"
    title: ClassVar[str | Promise] = gettext_lazy("Delete volumes of VM")
    renamed_steps: ClassVar[Mapping[str, str]] = {
        "remove_each": "delete_each",
        "see_all_gone": "report_remaining",
    }
    # The number of deletions that run at once: more would only wait in Cinder.
    AT_ONCE: ClassVar[int] = 5

    @step(title=gettext_lazy("Delete each volume"))
    def delete_each(self) -> Result:
        """Spawn one child for each volume."""
        remaining = Volume.objects.filter(pk__in=self.volume_ids).values_list("pk", flat=True)
        children = [RemoveVolumeCommand(str(pk), with_its_vm=True) for pk in remaining]
        return Spawn(children, at_once=self.AT_ONCE, optional=True, permanent=True)

    @step(title=gettext_lazy("Check that all are deleted"))
    def report_remaining(self) -> Result:
        """Fail with the names of the volumes that could not be deleted."""
        failed = [child for child in self.children_of("delete_each") if child.status != JobStatus.SUCCEEDED]
        if not failed:
            return Done()
        reasons = join_messages(
            join_messages([child.subject, child.outcome_message], ": ") for child in failed
        )
        return Failed("volumes_left", _("Some volumes could not be deleted. %(said)s") % {"said": reasons})
