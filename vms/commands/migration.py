"""Move a server to another host: live, stopped (cold), or away from a host that is dead. For staff.

Jobs and operation logs belong to the VM's tenant, who must not see hosts. So no message of these commands names one: what the
cloud says is shown with the names of hosts left out. Staff see the host on the VM.
"""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from api.messages import message as _
from cloudaccounts.commands import describe_refusal
from openstack_client import (
    CloudConflictError,
    CloudNotFoundError,
    InvalidCloudRequestError,
)
from openstack_client.compute import Compute
from tasks.command import Done, Failed, Refusal, Result, Wait, minutes, register, step
from tasks.polling import MISSING

from ..actions import allowed_actions
from ..models import VMOperationLog, VMStatus
from .host_commands import STAFF_PERMISSION, HostCommand
from .resize import check_resize_progress, revert_server

# What Nova calls a migration that has ended in no move, and one that is not over although the server may be free again.
_FAILED_STATUSES = frozenset({"error", "failed", "cancelled"})
_OPEN_STATUSES = frozenset(
    {"accepted", "queued", "preparing", "pre-migrating", "migrating", "running", "post-migrating"}
)
_ABORTABLE_STATUSES = frozenset({"queued", "preparing", "running"})
LIVE = "live-migration"


def abort_live_migrations(compute: Compute, server_id: str, data: dict[str, Any]) -> int:
    """Abort the live migrations of a server that are under way; return how many were found.

    `data` is that of the job: migrations in its "migrations_before" are left alone, and one that it has aborted is not aborted
    again. Nova refuses to abort one whose end has begun: it then ends as it would have.
    """
    before, aborted = set(data.get("migrations_before", ())), data.setdefault("aborted", [])
    found = [
        one
        for one in compute.list_migrations(server_id)
        if one.id not in before and one.kind == LIVE and one.status in _OPEN_STATUSES
    ]
    for one in found:
        if one.number is None or one.id in aborted or one.status not in _ABORTABLE_STATUSES:
            continue
        with contextlib.suppress(CloudConflictError, CloudNotFoundError, InvalidCloudRequestError):
            compute.abort_live_migration(server_id, one.number)
            aborted.append(one.id)
    return len(found)


class MigrationCommand(HostCommand):
    """Request a migration, wait until it is over, and check by Nova's list of migrations how it ended.

    Nova accepts a migration for which it then finds no host; the server is as it was before. An attempt that died after the
    request is recognized by the migrations and actions that Nova had not on record before this job.
    """

    host: str
    deadline: ClassVar[timedelta] = minutes(240)
    operation: ClassVar[VMOperationLog.Operation]
    verb: ClassVar[str | Promise]
    allowed_from: ClassVar[frozenset[VMStatus]]
    nova_action: ClassVar[str]  # Its name in Nova's list of the server's actions.
    nova_statuses: ClassVar[tuple[str, ...]]  # Nova's statuses of the server when the work is over.

    @abstractmethod
    def send(self, compute: Compute) -> None:
        """Send the request to Nova."""

    def undo_migration(self) -> Result:
        """Wait until Nova has finished its work: there is no way back, and the VM stays locked until it is free."""
        try:
            server = self.cloud().compute.get_server(self.server_id)
        except CloudNotFoundError:
            return Done(_("The server is gone."))
        if server.task_state is None or server.status == "ERROR" or self.is_lost(server):
            return Done()
        return Wait(2.0, _("Waiting for the cloud to release the server."))

    def validate(self) -> list[Refusal]:
        """Refuse a VM whose state does not allow the migration."""
        if refusals := self.unbound_refusals():
            return refusals
        if self.vm.pending_resize is not None:
            message = _("This VM is being resized; confirm or revert that first.")
            return [Refusal("wrong_state", message, details={"allowed": allowed_actions(self.vm)})]
        if self.vm.status in self.allowed_from:
            return []
        message = _("Can't %(action)s a VM in state '%(status)s'.")
        return [
            Refusal("wrong_state", message % {"action": self.verb, "status": VMStatus(self.vm.status).label})
        ]

    @step(title=gettext_lazy("Record current state"))
    def record_migrations(self) -> Result:
        """Record the server's host, and what Nova has on record, to tell this job's migration from it."""
        compute = self.cloud().compute
        server = compute.get_server(self.server_id)
        self.data["hosts"] = [name for name in (server.host, server.hypervisor) if name]
        self.data["migrations_before"] = [one.id for one in compute.list_migrations(self.server_id)]
        self.data["actions_before"] = self.list_actions(compute)
        return Done()

    def list_actions(self, compute: Compute) -> list[str]:
        """Return the request ids of the actions of this kind that Nova has on record for the server."""
        actions = compute.list_server_actions(self.server_id)
        return [action.request_id for action in actions if action.action == self.nova_action]

    def was_requested_before(self, compute: Compute) -> bool:
        """Return whether an earlier attempt of this job has requested the migration."""
        if new := set(self.list_actions(compute)) - set(self.data["actions_before"]):
            self.data["request_id"] = min(new)
            return True
        migrations = {one.id for one in compute.list_migrations(self.server_id)}
        return bool(migrations - set(self.data["migrations_before"]))

    @step(title=gettext_lazy("Send request to cloud"))
    def request_migration(self) -> Result:
        """Request the migration, unless an earlier attempt of this job has."""
        compute = self.cloud().compute
        if self.retrying and self.was_requested_before(compute):
            return Done(_("Already requested by an earlier attempt."))
        try:
            self.send(compute)
        except CloudConflictError as refusal:
            return self.build_refusal(refusal, compute.get_server(self.server_id), "wrong_state")
        self.record_request_id()
        return Done()

    @request_migration.undo
    def undo_request(self) -> Result:
        """Undo the migration, where Nova can."""
        return self.undo_migration()

    @step(deadline=minutes(180), title=gettext_lazy("Wait until migrated"))
    def wait_until_migrated(self) -> Result:
        """Wait until Nova has finished its work. A server in its former state may have stayed where it was."""
        return self.watch(*self.nova_statuses, unless={"ERROR", MISSING})

    @wait_until_migrated.stalled
    def check_progress(self) -> Result:
        """Fail when no host works on the migration."""
        return check_resize_progress(self)

    @step(title=gettext_lazy("Check result"))
    def check_result(self) -> Result:
        """Fail when Nova has no migration on record that has succeeded."""
        compute = self.cloud().compute
        before = set(self.data["migrations_before"])
        new = [one for one in compute.list_migrations(self.server_id) if one.id not in before]
        if not new or new[0].status in _FAILED_STATUSES:
            message = _(
                "The cloud did not move the VM: no other host could take it, or the migration failed."
            )
            return Failed("not_migrated", message + self.describe_request())
        if new[0].status in _OPEN_STATUSES:
            return Wait(1.0, _("Waiting for the cloud to report %s.") % "completed")
        return Done()


@register
@dataclass
class LiveMigrateVmCommand(MigrationCommand):
    """Move a running server to another host without stopping it."""

    vm_id: str
    host: str = ""  # "": Nova chooses.

    kind: ClassVar[str] = "vms.live_migrate"
    title: ClassVar[str | Promise] = gettext_lazy("Live-migrate VM")
    operation: ClassVar[VMOperationLog.Operation] = VMOperationLog.Operation.LIVE_MIGRATE
    verb: ClassVar[str | Promise] = gettext_lazy("live-migrate")
    allowed_from: ClassVar[frozenset[VMStatus]] = frozenset({VMStatus.RUNNING, VMStatus.PAUSED})
    nova_action: ClassVar[str] = "live-migration"
    nova_statuses: ClassVar[tuple[str, ...]] = ("ACTIVE", "PAUSED")
    # Tenants see the job, and may not interfere with what staff do to the hosts.
    cancel_permission: ClassVar[str] = STAFF_PERMISSION

    def undo_migration(self) -> Result:
        """Abort the migration as long as Nova can; then wait until the server is free, wherever it is."""
        if "migrations_before" in self.data:
            abort_live_migrations(self.cloud().compute, self.server_id, self.data)
        return super().undo_migration()

    @classmethod
    def can_be_undone(cls) -> bool:
        """Return False: a live migration is not brought back."""
        return False

    def send(self, compute: Compute) -> None:
        """Send the request to Nova."""
        compute.live_migrate_server(self.server_id, host=self.host or None)


@register
@dataclass
class MigrateVmCommand(MigrationCommand):
    """Stop a server, start it on another host, and confirm that at once.

    Nova keeps both copies until the confirmation. The size is the same as before, so there is nothing for the tenant to check,
    and no pending resize that would block the VM meanwhile.
    """

    vm_id: str
    host: str = ""  # "": Nova chooses.

    kind: ClassVar[str] = "vms.migrate"
    title: ClassVar[str | Promise] = gettext_lazy("Migrate VM")
    operation: ClassVar[VMOperationLog.Operation] = VMOperationLog.Operation.MIGRATE
    verb: ClassVar[str | Promise] = gettext_lazy("migrate")
    allowed_from: ClassVar[frozenset[VMStatus]] = frozenset({VMStatus.RUNNING, VMStatus.STOPPED})
    nova_action: ClassVar[str] = "migrate"
    # The last two: no host had room for it.
    nova_statuses: ClassVar[tuple[str, ...]] = ("VERIFY_RESIZE", "ACTIVE", "SHUTOFF")

    def send(self, compute: Compute) -> None:
        """Send the request to Nova."""
        compute.migrate_server(self.server_id, host=self.host or None)

    def undo_migration(self) -> Result:
        """Return the server to its former host, unless the migration is confirmed."""
        result = revert_server(self, _("Waiting for the cloud to return the server to its former host."))
        return Wait(result.seconds, self.hide_hosts(result.message)) if isinstance(result, Wait) else result

    @step(deadline=minutes(5), title=gettext_lazy("Confirm migration"))
    def request_confirmation(self) -> Result:
        """Confirm the migration, unless it is over. Nova refuses a second confirmation while it carries the first one out."""
        compute = self.cloud().compute
        if compute.get_server(self.server_id).status != "VERIFY_RESIZE":
            return Done()
        try:
            compute.confirm_resize(self.server_id)
        except CloudConflictError as refusal:
            server = compute.get_server(self.server_id)
            if server.status != "VERIFY_RESIZE":
                return Done()
            if self.is_lost(server):
                return self.build_lost_failure(self.hide_hosts(describe_refusal(refusal)))
            return Wait(2.0, self.hide_hosts(describe_refusal(refusal)))
        self.record_request_id()
        return Done()

    @step(deadline=minutes(30), title=gettext_lazy("Wait for completion"))
    def wait_until_confirmed(self) -> Result:
        """Wait until Nova has deleted the former copy."""
        return self.watch("ACTIVE", "SHUTOFF")

    @wait_until_confirmed.stalled
    def check_confirmation(self) -> Result:
        """Fail when no host works on the confirmation."""
        return check_resize_progress(self)


@register
@dataclass
class EvacuateVmCommand(MigrationCommand):
    """Build a server anew on another host, because its own is dead. Without shared storage, its root disk is lost."""

    vm_id: str
    host: str = ""  # "": Nova chooses.

    kind: ClassVar[str] = "vms.evacuate"
    title: ClassVar[str | Promise] = gettext_lazy("Evacuate VM")
    operation: ClassVar[VMOperationLog.Operation] = VMOperationLog.Operation.EVACUATE
    verb: ClassVar[str | Promise] = gettext_lazy("evacuate")
    allowed_from: ClassVar[frozenset[VMStatus]] = frozenset(
        {VMStatus.RUNNING, VMStatus.STOPPED, VMStatus.ERROR}
    )
    nova_action: ClassVar[str] = "evacuate"
    nova_statuses: ClassVar[tuple[str, ...]] = ("ACTIVE", "SHUTOFF")

    @classmethod
    def can_be_undone(cls) -> bool:
        """Return False: an evacuation is not brought back."""
        return False

    def send(self, compute: Compute) -> None:
        """Send the request to Nova."""
        compute.evacuate_server(self.server_id, host=self.host or None)

    def translate(self, error: Exception) -> Wait | Failed | None:
        """Translate an error; say when Nova evacuates."""
        if isinstance(error, InvalidCloudRequestError):
            message = _(
                "Nova evacuates a VM only while the compute service of its host is down, and only to another host. %(reason)s"
            )
            reason = self.hide_hosts(describe_refusal(error))
            return Failed("evacuation_refused", message % {"reason": reason})
        return super().translate(error)


MIGRATION_COMMANDS: dict[str, type[LiveMigrateVmCommand | MigrateVmCommand]] = {
    "live": LiveMigrateVmCommand,
    "cold": MigrateVmCommand,
}
