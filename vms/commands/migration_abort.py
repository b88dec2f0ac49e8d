"""Abort a live migration that no job of the portal has begun. For staff.

A migration of the portal is aborted by cancelling its job, which holds the VM.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from api.messages import message as _
from tasks.command import Done, Failed, Refusal, Result, minutes, register, step
from tasks.polling import MISSING

from ..models import VMOperationLog
from .host_commands import STAFF_PERMISSION, HostCommand
from .migration import abort_live_migrations


@register
@dataclass
class AbortMigrationCommand(HostCommand):
    """Abort the live migration that is under way on a server; the server stays on its host."""

    vm_id: str

    kind: ClassVar[str] = "vms.abort_migration"
    title: ClassVar[str | Promise] = gettext_lazy("Abort live migration of VM")
    deadline: ClassVar[timedelta] = minutes(60)
    operation: ClassVar[VMOperationLog.Operation] = VMOperationLog.Operation.ABORT_MIGRATION
    cancel_permission: ClassVar[str] = STAFF_PERMISSION

    def validate(self) -> list[Refusal]:
        """Refuse a VM without a server. Whether it migrates is known to Nova alone."""
        return self.unbound_refusals()

    @step(title=gettext_lazy("Abort live migration"))
    def abort_migration(self) -> Result:
        """Abort what is under way. An attempt that is repeated finds the migration over, or aborts it again."""
        if not abort_live_migrations(self.cloud().compute, self.server_id, self.data) and not self.retrying:
            return Failed("not_migrating", _("The cloud has no live migration of this VM under way."))
        if not self.data["aborted"] and not self.retrying:
            return Failed(
                "not_abortable", _("The live migration is about to end, and can't be aborted any more.")
            )
        return Done()

    @step(deadline=minutes(30), title=gettext_lazy("Wait for completion"))
    def wait_until_free(self) -> Result:
        """Wait until Nova has put the server back."""
        return self.watch("ACTIVE", "PAUSED", unless={"ERROR", MISSING})
