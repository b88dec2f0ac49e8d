"""Attach floating IPs to servers, and detach them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from ipaddress import ip_address
from typing import Any, ClassVar

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from api.messages import message as _
from networks.commands import FloatingIpCommand, build_floating_ip_columns, convert_record
from networks.models import FloatingIp
from openstack_client import (
    CloudError,
    CloudFloatingIpAttachedError,
    CloudNoRouteError,
    CloudNotFoundError,
    CloudPortHasFloatingIpError,
)
from tasks.command import Done, Failed, Failure, Refusal, Result, register, step

from ..models import VirtualMachine, VMOperationLog, lock_key
from .interfaces import NetworkCommand
from .operation_log import log_operation


def attach_to_server(network: Any, server_id: str, wanted: str, floating_ip_id: str) -> Any:
    """Attach a floating IP to a port of a server, `wanted` or the first that can have it; return it, or `Failed`. Safe to repeat.

    A port can have it that has an IPv4 address, no other floating IP, and a router to the external network.
    """
    ports = {port.id: port for port in network.list_server_ports(server_id) if _has_ipv4(port)}
    if wanted:
        ports = {wanted: ports[wanted]} if wanted in ports else {}
    now = network.get_floating_ip(floating_ip_id)
    if now.port_id in ports:
        return now
    refusal: CloudError | None = None
    for port_id in sorted(ports):
        try:
            return network.attach_floating_ip(floating_ip_id, port_id)
        except (CloudNoRouteError, CloudPortHasFloatingIpError) as error:
            refusal = error
    if refusal is not None:
        raise refusal
    return Failed("no_interface", _("The VM has no such interface with an IPv4 address."))


def _has_ipv4(port: Any) -> bool:
    return any(fixed.ip_address and ip_address(fixed.ip_address).version == 4 for fixed in port.fixed_ips)


def detach_from_server(network: Any, server_id: str, floating_ip_id: str) -> None:
    """Detach a floating IP from the ports of a server; one that is gone, or leads elsewhere now, is left alone."""
    try:
        now = network.get_floating_ip(floating_ip_id)
        if now.port_id in {port.id for port in network.list_server_ports(server_id)}:
            network.detach_floating_ip(floating_ip_id, port_id=now.port_id)
    except (CloudNotFoundError, CloudFloatingIpAttachedError):
        return


@register
@dataclass
class AttachFloatingIpCommand(NetworkCommand):
    """Attach a floating IP to a port of a server."""

    vm_id: str
    floating_ip_id: str  # The row's key.
    port_id: str = ""

    kind: ClassVar[str] = "vms.attach_floating_ip"
    title: ClassVar[str | Promise] = gettext_lazy("Attach floating IP to VM")
    operation: ClassVar[str] = VMOperationLog.Operation.ATTACH_ADDRESS

    @cached_property
    def floating_ip(self) -> FloatingIp:
        """Return the floating IP as it was when the command first read it."""
        return FloatingIp.objects.get(pk=self.floating_ip_id)

    @property
    def address_id(self) -> str:
        """Return the id of the floating IP in the cloud."""
        return str(self.floating_ip.cloud_id)

    def locks(self) -> list[str]:
        """Lock the VM and the floating IP."""
        return [*super().locks(), f"{FloatingIp.lock_name}:{self.floating_ip_id}"]

    def validate(self) -> list[Refusal]:
        """Refuse a VM without a server; Neutron does not mind its power state."""
        return self.unbound_refusals()

    @step(title=gettext_lazy("Send request to cloud"))
    def request_attachment(self) -> Result:
        """Attach the address, unless it leads elsewhere meanwhile."""
        network = self.cloud().network
        try:
            attached = attach_to_server(network, self.server_id, self.port_id, self.address_id)
        except CloudFloatingIpAttachedError:
            self.data["found"] = convert_record("floating_ip", network.get_floating_ip(self.address_id))
            raise
        if isinstance(attached, Failed):
            return attached
        self.data["found"] = convert_record("floating_ip", attached)
        return Done()

    @request_attachment.undo
    def detach(self) -> Result:
        """Detach the address from the server's ports."""
        network = self.cloud().network
        detach_from_server(network, self.server_id, self.address_id)
        try:
            self.data["found"] = convert_record("floating_ip", network.get_floating_ip(self.address_id))
        except CloudNotFoundError:
            self.data.pop("found", None)
        return Done()

    def on_success(self) -> None:
        """Write where the address leads."""
        columns = build_floating_ip_columns(self.place, self.data["found"])
        # Neutron may name the server of a port a moment later.
        columns["server_id"] = self.server_id
        FloatingIp.objects.filter(pk=self.floating_ip_id).update(**columns, vm=self.vm)
        self.log_end(detail=str(self.floating_ip))

    def on_failure(self, failure: Failure) -> None:
        """Write where the address leads in truth, if that was the reason."""
        if found := self.data.get("found"):
            FloatingIp.objects.filter(pk=self.floating_ip_id).update(
                **build_floating_ip_columns(self.place, found)
            )
        super().on_failure(failure)


@register
@dataclass
class DetachFloatingIpCommand(FloatingIpCommand):
    """Detach a floating IP from what it leads to, also when that is no VM of the portal's."""

    row_id: str
    vm_id: str = ""

    kind: ClassVar[str] = "vms.detach_floating_ip"
    title: ClassVar[str | Promise] = gettext_lazy("Detach floating IP")

    def locks(self) -> list[str]:
        """Lock the floating IP, and the VM if there is one."""
        return [*super().locks(), *([lock_key(self.vm_id)] if self.vm_id else [])]

    @step(title=gettext_lazy("Send request to cloud"))
    def request_detachment(self) -> Result:
        """Detach the address from the port that the portal knows; one that leads elsewhere meanwhile stays there."""
        network = self.network
        try:
            detached = network.detach_floating_ip(self.cloud_id, port_id=self.row.port_id or None)
        except CloudFloatingIpAttachedError:
            self.data["found"] = convert_record("floating_ip", network.get_floating_ip(self.cloud_id))
            raise
        self.data["found"] = convert_record("floating_ip", detached)
        return Done()

    def on_success(self) -> None:
        """Write that the address leads nowhere."""
        columns = build_floating_ip_columns(self.place, self.data["found"])
        FloatingIp.objects.filter(pk=self.row_id).update(**columns, vm=None)
        self.log_end(success=True, detail=str(self.row))

    def on_failure(self, failure: Failure) -> None:
        """Write where the address leads in truth, if that was the reason."""
        if found := self.data.get("found"):
            FloatingIp.objects.filter(pk=self.row_id).update(
                **build_floating_ip_columns(self.place, found), vm=None
            )
        self.log_end(success=False, detail=failure.detail)

    def log_end(self, *, success: bool, detail: str) -> None:
        """Append to the operation log of the VM, if the address led to one."""
        vm = VirtualMachine.objects.select_related("information_system").filter(pk=self.vm_id or None).first()
        if vm is not None:
            operation = VMOperationLog.Operation.DETACH_ADDRESS
            log_operation(self.job, vm, operation, success=success, detail=detail)
