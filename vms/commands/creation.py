"""What a worker does to make a VM: boot volume, server, seeing it active; and to leave nothing when that fails."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar

from django.conf import settings
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from openstack_client import NotFound, Server
from openstack_client.compute import Compute
from tasks.command import Done, Failure, Result, Spawn, Wait, minutes, register, step
from volumepool.commands import ClaimSpareCommand, CreateVolumeCommand
from volumepool.models import Volume

from ..models import VirtualMachine, VMOperationLog
from .server import ServerCommand, delete_servers, vm_tag

# A queue out of which nothing has come for so long stands still.
QUEUE_STANDS_AFTER = timedelta(seconds=40)


def is_overtaken(compute: Compute, server: Server) -> bool:
    """Whether a server that is not being built is not merely waiting for its turn.

    It is not, when Nova is through with one that was asked for later, or when nothing of ours has come out of the queue
    for a while.
    """
    made = server.created_at
    if made is None:
        return True
    since = min(made, timezone.now() - QUEUE_STANDS_AFTER)
    through = [other for other in compute.list_servers(changes_since=since) if other.launched_at is not None]
    if any(other.created_at is not None and other.created_at > made for other in through):
        return True
    lately = timezone.now() - QUEUE_STANDS_AFTER
    return not any(other.launched_at is not None and other.launched_at > lately for other in through)


@register
@dataclass
class CreateVmCommand(ServerCommand):
    """Make the server of a VM's row. What it is made of was chosen, and the quota checked, when it was recorded.

    The server carries the VM's and the job's id as tags from the moment in which it exists, so whatever dies in
    between, it is found again. When the job fails, the server and its volume are removed until the cloud confirms
    it, and the row goes; the operation log stays.
    """

    vm_id: str
    flavor_id: str
    network_id: str
    image_id: str
    availability_zone: str | None = None
    boot_volume_id: str | None = None  # The row of the volume to be made and booted from.
    volume_snapshot_id: str | None = None  # What that volume is a copy of, when it is not the image.
    spare_id: str | None = None  # Cinder's id of the spare that the row has been given, when one was ready.
    spare_name: str = ""

    kind: ClassVar[str] = "vms.create"
    title: ClassVar[str | Promise] = gettext_lazy("Create VM")
    renamed_steps: ClassVar[Mapping[str, str]] = {
        "make_boot_volume": "create_boot_volume",
        "ask_the_cloud": "request_server",
        "see_it_active": "wait_until_running",
        "keep_only_one": "delete_duplicates",
    }
    deadline: ClassVar[timedelta] = minutes(120)

    def locks(self) -> list[str]:
        """The VM, and the volume that it is to boot from: a spare would else be looked after as a claim of its own."""
        volume = [f"volume:{self.boot_volume_id}"] if self.boot_volume_id else []
        return [*super().locks(), *volume]

    @property
    def server_id(self) -> str:
        """Nova's id of the server that this job has made."""
        return str(self.data["server_id"])

    @step(title=gettext_lazy("Create boot volume"))
    def create_boot_volume(self) -> Result:
        """Copy the image to a volume, if the VM boots from one; a spare is a copy already."""
        if self.boot_volume_id is None:
            return Done(_("It boots from the image."))
        snapshot_id = self.volume_snapshot_id or ""
        image_id = "" if snapshot_id else self.image_id
        if self.spare_id is not None:
            taken = ClaimSpareCommand(
                self.boot_volume_id,
                self.spare_id,
                snapshot_id,
                image_id,
                for_vm=True,
                spare_name=self.spare_name,
            )
            return Spawn([taken])
        return Spawn(
            [
                CreateVolumeCommand(
                    self.boot_volume_id, image_id=image_id or None, snapshot_id=snapshot_id or None
                )
            ]
        )

    @step(title=gettext_lazy("Request server from cloud"))
    def request_server(self) -> Result:
        """Create it, unless an earlier try has. If that cannot be found out, nothing is created."""
        compute = self.cloud().compute
        # Who comes a second time may have asked before, and a lost request may still be on its way.
        self.data["asked_again"] = self.retrying
        if self.retrying and (found := compute.find_servers_by_tag(vm_tag(self.vm_id))):
            self.data["server_id"] = found[0].id
            return Done(_("It was there already."))
        self.data["server_id"] = compute.create_server(
            name=self.vm.name,
            flavor_id=self.flavor_id,
            network_ids=[self.network_id],
            tags=[settings.CLOUD_TAG, vm_tag(self.vm_id), f"portal-job-{self.job.pk}"],
            image_id=None if self.boot_volume_id else self.image_id,
            boot_volume_id=self.boot_volume_cinder_id(),
            availability_zone=self.availability_zone,
            metadata=self.vm.metadata | {"portal_vm": self.vm_id},
        ).id
        self.note_request()
        return Done()

    def boot_volume_cinder_id(self) -> str | None:
        """Cinder's id of the volume that was made for it."""
        if self.boot_volume_id is None:
            return None
        return Volume.objects.values_list("volume_id", flat=True).get(pk=self.boot_volume_id)

    def list_server_ids(self) -> list[str]:
        """Every server that was ever made for it and is still there."""
        return [server.id for server in self.cloud().compute.find_servers_by_tag(vm_tag(self.vm_id))]

    @request_server.undo
    def delete_server(self) -> Result:
        """Remove whatever was made, until the cloud has none of it: also one whose id was never heard."""
        ids = set(self.list_server_ids())
        if "server_id" in self.data:
            ids.add(self.server_id)
        return delete_servers(self.cloud().compute, sorted(ids))

    @step(deadline=minutes(30), title=gettext_lazy("Wait until running"))
    def wait_until_running(self) -> Result:
        """Wait for ACTIVE."""
        return self.watch("ACTIVE")

    @wait_until_running.stalled
    def check_progress(self) -> Result:
        """Give up on one that stands still while others that were asked for later are through: its request was lost."""
        compute = self.cloud().compute
        try:
            server = compute.get_server(self.server_id)
        except NotFound:
            return Wait(1.0)  # The watch sees that.
        if server.status == "BUILD" and self.is_lost(server) and is_overtaken(compute, server):
            return self.lost(
                _("it says '%(task)s', and nobody works on it.") % {"task": server.task_state or "BUILD"}
            )
        return Wait(0.0, _("The cloud still reports %s.") % (server.task_state or server.status))

    @step(title=gettext_lazy("Check for duplicates"))
    def delete_duplicates(self) -> Result:
        """Remove what a lost request has made besides, when one may have been lost."""
        if not self.data["asked_again"]:
            return Done()
        doubles = [server_id for server_id in self.list_server_ids() if server_id != self.server_id]
        return delete_servers(self.cloud().compute, doubles)

    def succeeded(self) -> None:
        """Bind the row, with what the cloud said of the server."""
        vm = self.lock_observed_vm()
        vm.openstack_id = self.server_id
        vm.last_start_time = Now()
        vm.save()
        if self.boot_volume_id is not None:
            Volume.objects.filter(pk=self.boot_volume_id).update(
                vm=vm, is_boot=True, status="in-use", server_id=self.server_id
            )
        self.log(vm, VMOperationLog.Operation.CREATE, success=True)

    def failed(self, failure: Failure) -> None:
        """The cloud has nothing of it, so the rows go. The log keeps the cloud's reason."""
        vm = self.lock_observed_vm()
        self.log(
            vm,
            VMOperationLog.Operation.CREATE,
            success=False,
            detail=f"{failure.code}: {failure.message}",
        )
        # A volume that was asked for and never begun; one that was made has been removed by its own job. A spare that was
        # never touched carries its pool's mark and goes back there.
        if self.boot_volume_id is not None:
            never_begun = Q(volume_id=None) | Q(volume_id=self.spare_id)
            Volume.objects.filter(never_begun, pk=self.boot_volume_id).delete()
        VirtualMachine.objects.filter(pk=self.vm_id).delete()
