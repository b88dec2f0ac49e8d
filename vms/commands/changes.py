"""Change a server's name and metadata."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from api.messages import message as _
from tasks.command import Done, Failure, Refusal, Result, register, step

from ..models import VMOperationLog, VMStatus
from .server import ServerCommand, build_server_metadata

_METADATA_STATUSES = frozenset({VMStatus.RUNNING, VMStatus.STOPPED, VMStatus.PAUSED, VMStatus.SUSPENDED})


@register
@dataclass
class ChangeVmCommand(ServerCommand):
    """Change the name of a server, its metadata, or both. Each request holds the whole value, so it is safe to repeat."""

    vm_id: str
    name: str | None = None
    metadata: dict[str, str] | None = None

    kind: ClassVar[str] = "vms.change"
    title: ClassVar[str | Promise] = gettext_lazy("Change VM")

    def validate(self) -> list[Refusal]:
        """Refuse a VM without a server, and metadata in a status in which Nova takes none."""
        if refusals := self.unbound_refusals():
            return refusals
        status = VMStatus(self.vm.status)
        if self.metadata is None or status in _METADATA_STATUSES:
            return []
        message = _("Can't change the metadata of a VM in state '%(status)s'.")
        return [Refusal("wrong_state", message % {"status": status.label}, field="metadata")]

    @step(title=gettext_lazy("Rename"))
    def rename(self) -> Result:
        """Rename the server."""
        if self.name is not None:
            self.cloud().compute.rename_server(self.server_id, self.name)
        return Done()

    @step(title=gettext_lazy("Set metadata"))
    def set_metadata(self) -> Result:
        """Replace the server's metadata; the portal's own key stays."""
        if self.metadata is not None:
            self.cloud().compute.replace_metadata(
                self.server_id, build_server_metadata(self.vm, self.metadata)
            )
        return Done()

    def on_success(self) -> None:
        """Write the new name and metadata."""
        vm = self.lock_observed_vm()
        details = []
        if self.name is not None:
            details.append(f"{vm.name} -> {self.name}")
            vm.name = self.name
        if self.metadata is not None:
            vm.metadata = self.metadata
            details.append(", ".join(f"{key}={value}" for key, value in sorted(self.metadata.items())))
        vm.save()
        self.log(vm, VMOperationLog.Operation.CHANGE, success=True, detail="; ".join(details)[:2000])

    def on_failure(self, failure: Failure) -> None:
        """Write the reason into the operation log."""
        vm = self.lock_observed_vm()
        self.log(vm, VMOperationLog.Operation.CHANGE, success=False, detail=failure.detail)
