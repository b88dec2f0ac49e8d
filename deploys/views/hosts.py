"""Views of hosts and of the tenant's deploy key."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from api.idempotency import idempotent
from api.preconditions import etag_of
from tenants.scoped_views import ScopedView
from tenants.scoping import Role

from ..filters import HostFilter
from ..models import DeployKey, Host
from ..serializers import DeployKeySerializer, HostSerializer, NewKeySerializer
from ..services import hosts, keys


class _HostView(ScopedView):
    queryset = Host.objects.select_related("tenant", "vm")
    serializer_class: Any = HostSerializer

    def host_response(self, host: Host, status: int = 200) -> Response:
        """Return a response with the host and its ETag."""
        headers = {"ETag": etag_of(host.version)}
        return Response(self.get_serializer(host).data, status=status, headers=headers)


class HostListView(_HostView, ListAPIView[Host]):
    """The hosts of the caller's tenant."""

    filterset_class = HostFilter
    search_fields = ["hostname", "ip"]
    ordering_fields = ["hostname", "created_at"]
    ordering = ["hostname"]

    @extend_schema(responses={201: HostSerializer})
    @idempotent
    def post(self, request: Request) -> Response:
        """Create a host. With `vm`, name and address are optional."""
        self.scope.require(Role.ADMIN, Host)
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        return self.host_response(hosts.create_host(scope=self.scope, fields=serializer.validated_data), 201)


class HostDetailView(_HostView):
    """One host."""

    honours_if_match = True

    def get(self, request: Request, pk: UUID) -> Response:
        """Return a host, with its ETag."""
        return self.host_response(self.get_object())

    def patch(self, request: Request, pk: UUID) -> Response:
        """Change a host. This is refused during a deployment to it."""
        host = hosts.visible_host(self.scope, pk, Role.ADMIN)
        serializer = self.get_serializer(host, data=request.data, partial=True)
        serializer.is_valid(raise_exception=True)
        changed = hosts.change_host(
            scope=self.scope,
            host_id=pk,
            fields=serializer.validated_data,
            if_match=request.headers.get("If-Match"),
        )
        return self.host_response(changed)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, pk: UUID) -> Response:
        """Delete a host without instances."""
        hosts.remove_host(scope=self.scope, host_id=pk, if_match=request.headers.get("If-Match"))
        return Response(status=204)


class HostKeyView(ScopedView):
    """The deploy key of the tenant. The private key can be set and is never shown."""

    queryset = DeployKey.objects.all()
    serializer_class = DeployKeySerializer
    filter_backends: list[Any] = []

    def get(self, request: Request) -> Response:
        """Return the public facts of the key."""
        return Response(DeployKeySerializer(keys.read_key_status(self.scope)).data)

    @extend_schema(request=NewKeySerializer, responses=DeployKeySerializer)
    def put(self, request: Request) -> Response:
        """Set the key; an earlier key is replaced."""
        self.scope.require(Role.ADMIN, DeployKey)
        serializer = NewKeySerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        return Response(DeployKeySerializer(keys.set_key(scope=self.scope, **serializer.validated_data)).data)

    @extend_schema(responses={204: None})
    def delete(self, request: Request) -> Response:
        """Delete the key, if there is one."""
        keys.remove_key(scope=self.scope)
        return Response(status=204)
