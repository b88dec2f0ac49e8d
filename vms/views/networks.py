"""Interfaces, security groups and floating IPs of VMs over REST."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from networks.serializers import FloatingIpJobSerializer
from networks.views.floating_ips import FloatingIpView, floating_ip_response
from tasks.command_views import job_response
from tenants.scoping import Role

from ..models import VirtualMachine
from ..serializers.networks import (
    AttachFloatingIpSerializer,
    DetachFloatingIpSerializer,
    InterfaceSerializer,
    InterfacesJobSerializer,
    InterfacesSerializer,
    NewInterfaceSerializer,
    ReachabilityRequestSerializer,
    ReachabilitySerializer,
    SetSecurityGroupsSerializer,
)
from ..services.addresses import attach_floating_ip, detach_floating_ip
from ..services.interfaces import (
    NetworkChange,
    attach_interface,
    detach_interface,
    list_interfaces,
    set_security_groups,
)
from ..services.reachability import describe_reachability
from .vm_children import VmChildView

VMS = VirtualMachine.objects.select_related("information_system__tenant", "account")


class _VmNetworkView(VmChildView):
    queryset = VMS
    serializer_class: Any = InterfacesSerializer
    pagination_class = None
    filter_backends: list[Any] = []

    def get_vm(self) -> VirtualMachine:
        """Return the VM of the path. Raises 404."""
        vm: VirtualMachine = self.get_object()
        return vm

    def show(self, vm: VirtualMachine) -> list[Any]:
        """Return the interfaces of a VM as the answer has them."""
        return list(InterfaceSerializer(list_interfaces(vm), many=True).data)

    def respond(self, change: NetworkChange) -> Response:
        """Return 202 with the interfaces as they are now, and the job."""
        return job_response(change.job, {"interfaces": self.show(change.vm)})

    def refresh_body(self, body: dict[str, Any]) -> None:
        """Replace the interfaces in the body by the present ones."""
        body["interfaces"] = self.show(self.get_vm())


class VmInterfacesView(_VmNetworkView):
    """The interfaces of a VM."""

    @extend_schema(responses=InterfacesSerializer)
    def get(self, request: Request, pk: UUID) -> Response:
        """Return the interfaces of the VM, with their security groups and floating IPs."""
        return Response({"interfaces": self.show(self.get_vm())})

    @extend_schema(request=NewInterfaceSerializer, responses={202: InterfacesJobSerializer})
    def post(self, request: Request, pk: UUID) -> Response:
        """Attach a further interface, on a network that the tenant may use."""

        def record() -> Response:
            params = self.validate_body(NewInterfaceSerializer(data=request.data), Role.ADMIN)
            return self.respond(attach_interface(scope=self.scope, vm_id=pk, **params))

        return self.run_command(request, record)


class VmInterfaceView(_VmNetworkView):
    """One interface of a VM, by the id of its port."""

    @extend_schema(responses={202: InterfacesJobSerializer})
    def delete(self, request: Request, pk: UUID, port_pk: UUID) -> Response:
        """Detach the interface from the VM."""

        def record() -> Response:
            return self.respond(detach_interface(scope=self.scope, vm_id=pk, port_id=port_pk))

        return self.run_command(request, record)


class VmSecurityGroupsView(_VmNetworkView):
    """The security groups of a VM."""

    @extend_schema(request=SetSecurityGroupsSerializer, responses={202: InterfacesJobSerializer})
    def put(self, request: Request, pk: UUID) -> Response:
        """Give the VM, or one of its interfaces, security groups in place of the present ones."""

        def record() -> Response:
            params = self.validate_body(SetSecurityGroupsSerializer(data=request.data), Role.ADMIN)
            return self.respond(set_security_groups(scope=self.scope, vm_id=pk, **params))

        return self.run_command(request, record)


class VmReachabilityView(_VmNetworkView):
    """Who can reach a VM."""

    serializer_class = ReachabilitySerializer

    @extend_schema(parameters=[ReachabilityRequestSerializer], responses=ReachabilitySerializer)
    def get(self, request: Request, pk: UUID) -> Response:
        """Tell in words who can reach the VM, or one port of it, by the rules that the portal last saw."""
        vm = self.get_vm()
        params = self.validate_body(ReachabilityRequestSerializer(data=request.query_params), Role.VIEWER)
        found = describe_reachability(vm, **params)
        return Response(ReachabilitySerializer(found).data)


class _FloatingIpActionView(FloatingIpView):
    def check(self, serializer: BaseSerializer[Any]) -> dict[str, Any]:
        """Return the valid body of a request of an operator."""
        return self.validate_body(serializer, Role.OPERATOR)


class FloatingIpAttachView(_FloatingIpActionView):
    """Attach a floating IP to a VM."""

    @extend_schema(request=AttachFloatingIpSerializer, responses={202: FloatingIpJobSerializer})
    def post(self, request: Request, pk: UUID) -> Response:
        """Let the floating IP lead to a VM of the same account and region."""

        def record() -> Response:
            params = self.check(AttachFloatingIpSerializer(data=request.data))
            return floating_ip_response(attach_floating_ip(scope=self.scope, floating_ip_id=pk, **params))

        return self.run_command(request, record)


class FloatingIpDetachView(_FloatingIpActionView):
    """Detach a floating IP."""

    @extend_schema(
        request=DetachFloatingIpSerializer,
        responses={200: FloatingIpJobSerializer, 202: FloatingIpJobSerializer},
    )
    def post(self, request: Request, pk: UUID) -> Response:
        """Detach the floating IP from what it leads to; the tenant keeps it."""

        def record() -> Response:
            self.check(DetachFloatingIpSerializer(data=request.data))
            return floating_ip_response(detach_floating_ip(scope=self.scope, floating_ip_id=pk))

        return self.run_command(request, record)
