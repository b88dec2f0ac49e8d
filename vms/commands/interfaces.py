"""Attach interfaces to servers, detach them, and set the security groups of their ports."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from api.messages import message as _
from networks.commands import build_floating_ip_columns, convert_record, explain_refusal, record_ports
from networks.models import FloatingIp, RowStatus
from openstack_client import CloudNotFoundError, FixedIp
from tasks.command import Done, Failed, Failure, Refusal, Result, Wait, minutes, register, step

from ..models import VirtualMachine, VMOperationLog, VmPort, VMStatus
from .server import ServerCommand

# Nova refuses to change the interfaces of any other server.
CHANGEABLE_STATUSES = frozenset({VMStatus.RUNNING, VMStatus.STOPPED, VMStatus.PAUSED})


class NetworkCommand(ServerCommand):
    """A command about the ports of a VM."""

    operation: ClassVar[str]

    @property
    def place(self) -> tuple[int, str]:
        """Return the account's key and the region of the VM."""
        return self.vm.account_id, self.vm.region

    def validate(self) -> list[Refusal]:
        """Refuse a VM whose state does not allow it."""
        if refusals := self.unbound_refusals():
            return refusals
        status = VMStatus(self.vm.status)
        if status in CHANGEABLE_STATUSES:
            return []
        message = _("Can't change the networks of a VM in state '%(status)s'.")
        return [Refusal("wrong_state", message % {"status": status.label})]

    def translate(self, error: Exception) -> Wait | Failed | None:
        """Translate an error; say in words what is known about refusals of Neutron's."""
        return explain_refusal(error) or super().translate(error)

    def read_ports(self) -> None:
        """Read the ports of the server as they are now, for the synced resources."""
        ports = self.cloud().network.list_server_ports(self.server_id)
        self.data["ports"] = [convert_record("port", port) for port in ports]

    def write_ports(self) -> None:
        """Write the ports that were read last, in the transaction that ends the job."""
        if "ports" in self.data:
            record_ports(self.place, self.server_id, self.data["ports"])

    def log_end(self, failure: Failure | None = None, detail: str = "") -> None:
        """Append the end of the job to the operation log."""
        vm = VirtualMachine.objects.select_related("information_system").get(pk=self.vm_id)
        if failure is not None:
            detail = failure.detail
        self.log(vm, self.operation, success=failure is None, detail=detail)

    def on_failure(self, failure: Failure) -> None:
        """Write the reason into the operation log."""
        self.log_end(failure)


@register
@dataclass
class AttachInterfaceCommand(NetworkCommand):
    """Make the port of a row in Neutron, and attach it to a server. A failure leaves no port behind."""

    vm_id: str
    port_row_id: str
    network_id: str
    fixed_ip: str = ""
    security_group_ids: list[str] | None = None

    kind: ClassVar[str] = "vms.attach_interface"
    title: ClassVar[str | Promise] = gettext_lazy("Attach interface to VM")
    operation: ClassVar[str] = VMOperationLog.Operation.ATTACH_INTERFACE

    @cached_property
    def marker(self) -> str:
        """Return the marker by which the port is found after a crash."""
        return VmPort(pk=self.port_row_id).marker

    @step(title=gettext_lazy("Create port"))
    def create_port(self) -> Result:
        """Create the port, unless an earlier attempt has."""
        network = self.cloud().network
        self.data["asked_again"] = self.retrying
        if self.retrying and (found := network.find_ports_by_marker(self.marker)):
            self.data["port_id"] = found[0].id
            return Done(_("Already created by an earlier attempt."))
        self.data["port_id"] = network.create_port(
            self.network_id,
            name=self.vm.name[:200],
            marker=self.marker,
            fixed_ips=[FixedIp("", self.fixed_ip)] if self.fixed_ip else (),
            security_group_ids=self.security_group_ids,
        ).id
        self.record_request_id()
        return Done()

    @create_port.undo
    def delete_port(self) -> Result:
        """Delete every port that was created for the row."""
        network = self.cloud().network
        for port in network.find_ports_by_marker(self.marker):
            network.delete_port(port.id)
        return Done()

    @step(deadline=minutes(10), title=gettext_lazy("Attach port to server"))
    def attach_port(self) -> Result:
        """Attach the port; a port that is attached to this server already is a success."""
        self.cloud().compute.attach_port(self.server_id, self.data["port_id"])
        return Done()

    @attach_port.undo
    def detach_port(self) -> Result:
        """Detach the port, until Nova no longer lists it."""
        return detach_until_gone(self, self.data["port_id"])

    @step(title=gettext_lazy("Check for duplicates"))
    def delete_duplicates(self) -> Result:
        """Delete the ports of earlier requests whose answers were lost, and read the server's ports."""
        network = self.cloud().network
        if self.data["asked_again"]:
            for port in network.find_ports_by_marker(self.marker):
                if port.id != self.data["port_id"]:
                    network.delete_port(port.id)
        self.read_ports()
        return Done()

    def on_success(self) -> None:
        """Bind the row to the port, and write the ports of the server."""
        VmPort.objects.filter(pk=self.port_row_id).update(
            cloud_id=self.data["port_id"], status=RowStatus.ACTIVE
        )
        self.write_ports()
        self.log_end(detail=self.fixed_ip)

    def on_failure(self, failure: Failure) -> None:
        """Delete the row, because the cloud has nothing of the port."""
        VmPort.objects.filter(pk=self.port_row_id).delete()
        super().on_failure(failure)


def detach_until_gone(command: ServerCommand, port_id: str) -> Result:
    """Detach a port from a command's server, and wait until Nova no longer lists it. A server that is gone has no ports."""
    compute = command.cloud().compute
    try:
        if all(port.port_id != port_id for port in compute.list_interfaces(command.server_id)):
            return Done()
        if not command.data.get("detach_requested"):
            compute.detach_interface(command.server_id, port_id)
            command.data["detach_requested"] = True
    except CloudNotFoundError:
        return Done()
    return Wait(0.5, _("Waiting for the interface to be detached."))


@register
@dataclass
class DetachInterfaceCommand(NetworkCommand):
    """Detach a port from a server, and delete it if the portal made it; Nova deletes those that it made."""

    vm_id: str
    port_id: str

    kind: ClassVar[str] = "vms.detach_interface"
    title: ClassVar[str | Promise] = gettext_lazy("Detach interface from VM")
    operation: ClassVar[str] = VMOperationLog.Operation.DETACH_INTERFACE

    @step(deadline=minutes(10), title=gettext_lazy("Detach port from server"))
    def detach_port(self) -> Result:
        """Detach the port, until Nova no longer lists it."""
        return detach_until_gone(self, self.port_id)

    @step(title=gettext_lazy("Delete port"))
    def delete_port(self) -> Result:
        """Delete a port that the portal made, and read what is left: ports, and where floating IPs lead now."""
        network = self.cloud().network
        account_id, region = self.place
        if VmPort.objects.filter(account=account_id, region=region, cloud_id=self.port_id).exists():
            network.delete_port(self.port_id)
        self.read_ports()
        self.data["addresses"] = []
        for row in FloatingIp.objects.filter(account=account_id, region=region, port_id=self.port_id):
            try:
                found = convert_record("floating_ip", network.get_floating_ip(str(row.cloud_id)))
            except CloudNotFoundError:
                continue
            self.data["addresses"].append([str(row.pk), found])
        return Done()

    def on_success(self) -> None:
        """Write the ports that are left, and the floating IPs that lead nowhere now."""
        self.write_ports()
        for pk, found in self.data["addresses"]:
            columns = build_floating_ip_columns(self.place, found)
            vm = {} if columns["server_id"] == self.server_id else {"vm": None}
            FloatingIp.objects.filter(pk=pk).update(**columns, **vm)
        account_id, region = self.place
        VmPort.objects.filter(account=account_id, region=region, cloud_id=self.port_id).delete()
        self.log_end()


@register
@dataclass
class SetSecurityGroupsCommand(NetworkCommand):
    """Give the ports of a server security groups in place of those that they have: all of its ports, or one."""

    vm_id: str
    security_group_ids: list[str] = field(default_factory=list)
    port_id: str = ""

    kind: ClassVar[str] = "vms.set_security_groups"
    title: ClassVar[str | Promise] = gettext_lazy("Change security groups of VM")
    operation: ClassVar[str] = VMOperationLog.Operation.SECURITY_GROUPS

    def validate(self) -> list[Refusal]:
        """Refuse a VM without a server; its power state does not matter."""
        return self.unbound_refusals()

    @step(title=gettext_lazy("Read present security groups"))
    def read_groups(self) -> Result:
        """Read the groups that the ports have, for the undo."""
        ports = self.cloud().network.list_server_ports(self.server_id)
        if self.port_id:
            ports = [port for port in ports if port.id == self.port_id]
        filtered = [port for port in ports if port.is_port_security_enabled]
        if not filtered:
            code = "port_security_disabled" if ports else "no_interface"
            texts = {
                "port_security_disabled": _(
                    "The interface takes no security groups: port security is off for its network."
                ),
                "no_interface": _("The VM has no such interface any more."),
            }
            return Failed(code, texts[code])
        self.data["before"] = {port.id: sorted(port.security_group_ids) for port in filtered}
        return Done()

    @step(title=gettext_lazy("Set security groups"))
    def set_groups(self) -> Result:
        """Set the groups of each port, whatever others have changed meanwhile."""
        before: dict[str, Any] = self.data["before"]
        self.apply(dict.fromkeys(before, self.security_group_ids))
        self.read_ports()
        return Done()

    @set_groups.undo
    def restore_groups(self) -> Result:
        """Give the ports the groups that they had."""
        self.apply(self.data["before"])
        self.read_ports()
        return Done()

    def apply(self, groups: dict[str, Any]) -> None:
        """Set the groups of each port that has others. Raises `CloudChangedError` when others change a port at the same moment."""
        network = self.cloud().network
        for port_id, group_ids in groups.items():
            try:
                port = network.get_port(port_id)
                if set(port.security_group_ids) != set(group_ids):
                    network.set_port_security_groups(port_id, group_ids, revision=port.revision)
            except CloudNotFoundError:
                if self.job.ending:
                    continue  # A port that is gone needs no groups.
                raise

    def on_success(self) -> None:
        """Write the ports with their groups."""
        self.write_ports()
        self.log_end()

    def on_failure(self, failure: Failure) -> None:
        """Write the ports as they were read after the undo."""
        self.write_ports()
        super().on_failure(failure)
