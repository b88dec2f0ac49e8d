"""Create a VM in the cloud: boot volume, server, wait until it runs. A failure leaves nothing behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, ClassVar

from django.conf import settings
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from api.messages import message as _
from networks.commands import (
    TakeFloatingIpCommand,
    build_floating_ip_columns,
    convert_record,
    explain_refusal,
    record_ports,
)
from networks.models import FloatingIp
from openstack_client import (
    CloudError,
    CloudNotFoundError,
    CloudQuotaExceededError,
    InvalidCloudRequestError,
    Server,
    ServerNetwork,
)
from openstack_client.compute import Compute
from tasks.command import Done, Failed, Failure, Result, Spawn, Wait, minutes, register, step
from tasks.models import JobLogLine
from volumepool.commands import ClaimSpareCommand, CreateVolumeCommand
from volumepool.models import Volume

from ..host_hooks import get_host_hooks
from ..models import VirtualMachine, VMOperationLog
from .addresses import attach_to_server
from .logins import build_login_params, find_login, import_key_pair
from .server import ServerCommand, build_server_metadata, delete_servers, vm_tag

# Nova's queue counts as stuck when it has built nothing for this long.
QUEUE_STUCK_AFTER = timedelta(seconds=40)


def is_overtaken(compute: Compute, server: Server) -> bool:
    """Return whether Nova has passed over a server that is not built yet.

    It has when it has built a server of ours that was requested later, or none of ours for `QUEUE_STUCK_AFTER`.
    Otherwise the server is still queued.
    """
    created = server.created_at
    if created is None:
        return True
    since = min(created, timezone.now() - QUEUE_STUCK_AFTER)
    built = [
        (candidate.created_at, candidate.launched_at)
        for candidate in compute.list_servers(changes_since=since)
        if candidate.launched_at is not None
    ]
    if any(requested_at is not None and requested_at > created for requested_at, _launched_at in built):
        return True
    stuck_since = timezone.now() - QUEUE_STUCK_AFTER
    return not any(launched_at > stuck_since for _requested_at, launched_at in built)


@register
@dataclass
class CreateVmCommand(ServerCommand):
    """Create the server of a VM's row. Image, flavor and network were chosen, and the quota was checked, when the row was written.

    The server carries the ids of the VM and the job as tags from its creation, so it is found again after any crash. When
    the job fails, the server and its volume are deleted until the cloud confirms it, and so is the row; the operation log
    stays.
    """

    vm_id: str
    flavor_id: str
    network_id: str
    image_id: str
    availability_zone: str | None = None
    boot_volume_id: str | None = None  # The row of the volume that the server boots from.
    volume_snapshot_id: str | None = (
        None  # The snapshot that the volume is copied from, if it is not the image.
    )
    spare_id: str | None = None  # Cinder's id of the spare that the row has claimed, if one was ready.
    spare_name: str = ""
    has_login: bool = False  # Whether there are keys or user data for it, in a row of their own (`VMLogin`).
    registers_host: bool = False  # Whether it becomes a host of deployments when it runs.
    # Networks in place of `network_id`, as {"network_id", "fixed_ip"}; and ids in the cloud.
    networks: list[dict[str, str]] | None = None
    security_group_ids: list[str] = field(default_factory=list)
    server_group_id: str | None = None
    floating_ip_id: str | None = None  # The row of the floating IP that is taken for the VM.

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
        """Lock the VM and its boot volume: otherwise the reconciliation would treat the spare as a separate claim."""
        volume = [f"volume:{self.boot_volume_id}"] if self.boot_volume_id else []
        address = [f"{FloatingIp.lock_name}:{self.floating_ip_id}"] if self.floating_ip_id else []
        return [*super().locks(), *volume, *address]

    def new_row_params(self) -> frozenset[str]:
        """Return the VM, its boot volume and its address; and the spare, which is whichever is ready then."""
        return frozenset({"vm_id", "boot_volume_id", "floating_ip_id", "spare_id", "spare_name"})

    def describe_change(self) -> dict[str, Any]:
        """Return also where the VM is created and from what, its SSH keys, and a digest of its user data.

        The digest is keyed, so that a secret in the user data can't be guessed from it.
        """
        login = find_login(self.vm_id) if self.has_login else None
        keys = [f"{key['name']} {key['fingerprint']}" for key in login.ssh_keys] if login else []
        user_data = login.decrypt_user_data() if login else ""
        digest = salted_hmac("vms.creation.user_data", user_data, algorithm="sha256").hexdigest()[:16]
        return {
            **super().describe_change(),
            "account": self.vm.account.name,
            "region": self.vm.region,
            "flavor": self.vm.flavor_name,
            "image": self.vm.image_name,
            "ssh_keys": keys,
            "user_data_digest": digest if user_data else "",
        }

    @property
    def server_id(self) -> str:
        """Return Nova's id of the server that this job has created."""
        return str(self.data["server_id"])

    @step(title=gettext_lazy("Create boot volume"))
    def create_boot_volume(self) -> Result:
        """Create the boot volume, if the VM boots from one, or claim the spare that is a copy of the image already."""
        if self.boot_volume_id is None:
            return Done(_("The VM boots from its image."), skipped=True)
        snapshot_id = self.volume_snapshot_id or ""
        image_id = "" if snapshot_id else self.image_id
        if self.spare_id is not None:
            claim = ClaimSpareCommand(
                self.boot_volume_id,
                self.spare_id,
                snapshot_id,
                image_id,
                for_vm=True,
                spare_name=self.spare_name,
            )
            return Spawn([claim])
        return Spawn(
            [
                CreateVolumeCommand(
                    self.boot_volume_id, image_id=image_id or None, snapshot_id=snapshot_id or None
                )
            ]
        )

    @step(title=gettext_lazy("Import SSH key"))
    def import_ssh_key(self) -> Result:
        """Import the first key into Nova, for images without cloud-init. The key pair is shared, so it has no undo (`sync/key_pairs.py`)."""
        login = find_login(self.vm_id) if self.has_login else None
        if login is None or not login.key_name:
            return Done(skipped=True)
        problem = import_key_pair(self.cloud().compute, login)
        self.data["has_key_pair"] = not problem
        return Done(problem)

    @step(title=gettext_lazy("Take floating IP"))
    def take_floating_ip(self) -> Result:
        """Take the floating IP that the VM is to have, before anything is built: external networks run out of addresses."""
        if self.floating_ip_id is None:
            return Done(_("The VM gets no floating IP."), skipped=True)
        return Spawn([TakeFloatingIpCommand(self.floating_ip_id)])

    @step(title=gettext_lazy("Request server from cloud"))
    def request_server(self) -> Result:
        """Create the server, unless an earlier attempt has. If that is unknown, nothing is created."""
        compute = self.cloud().compute
        # An earlier attempt may have sent a request that Nova has not processed yet.
        self.data["asked_again"] = self.retrying
        if self.retrying and (found := compute.find_servers_by_tag(vm_tag(self.vm_id))):
            self.data["server_id"] = found[0].id
            return Done(_("Already created by an earlier attempt."))
        networks = self.list_networks()
        for one in networks:
            # Nova does not check this, and the last sync may not have seen the gateway.
            if one.network_id and one.fixed_ip:
                self.cloud().network.refuse_gateways(one.network_id, [one.fixed_ip])
        self.data["server_id"] = compute.create_server(
            name=self.vm.name,
            flavor_id=self.flavor_id,
            networks=networks,
            security_groups=self.security_group_ids,
            server_group_id=self.server_group_id,
            tags=[settings.CLOUD_TAG, vm_tag(self.vm_id), f"portal-job-{self.job.pk}"],
            image_id=None if self.boot_volume_id else self.image_id,
            boot_volume_id=self.boot_volume_cinder_id(),
            availability_zone=self.availability_zone,
            metadata=build_server_metadata(self.vm, self.vm.metadata),
            **self.build_login_params(),
        ).id
        self.record_request_id()
        return Done()

    def build_login_params(self) -> dict[str, Any]:
        """Return the key pair and the user data of the server, as arguments of `create_server`."""
        login = find_login(self.vm_id) if self.has_login else None
        return build_login_params(login, has_key_pair=bool(self.data.get("has_key_pair")))

    def translate(self, error: Exception) -> Wait | Failed | None:
        """Translate an error; say in words what is known about refusals of Neutron's.

        Import the key again when the cleanup has removed its key pair since the step before.
        """
        if not isinstance(error, CloudQuotaExceededError) and (refused := explain_refusal(error)):
            return refused
        if isinstance(error, InvalidCloudRequestError) and self.data.get("has_key_pair"):
            compute, login = self.cloud().compute, find_login(self.vm_id)
            try:
                if login is not None and compute.find_keypair(login.key_name) is None:
                    self.data["has_key_pair"] = not import_key_pair(compute, login)
                    return Wait(0.5)
            except CloudError as reason:
                return super().translate(reason)
        return super().translate(error)

    def list_networks(self) -> list[ServerNetwork]:
        """Return the networks of the server, with the addresses of choice. Nova makes the ports, and deletes them with the server."""
        if self.networks is None:
            return [ServerNetwork(self.network_id)]
        return [ServerNetwork(one["network_id"], one["fixed_ip"] or None) for one in self.networks]

    def boot_volume_cinder_id(self) -> str | None:
        """Return Cinder's id of the boot volume, or None when the VM boots from its image."""
        if self.boot_volume_id is None:
            return None
        return Volume.objects.values_list("volume_id", flat=True).get(pk=self.boot_volume_id)

    def list_server_ids(self) -> list[str]:
        """Return the ids of every server that was ever created for this VM and still exists."""
        return [server.id for server in self.cloud().compute.find_servers_by_tag(vm_tag(self.vm_id))]

    @request_server.undo
    def delete_server(self) -> Result:
        """Delete every server that was created, until the cloud has none, including one whose id was never received."""
        ids = set(self.list_server_ids())
        if "server_id" in self.data:
            ids.add(self.server_id)
        return delete_servers(self.cloud().compute, sorted(ids))

    @step(deadline=minutes(30), title=gettext_lazy("Wait until running"))
    def wait_until_running(self) -> Result:
        """Wait for ACTIVE; a server that has run before, and was stopped or paused since, is built too."""
        if self.retrying:
            server = self.cloud().compute.get_server(self.server_id)
            if server.launched_at is not None and server.status not in {"BUILD", "ERROR"}:
                return Done(_("The cloud reports %s.") % server.status)
        return self.watch("ACTIVE")

    @wait_until_running.stalled
    def check_progress(self) -> Result:
        """Fail for a server without progress while servers that were requested later are built: its request was lost."""
        compute = self.cloud().compute
        try:
            server = compute.get_server(self.server_id)
        except CloudNotFoundError:
            return Wait(1.0)  # The watch reports that.
        if server.status == "BUILD" and self.is_lost(server) and is_overtaken(compute, server):
            return self.build_lost_failure(
                _("the server shows '%(task)s', and no host works on it.")
                % {"task": server.task_state or "BUILD"}
            )
        return Wait(0.0, _("The cloud still reports %s.") % (server.task_state or server.status))

    @step(title=gettext_lazy("Check for duplicates"))
    def delete_duplicates(self) -> Result:
        """Delete the server of an earlier request whose answer was lost, if there may have been one."""
        if not self.data["asked_again"]:
            return Done()
        duplicates = [server_id for server_id in self.list_server_ids() if server_id != self.server_id]
        return delete_servers(self.cloud().compute, duplicates)

    @step(title=gettext_lazy("Attach floating IP"))
    def attach_floating_ip(self) -> Result:
        """Let the floating IP lead to the server, and read its ports. When the job fails, the address is given back, which detaches it."""
        network = self.cloud().network
        if self.floating_ip_id is None and self.networks is None and not self.security_group_ids:
            return Done(_("The VM gets no floating IP."), skipped=True)
        if self.floating_ip_id is not None:
            address_id = str(
                FloatingIp.objects.values_list("cloud_id", flat=True).get(pk=self.floating_ip_id)
            )
            attached = attach_to_server(network, self.server_id, "", address_id)
            if isinstance(attached, Failed):
                return attached
            self.data["address"] = convert_record("floating_ip", attached)
        self.data["ports"] = [
            convert_record("port", one) for one in network.list_server_ports(self.server_id)
        ]
        return Done()

    def on_success(self) -> None:
        """Bind the row to the server, and write the last observation of it."""
        vm = self.lock_observed_vm()
        vm.openstack_id = self.server_id
        vm.last_start_time = Now()
        vm.save()
        if self.boot_volume_id is not None:
            Volume.objects.filter(pk=self.boot_volume_id).update(
                vm=vm, is_boot=True, status="in-use", server_id=self.server_id
            )
        place = (vm.account_id, vm.region)
        if "ports" in self.data:
            record_ports(place, self.server_id, self.data["ports"])
        if "address" in self.data:
            columns = build_floating_ip_columns(place, self.data["address"])
            columns["server_id"] = self.server_id
            FloatingIp.objects.filter(pk=self.floating_ip_id or "").update(**columns, vm=vm)
        self.log(vm, VMOperationLog.Operation.CREATE, success=True)
        hooks = get_host_hooks()
        if self.registers_host and hooks is not None and (problem := hooks.register_host(vm.pk)):
            self.log_message(problem, JobLogLine.Level.WARNING)

    def on_failure(self, failure: Failure) -> None:
        """Delete the rows, because the cloud has nothing of the VM. The operation log keeps the reason."""
        vm = self.lock_observed_vm()
        self.log(
            vm,
            VMOperationLog.Operation.CREATE,
            success=False,
            detail=failure.detail,
        )
        # The row of a volume whose creation never began; the job of a created volume has deleted its row. A spare that was
        # not renamed yet still carries its pool's metadata, so the reconciliation returns it to the pool.
        if self.boot_volume_id is not None:
            never_begun = Q(volume_id=None) | Q(volume_id=self.spare_id)
            Volume.objects.filter(never_begun, pk=self.boot_volume_id).delete()
        # The row of a floating IP whose taking never began; the job of a taken one has deleted its row.
        if self.floating_ip_id is not None:
            FloatingIp.objects.filter(pk=self.floating_ip_id, cloud_id=None).delete()
        VirtualMachine.objects.filter(pk=self.vm_id).delete()
