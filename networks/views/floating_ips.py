"""Floating IPs over REST. They are attached to VMs by the room of VMs."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.generics import ListAPIView, RetrieveAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from tasks.command_views import CommandView, job_response
from tenants.scoping import Role

from ..filters import FloatingIpFilter
from ..models import FloatingIp
from ..serializers import FloatingIpJobSerializer, FloatingIpSerializer, NewFloatingIpSerializer
from ..services import FloatingIpChange, release_floating_ip, take_floating_ip

FLOATING_IPS = FloatingIp.objects.select_related("vm")


class FloatingIpView(CommandView):
    """A view whose answer is a floating IP and its job."""

    may_be_held_back = True
    queryset = FLOATING_IPS
    serializer_class: Any = FloatingIpSerializer

    def refresh_body(self, body: dict[str, Any]) -> None:
        """Replace the floating IP in the body by its present state, if it still exists."""
        found = FLOATING_IPS.within(self.scope).filter(pk=body["floating_ip"]["id"]).first()
        if found is not None:
            body["floating_ip"] = FloatingIpSerializer(found).data


def floating_ip_response(change: FloatingIpChange) -> Response:
    """Return 202 with the floating IP and its job; 200 when there was nothing to do."""
    return job_response(change.job, {"floating_ip": FloatingIpSerializer(change.floating_ip).data})


class FloatingIpListView(FloatingIpView, ListAPIView[FloatingIp]):
    """The floating IPs of the caller's tenant."""

    filterset_class = FloatingIpFilter
    search_fields = ["address", "description", "fixed_address", "vm__name"]
    ordering_fields = ["address", "taken_at", "unattached_since"]
    ordering = ["address"]

    @extend_schema(request=NewFloatingIpSerializer, responses={202: FloatingIpJobSerializer})
    def post(self, request: Request) -> Response:
        """Take a floating IP from an external network that the tenant may use."""

        def record() -> Response:
            params = self.validate_body(NewFloatingIpSerializer(data=request.data), Role.ADMIN)
            return floating_ip_response(take_floating_ip(scope=self.scope, params=params))

        return self.run_command(request, record)


class FloatingIpDetailView(FloatingIpView, RetrieveAPIView[FloatingIp]):
    """One floating IP."""

    @extend_schema(responses={202: FloatingIpJobSerializer})
    def delete(self, request: Request, pk: UUID) -> Response:
        """Give the floating IP back to its network. It must not be attached."""

        def record() -> Response:
            return floating_ip_response(release_floating_ip(scope=self.scope, floating_ip_id=pk))

        return self.run_command(request, record)
