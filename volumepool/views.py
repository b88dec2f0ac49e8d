"""Volumes over REST."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar
from uuid import UUID

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.generics import GenericAPIView, ListAPIView, RetrieveAPIView
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response

from portal.api.idempotency import idempotent
from portal.api.permissions import IsStaff
from portal.api.scoped_views import ScopedView
from portal.api.scoping import Role
from tasks.doorbell import ring
from tasks.views import accepted, wait_if_preferred

from .filters import VolumeFilter
from .models import SpareVolume, Volume, VolumePool
from .serializers import (
    SpareVolumeSerializer,
    VolumePoolSerializer,
    VolumeRemovedSerializer,
    VolumeSerializer,
    VolumesProvidedSerializer,
    WantedVolumesSerializer,
)
from .services import Wanted, remove_volume, request_volumes
from .services.figures import figures_of

VOLUMES = Volume.objects.select_related("information_system", "vm")


class VolumeList(ScopedView, ListAPIView[Volume]):
    """The volumes of one's tenant."""

    queryset = VOLUMES
    serializer_class = VolumeSerializer
    filterset_class = VolumeFilter
    search_fields = ["name", "volume_id"]
    ordering_fields = ["name", "size_gb", "status", "created_at"]
    ordering = ["name"]

    @extend_schema(
        request=WantedVolumesSerializer,
        responses={200: VolumesProvidedSerializer, 202: VolumesProvidedSerializer},
    )
    def post(self, request: Request) -> Response:
        """Get volumes of a type: spares as far as there are any, new ones for the rest. `source` says which is which."""
        response = self.provide(request)
        if wait_if_preferred(request, response):
            ids = [volume["id"] for volume in response.data["volumes"]]
            found = {volume.pk: volume for volume in VOLUMES.filter(pk__in=ids)}
            volumes = [found[pk] for pk in ids if pk in found]
            response.data["volumes"] = VolumeSerializer(volumes, many=True).data
        return response

    @idempotent
    def provide(self, request: Request) -> Response:
        """Claim them, in one transaction."""
        self.scope.require(Role.ADMIN)
        asked = WantedVolumesSerializer(data=request.data)
        if not asked.is_valid():
            raise ValidationError(asked.errors)
        claim = request_volumes(scope=self.scope, wanted=Wanted(**asked.validated_data))
        return accepted(claim.job, {"volumes": VolumeSerializer(claim.volumes, many=True).data})


class VolumeDetail(ScopedView, RetrieveAPIView[Volume]):
    """One volume."""

    queryset = VOLUMES
    serializer_class = VolumeSerializer

    @extend_schema(responses={202: VolumeRemovedSerializer})
    def delete(self, request: Request, pk: UUID) -> Response:
        """Remove it, with what is on it, when no VM has it."""
        volume, job = remove_volume(scope=self.scope, volume_id=pk)
        return accepted(job, {"volume": VolumeSerializer(volume).data})


POOLS = VolumePool.objects.select_related("account").order_by("type", "account__name", "pk")


class _PoolView(GenericAPIView[VolumePool]):
    """Pools are the platform's own."""

    permission_classes: ClassVar[list[type[BasePermission]]] = [IsStaff]  # type: ignore[misc]
    queryset = POOLS
    serializer_class: Any = VolumePoolSerializer

    def get_serializer_context(self) -> dict[str, Any]:
        """The figures of what is shown."""
        return {**super().get_serializer_context(), "figures": {}}

    def shown(self, pools: Sequence[VolumePool]) -> Any:
        """Pools with their figures: a fixed number of queries."""
        context = {**self.get_serializer_context(), "figures": figures_of(pools)}
        return VolumePoolSerializer(pools, many=True, context=context).data


class PoolList(_PoolView, ListAPIView[VolumePool]):
    """The pools, each with what it is worth. They are edited in the admin."""

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """A page of pools."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset())) or []
        return self.get_paginated_response(self.shown(page))


class PoolDetail(_PoolView):
    """One pool."""

    def get(self, request: Request, pk: int) -> Response:
        """Read it."""
        return Response(self.shown([self.get_object()])[0])


class PoolSpares(ListAPIView[SpareVolume]):
    """The spares of a pool, the next to be given first."""

    permission_classes: ClassVar[list[type[BasePermission]]] = [IsStaff]  # type: ignore[misc]
    queryset = SpareVolume.objects.order_by("status", "available_at", "pk")
    serializer_class = SpareVolumeSerializer

    def get_queryset(self) -> Any:
        """Those of the pool of the path."""
        if getattr(self, "swagger_fake_view", False):
            return SpareVolume.objects.none()
        pool = get_object_or_404(VolumePool, pk=self.kwargs["pk"])
        return super().get_queryset().filter(pool=pool)


class PoolBackfill(_PoolView):
    """Have a pool filled now."""

    @extend_schema(request=None, responses={202: VolumePoolSerializer})
    @idempotent
    def post(self, request: Request, pk: int) -> Response:
        """Look now for what is missing in it."""
        pool = self.get_object()
        ring("volumepool.backfill", [pool.pk])
        return Response(self.shown([pool])[0], status=202)


class PoolReconcile(_PoolView):
    """Have a pool compared with its cloud now."""

    @extend_schema(request=None, responses={202: VolumePoolSerializer})
    @idempotent
    def post(self, request: Request, pk: int) -> Response:
        """Compare its account and region with what Cinder has."""
        pool = self.get_object()
        ring("volumepool.reconcile", [pool.account_id, pool.region])
        return Response(self.shown([pool])[0], status=202)
