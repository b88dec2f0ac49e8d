"""Read a server's console: its URL, or the last lines of its log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal
from uuid import UUID

from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from api.messages import message as _
from tasks.command import Done, Failure, Refusal, Result, register, step

from ..models import ConsoleReading, VirtualMachine, VMOperationLog, VMStatus
from .server import ServerCommand

_CONSOLE_STATUSES = frozenset({VMStatus.RUNNING, VMStatus.RESCUE})


@register
@dataclass
class ReadConsoleCommand(ServerCommand):
    """Read a console and keep the text for one user. It changes nothing, so it does not lock the VM, only another reading like it."""

    vm_id: str
    user_id: str
    reading: Literal["url", "log"]
    lines: int = 100

    kind: ClassVar[str] = "vms.read_console"
    title: ClassVar[str | Promise] = gettext_lazy("Read console of VM")
    renamed_steps: ClassVar[Mapping[str, str]] = {"ask_the_cloud": "read_console"}

    def locks(self) -> list[str]:
        """Lock this user's reading of this VM."""
        return [f"vm-console:{self.vm_id}:{self.user_id}:{self.reading}"]

    def validate(self) -> list[Refusal]:
        """Refuse the console URL of a VM that does not run, from its own disk or from a rescue image."""
        if refusals := self.unbound_refusals():
            return refusals
        if self.reading == "url" and self.vm.status not in _CONSOLE_STATUSES:
            return [Refusal("wrong_state", _("Only a running VM has a console."))]
        return []

    @step(title=gettext_lazy("Send request to cloud"))
    def read_console(self) -> Result:
        """Read the console and store it encrypted: a URL grants access, and a log may hold a password."""
        compute = self.cloud().compute
        text = (
            compute.create_console_url(self.server_id)
            if self.reading == "url"
            else compute.get_console_output(self.server_id, self.lines)
        )
        stored = ConsoleReading(vm=self.vm, user_id=UUID(self.user_id), kind=self.reading)
        stored.set_text(text[-100_000:])
        stored.read_at = timezone.now()
        ConsoleReading.objects.bulk_create(
            [stored],
            update_conflicts=True,
            unique_fields=["vm", "user", "kind"],
            update_fields=["encrypted_text", "read_at"],
        )
        return Done()

    def on_success(self) -> None:
        """Log that a user was given the console URL; readings of the log are not logged."""
        if self.reading == "url":
            vm = VirtualMachine.objects.select_related("information_system").get(pk=self.vm_id)
            self.log(vm, VMOperationLog.Operation.CONSOLE, success=True)

    def on_failure(self, failure: Failure) -> None:
        """Do nothing: the job has the reason."""
