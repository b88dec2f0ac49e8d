"""Commands by which staff act on the host of a server.

Jobs and operation logs belong to the VM's tenant, who must not see hosts. So no message of these commands names one: what the
cloud says is shown with the names of hosts left out. Staff see the host on the VM.
"""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar

from api.messages import map_texts
from api.messages import message as _
from cloudaccounts.commands import describe_refusal
from cloudaccounts.models import ComputeHost
from openstack_client import CloudConflictError, CloudForbiddenError, Server
from tasks.command import Failed, Failure, Wait

from ..models import VMOperationLog
from .server import ServerCommand

HIDDEN_HOST = "***"
STAFF_PERMISSION = "vms.change_virtualmachine"


class HostCommand(ServerCommand):
    """A command about the host of a server. Its messages name no host, and each end of it is in the operation log."""

    operation: ClassVar[VMOperationLog.Operation]

    @cached_property
    def hidden_names(self) -> list[str]:
        """Return the names of hosts that messages must not show, the longest first."""
        known = ComputeHost.objects.filter(account=self.vm.account_id, region=self.vm.region)
        names = {getattr(self, "host", ""), self.vm.host, *self.data.get("hosts", [])}
        for host, hypervisor in known.values_list("name", "hypervisor"):
            names |= {host, hypervisor}
        return sorted(filter(None, names), key=len, reverse=True)

    def hide_hosts(self, message: str) -> str:
        """Return a message with the names of hosts left out."""

        def hide(text: str) -> str:
            for name in self.hidden_names:
                text = text.replace(name, HIDDEN_HOST)
            return text

        return map_texts(message, hide)

    def translate(self, error: Exception) -> Wait | Failed | None:
        """Translate an error without the names of hosts; say in words that only administrators of a cloud may do this."""
        if isinstance(error, CloudForbiddenError):
            message = _(
                "The user of the cloud account may not move servers between hosts: that needs an administrator of the cloud. "
                "%(reason)s"
            )
            reason = self.hide_hosts(describe_refusal(error))
            return Failed("needs_cloud_administrator", message % {"reason": reason})
        result = super().translate(error)
        if isinstance(result, Failed):
            return Failed(result.code, self.hide_hosts(result.message))
        return Wait(result.seconds, self.hide_hosts(result.message)) if result is not None else None

    def build_refusal(self, refusal: CloudConflictError, server: Server, code: str = "") -> Failed:
        """Build the failure of a refused request, without the names of hosts."""
        failed = super().build_refusal(refusal, server, code)
        return Failed(failed.code, self.hide_hosts(failed.message))

    def explain(self, status: str, fault: str) -> str:
        """Return what the cloud reports, without the names of hosts."""
        return self.hide_hosts(super().explain(status, fault))

    def on_success(self) -> None:
        """Write the cloud's last report, which has the new host, and the operation log."""
        vm = self.lock_observed_vm()
        vm.save()
        self.log(vm, self.operation, success=True)

    def on_failure(self, failure: Failure) -> None:
        """Write the cloud's last report, if there was one, and the operation log."""
        vm = self.lock_observed_vm()
        vm.save()
        self.log(vm, self.operation, success=False, detail=failure.detail)
