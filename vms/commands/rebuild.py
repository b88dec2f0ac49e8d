"""Rebuild a server: its root disk is written anew from an image."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from api.messages import message as _
from cloudaccounts.commands import describe_refusal
from openstack_client import CloudConflictError, CloudNotFoundError, InvalidCloudRequestError
from openstack_client.compute import Compute
from tasks.command import Done, Failed, Failure, Refusal, Result, Wait, minutes, register, step
from tasks.polling import MISSING

from ..models import VMOperationLog, VMStatus
from ..removal_checks import list_disk_refusals
from .server import ServerCommand

REBUILDABLE_STATUSES = frozenset({VMStatus.RUNNING, VMStatus.STOPPED, VMStatus.ERROR})


@register
@dataclass
class RebuildVmCommand(ServerCommand):
    """Write a server's root disk anew from an image. Its id, addresses and other volumes stay; it ends running or stopped, as it was.

    Nothing can undo it: the former content of the disk is lost when Nova accepts the request. A rebuild leaves no trace in the
    status, so an attempt that died after the request is recognized by Nova's list of the server's actions.
    """

    vm_id: str
    image_id: str = ""  # "": the image that the server has.
    keep_key: bool = True
    keep_user_data: bool = True
    # The VM's columns of the image, which are written when the cloud has accepted it; {} for the image that the server has.
    columns: dict[str, Any] | None = None

    kind: ClassVar[str] = "vms.rebuild"
    title: ClassVar[str | Promise] = gettext_lazy("Rebuild VM")
    deadline: ClassVar[timedelta] = minutes(120)

    def validate(self) -> list[Refusal]:
        """Refuse a VM whose state allows no rebuild, or whose disk must not be lost."""
        if refusals := self.unbound_refusals():
            return refusals
        status = VMStatus(self.vm.status)
        if self.vm.pending_resize is not None:
            return [Refusal("wrong_state", _("This VM is being resized; confirm or revert that first."))]
        if status not in REBUILDABLE_STATUSES:
            message = _("Can't rebuild a VM in state '%(status)s'.")
            return [Refusal("wrong_state", message % {"status": status.label})]
        return list_disk_refusals(self.vm)

    def list_rebuilds(self, compute: Compute) -> list[str]:
        """Return the request ids of every rebuild that Nova has on record for the server."""
        actions = compute.list_server_actions(self.server_id)
        return [action.request_id for action in actions if action.action == "rebuild"]

    @step(title=gettext_lazy("Record current state"))
    def record_rebuilds(self) -> Result:
        """Record the rebuilds that Nova has on record, to tell this job's rebuild from them, and find the image."""
        compute = self.cloud().compute
        server = compute.get_server(self.server_id)
        self.data["is_volume_booted"] = server.image_id is None
        self.data["image_id"] = self.image_id or server.image_id
        if self.data["image_id"] is None:
            return Failed(
                "no_image", _("The VM boots from a volume and has no image of its own. Choose an image.")
            )
        self.data["rebuilds_before"] = self.list_rebuilds(compute)
        return Done()

    @step(title=gettext_lazy("Send request to cloud"))
    def request_rebuild(self) -> Result:
        """Request the rebuild, unless an earlier attempt of this job has."""
        compute = self.cloud().compute
        if self.retrying and (new := set(self.list_rebuilds(compute)) - set(self.data["rebuilds_before"])):
            self.data["request_id"] = min(new)
            self.data["is_accepted"] = True
            return Done(_("Already requested by an earlier attempt."))
        try:
            compute.rebuild_server(
                self.server_id,
                self.data["image_id"],
                keep_key=self.keep_key,
                keep_user_data=self.keep_user_data,
                replace_boot_volume=self.data["is_volume_booted"],
            )
        except CloudConflictError as refusal:
            return self.build_refusal(refusal, compute.get_server(self.server_id), "wrong_state")
        self.data["is_accepted"] = True
        self.record_request_id()
        return Done()

    @step(deadline=minutes(90), title=gettext_lazy("Wait until rebuilt"))
    def wait_until_rebuilt(self) -> Result:
        """Wait until Nova has written the disk and started the server, or left it stopped."""
        return self.watch("ACTIVE", "SHUTOFF", unless={"ERROR", MISSING})

    @wait_until_rebuilt.stalled
    def check_progress(self) -> Result:
        """Fail when no host works on the rebuild."""
        try:
            server = self.cloud().compute.get_server(self.server_id)
        except CloudNotFoundError:
            return Wait(1.0)  # The watch reports that.
        state = server.task_state or server.status
        if self.is_lost(server):
            return self.build_lost_failure(
                _("the server shows '%(task)s', and no host works on it.") % {"task": state}
            )
        return Wait(0.0, _("The cloud still reports %s.") % state)

    @step(title=gettext_lazy("Check result"))
    def check_result(self) -> Result:
        """Fail when Nova has no rebuild of this job on record, or one that ended in an error, although the server has a good state."""
        if not set(self.list_rebuilds(self.cloud().compute)) - set(self.data["rebuilds_before"]):
            return self.build_lost_failure(_("it has no rebuild of the server on record."))
        if self.has_failed():
            return Failed("rebuild_failed", _("The cloud gave up the rebuild.") + self.describe_request())
        return Done()

    def translate(self, error: Exception) -> Wait | Failed | None:
        """Translate an error; say what the rebuild of a server that boots from a volume needs."""
        if isinstance(error, InvalidCloudRequestError) and self.data.get("is_volume_booted"):
            message = _(
                "The cloud does not rebuild this VM, which boots from a volume: that needs OpenStack Zed or later. %(reason)s"
            )
            return Failed("rebuild_refused", message % {"reason": describe_refusal(error)})
        return super().translate(error)

    def on_success(self) -> None:
        """Write the image, and the operation log."""
        self._write(success=True, detail=(self.columns or {}).get("image_name", ""))

    def on_failure(self, failure: Failure) -> None:
        """Write the operation log; and the image if Nova has accepted it, because the server has that from then on."""
        self._write(success=False, detail=failure.detail)

    def _write(self, *, success: bool, detail: str) -> None:
        vm = self.lock_observed_vm()
        if self.data.get("is_accepted"):
            for name, value in (self.columns or {}).items():
                setattr(vm, name, value)
        vm.save()
        self.log(vm, VMOperationLog.Operation.REBUILD, success=success, detail=detail)
