"""Grants over REST, for staff."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, cast

from drf_spectacular.utils import extend_schema
from rest_framework.generics import GenericAPIView, ListAPIView
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response

from api.idempotency import idempotent
from tenants.models import User
from tenants.staff_permissions import StaffPermission

from ..filters import CatalogueGrantFilter
from ..models import CatalogueGrant
from ..serializers import CatalogueGrantSerializer, CreateGrantSerializer
from ..services.catalogue import GrantRequest, create_grant, find_object_names, remove_grant


class _GrantView(GenericAPIView[CatalogueGrant]):
    permission_classes: ClassVar[list[type[BasePermission]]] = [StaffPermission]  # type: ignore[misc]
    staff_model = "cloudaccounts.cataloguegrant"
    queryset = CatalogueGrant.objects.select_related("account", "tenant", "created_by")
    serializer_class: Any = CatalogueGrantSerializer

    def render_grants(self, grants: Sequence[CatalogueGrant]) -> Any:
        """Return grants with the names of their objects as JSON values: one query more."""
        context = {**self.get_serializer_context(), "object_names": find_object_names(grants)}
        return CatalogueGrantSerializer(grants, many=True, context=context).data


class GrantListView(_GrantView, ListAPIView[CatalogueGrant]):
    """What tenants may use of shared accounts."""

    filterset_class = CatalogueGrantFilter
    search_fields = ["cloud_id", "match", "note"]
    ordering_fields = ["kind", "created_at"]
    ordering = ["account__name", "kind", "match", "cloud_id"]

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """List the grants."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset())) or []
        return self.get_paginated_response(self.render_grants(page))

    @extend_schema(request=CreateGrantSerializer, responses={201: CatalogueGrantSerializer})
    @idempotent
    def post(self, request: Request) -> Response:
        """Grant an object of a shared account, or all that match, to a tenant or to all tenants (`null`)."""
        body = CreateGrantSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        given = body.validated_data
        grant = create_grant(
            request=GrantRequest(
                tenant=given["tenant"],
                account=given["account"],
                kind=given["kind"],
                cloud_id=given.get("object", ""),
                match=given.get("match", ""),
                note=given["note"],
            ),
            user=cast("User", request.user),
        )
        return Response(self.render_grants([grant])[0], status=201)


class GrantDetailView(_GrantView):
    """One grant."""

    def get(self, request: Request, pk: int) -> Response:
        """Return the grant."""
        return Response(self.render_grants([self.get_object()])[0])

    @extend_schema(responses={204: None})
    @idempotent
    def delete(self, request: Request, pk: int) -> Response:
        """Take the grant back. What exists is not changed; nothing new can use the object."""
        remove_grant(grant_id=pk)
        return Response(status=204)
