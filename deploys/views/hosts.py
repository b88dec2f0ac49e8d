"""Hosts, and the key with which the portal gets onto them."""

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

    def answer(self, host: Host, status: int = 200) -> Response:
        """A host with its ETag."""
        headers = {"ETag": etag_of(host.version)}
        return Response(self.get_serializer(host).data, status=status, headers=headers)


class HostListView(_HostView, ListAPIView[Host]):
    """The hosts of one's tenant."""

    filterset_class = HostFilter
    search_fields = ["hostname", "ip"]
    ordering_fields = ["hostname", "created_at"]
    ordering = ["hostname"]

    @extend_schema(responses={201: HostSerializer})
    @idempotent
    def post(self, request: Request) -> Response:
        """Enter a host; `{"vm": id}` alone makes one of a VM."""
        self.scope.require(Role.ADMIN, Host)
        asked = self.get_serializer(data=request.data)
        asked.is_valid(raise_exception=True)
        return self.answer(hosts.create_host(scope=self.scope, fields=asked.validated_data), 201)


class HostDetailView(_HostView):
    """One host."""

    honours_if_match = True

    def get(self, request: Request, pk: UUID) -> Response:
        """Read it, with its ETag."""
        return self.answer(self.get_object())

    def patch(self, request: Request, pk: UUID) -> Response:
        """Change it, while nothing is being deployed to it."""
        host = hosts.visible_host(self.scope, pk, Role.ADMIN)
        asked = self.get_serializer(host, data=request.data, partial=True)
        asked.is_valid(raise_exception=True)
        changed = hosts.change_host(
            scope=self.scope,
            host_id=pk,
            fields=asked.validated_data,
            if_match=request.headers.get("If-Match"),
        )
        return self.answer(changed)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, pk: UUID) -> Response:
        """Remove it, when nothing runs on it."""
        hosts.remove_host(scope=self.scope, host_id=pk, if_match=request.headers.get("If-Match"))
        return Response(status=204)


class HostKeyView(ScopedView):
    """The SSH key of the tenant: it goes in and never comes out."""

    queryset = DeployKey.objects.all()
    serializer_class = DeployKeySerializer
    filter_backends: list[Any] = []

    def get(self, request: Request) -> Response:
        """Return whether there is one, its public half, and who set it when."""
        return Response(DeployKeySerializer(keys.read_key_status(self.scope)).data)

    @extend_schema(request=NewKeySerializer, responses=DeployKeySerializer)
    def put(self, request: Request) -> Response:
        """Set it, in the place of any before."""
        self.scope.require(Role.ADMIN, DeployKey)
        asked = NewKeySerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        return Response(DeployKeySerializer(keys.set_key(scope=self.scope, **asked.validated_data)).data)

    @extend_schema(responses={204: None})
    def delete(self, request: Request) -> Response:
        """Forget it, if there is one."""
        keys.remove_key(scope=self.scope)
        return Response(status=204)
