"""The base of every command about a VM's server."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any, ClassVar

from django.db.models.functions import Now
from django.utils import timezone

from api.messages import message as _
from cloudaccounts.commands import CloudCommand, describe_refusal
from cloudaccounts.connect import open_cloud
from cloudaccounts.owner_metadata import build_owner_metadata
from openstack_client import (
    Cloud,
    CloudChangedError,
    CloudConflictError,
    CloudError,
    CloudForbiddenError,
    CloudNotFoundError,
    Server,
)
from openstack_client.compute import Compute
from tasks.command import Done, Entity, Failed, Refusal, Result, Wait, Watch
from tasks.polling import MISSING

from ..models import SERVER_WATCHER, VirtualMachine, lock_key
from .operation_log import log_operation
from .server_history import describe_last_action, fetch_request_events, has_failed, is_worked_on

# Nova waits one minute for a guest to shut down, two for a reboot, and retries a detachment for almost three.
LONGEST_WORK = timedelta(minutes=3)
# The longest that a host takes to delete a server, with a margin.
LONGEST_DELETION = timedelta(minutes=1)


def vm_tag(vm_id: str) -> str:
    """Return the tag by which a VM's server is found, even when the answer to its creation was lost."""
    return f"portal-vm-{vm_id}"


def build_server_metadata(vm: VirtualMachine, metadata: Mapping[str, str]) -> dict[str, str]:
    """Return the metadata of a VM's server: the user's, and the portal's own, by which its row and its owner are found."""
    return {**metadata, "portal_vm": str(vm.pk), **build_owner_metadata(vm.information_system_id)}


def delete_servers(compute: Compute, server_ids: Iterable[str]) -> Result:
    """Delete servers until the cloud has none of them; return `Done` when they are gone. For an undo.

    A server that Nova would keep for a while (SOFT_DELETED) is deleted permanently where the cloud's policy allows it; else it
    counts as gone.
    """
    is_waiting, pause = False, 0.5
    for server_id in server_ids:
        try:
            server = compute.get_server(server_id)
            if server.status == "DELETED":
                is_waiting |= is_deletion_running(compute, server_id)
                continue
            if server.status == "SOFT_DELETED" and server.task_state is None:
                if not force_delete_server(compute, server_id):
                    continue
            elif server.task_state not in {"deleting", "soft-deleting"} or server.status == "ERROR":
                # On a server in error, "deleting" may be left from a request that died inside Nova (seen when Keystone was
                # killed). A second request makes Nova delete it at once, unless a host is already deleting it.
                compute.delete_server(server_id)
                pause = 2.0 if server.task_state else pause
            is_waiting = True
        except CloudNotFoundError:
            is_waiting |= is_deletion_running(compute, server_id)
        except CloudConflictError as refusal:
            return Wait(2.0, describe_refusal(refusal))
    return Wait(pause, _("Waiting for the server to be deleted.")) if is_waiting else Done()


def force_delete_server(compute: Compute, server_id: str) -> bool:
    """Delete a server permanently that Nova would keep for a while; return False where policy leaves that to administrators.

    Any other refusal with 403, such as that of an ordinary deletion, is an error: the server exists and counts.
    """
    try:
        compute.force_delete_server(server_id)
    except CloudForbiddenError:
        return False
    return True


def is_deletion_running(compute: Compute, server_id: str, request_id: str = "") -> bool:
    """Return whether a host still works on the deletion of a server that Nova no longer shows.

    Nova hides a server before its deletion is complete. When the rest fails, Nova shows the server again, in error (seen when
    Placement was killed). Work that a host began longer ago than `LONGEST_DELETION` is lost.
    """
    events = fetch_request_events(compute, server_id, request_id)
    oldest = timezone.now() - LONGEST_DELETION
    return is_worked_on([event for event in events if event.started_at is None or event.started_at > oldest])


@dataclass
class ServerCommand(CloudCommand):
    """A command about one VM. A subclass without further parameters needs no `@dataclass` of its own."""

    vm_id: str

    # How long Nova may work on a request without visible progress; None for as long as the step may take.
    longest_work: ClassVar[timedelta | None] = None

    @cached_property
    def vm(self) -> VirtualMachine:
        """Return the VM as it was when the command first read it; the submitting service sets its locked row here."""
        vms = VirtualMachine.objects.select_related("account", "information_system")
        vm: VirtualMachine = vms.get(pk=self.vm_id)
        return vm

    def describe_change(self) -> dict[str, Any]:
        """Return the VM's application, data-center type and size."""
        return {
            "information_system": self.vm.information_system.name,
            "data_center_types": [self.vm.data_center_type],
            "cpu_cores": self.vm.cpu_cores,
            "memory_gb": self.vm.memory_gb,
            "disk_gb": self.vm.disk_gb,
        }

    @property
    def server_id(self) -> str:
        """Return Nova's id of the server of a bound VM."""
        assert self.vm.openstack_id is not None
        return self.vm.openstack_id

    def cloud(self) -> Cloud:
        """Open the cloud that the server is in."""
        return open_cloud(self.vm.account, self.vm.region)

    def locks(self) -> list[str]:
        """Lock the VM, and nothing else."""
        return [lock_key(self.vm_id)]

    def entity(self) -> Entity:
        """Return the VM."""
        return Entity("vm", str(self.vm.pk), self.vm.name)

    def unbound_refusals(self) -> list[Refusal]:
        """Return the refusal of a VM that has no server yet; [] for one that has."""
        if self.vm.openstack_id is not None:
            return []
        return [Refusal("not_bound", _("This VM has no server in the cloud yet."))]

    def watch(self, *until: str, unless: Iterable[str] = ("ERROR", MISSING)) -> Watch:
        """Watch the server until the cloud reports one of the statuses `until`; one of `unless` fails the step."""
        return Watch(
            SERVER_WATCHER,
            self.vm.polling_scope,
            self.server_id,
            until=frozenset(until),
            unless=frozenset(unless),
            message=_("Waiting for the server to be deleted.")
            if MISSING in until
            else _("Waiting for the cloud to report %s.") % " / ".join(until),
        )

    def is_lost(self, server: Server, *more: object) -> bool:
        """Return whether Nova has lost the request: there is no progress, and no host works on it."""
        events = fetch_request_events(self.cloud().compute, server.id, self.data.get("request_id", ""))
        # Until a host has taken the server, each answer of Nova's gives the present time as its last update.
        updated = None if server.status == "BUILD" else server.updated_at
        if not self.is_stalled(server.status, server.task_state, updated, len(events), *more):
            return False
        if not is_worked_on(events):
            return True
        # Work that a service began before it died stays unfinished in Nova's record for ever.
        return self.longest_work is not None and self.stall_duration() >= self.longest_work

    def translate(self, error: Exception) -> Wait | Failed | None:
        """Translate an error; say in words that the cloud's administrators have locked the server."""
        if isinstance(error, CloudChangedError):
            return super().translate(error)  # It is tried again, and has nothing to do with a lock.
        if isinstance(error, CloudConflictError) and self.vm.openstack_id is not None:
            try:
                return self.build_refusal(error, self.cloud().compute.get_server(self.server_id))
            except CloudError:
                pass  # The server's state is not known, so the refusal stands for itself.
        return super().translate(error)

    def build_refusal(self, refusal: CloudConflictError, server: Server, code: str = "") -> Failed:
        """Build the failure of a request that Nova refuses because of the server's state; `code` is the code of any other reason than a lock."""
        if not server.is_locked:
            return Failed(code or refusal.code, describe_refusal(refusal))
        message = _(
            "The server is locked in the cloud: an administrator of the cloud has locked it in Nova, and has to unlock it. "
            "This is not the portal's deletion protection."
        )
        return Failed("locked_in_cloud", message)

    def has_failed(self) -> bool:
        """Return whether Nova reports that its work on the request has ended in an error."""
        compute = self.cloud().compute
        request_id = self.data.get("request_id", "")
        return bool(request_id) and has_failed(fetch_request_events(compute, self.server_id, request_id))

    def explain(self, status: str, fault: str) -> str:
        """Return what the cloud reports, and the server's last action when that was not this job's."""
        explanation = super().explain(status, fault)
        try:
            return explanation + describe_last_action(
                self.cloud().compute, self.server_id, self.data.get("request_id", "")
            )
        except CloudError:
            return explanation

    def lock_observed_vm(self) -> VirtualMachine:
        """Lock and return the VM's row with this job's last observation put into it; the caller saves."""
        vms = VirtualMachine.objects.select_for_update(of=("self",)).select_related("information_system")
        vm: VirtualMachine = vms.get(pk=self.vm_id)
        vm.written_at = Now()
        columns = self.data.get("observed", {}).get("columns")
        if columns is None:
            return vm
        for name, value in columns.items():
            if value is not None or name != "status":
                setattr(vm, name, value)
        vm.observed_at = Now()
        vm.reading = ""  # The next sync compares column by column.
        vm.missing_count = 0
        return vm

    def log(self, vm: VirtualMachine, operation: str, *, success: bool, detail: str = "") -> None:
        """Append to the operation log, in the transaction that ends the job."""
        log_operation(self.job, vm, operation, success=success, detail=detail)
