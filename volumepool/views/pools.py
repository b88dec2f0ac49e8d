"""Pools over REST, for staff: what they have, what they are worth, and looking after them now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework.generics import GenericAPIView, ListAPIView
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response

from api.idempotency import idempotent
from tasks.dispatch import dispatch_task
from tenants.staff_permissions import StaffPermission

from ..models import SpareVolume, VolumePool
from ..serializers import (
    PoolHistoryQuerySerializer,
    PoolHistorySerializer,
    SpareVolumeSerializer,
    VolumePoolSerializer,
)
from ..services.figures import compute_figures
from ..services.pools import request_backfill
from ..services.stock import build_history

POOLS = VolumePool.objects.select_related("account").order_by("type", "account__name", "pk")


class _PoolView(GenericAPIView[VolumePool]):
    """Pools are the platform's own."""

    permission_classes: ClassVar[list[type[BasePermission]]] = [StaffPermission]  # type: ignore[misc]
    staff_model = "volumepool.volumepool"
    queryset = POOLS
    serializer_class: Any = VolumePoolSerializer

    def get_serializer_context(self) -> dict[str, Any]:
        """The figures of what is shown."""
        return {**super().get_serializer_context(), "figures": {}}

    def render_pools(self, pools: Sequence[VolumePool]) -> Any:
        """Pools with their figures: a fixed number of queries."""
        context = {**self.get_serializer_context(), "figures": compute_figures(pools)}
        return VolumePoolSerializer(pools, many=True, context=context).data


class PoolListView(_PoolView, ListAPIView[VolumePool]):
    """The pools, each with what it is worth. They are edited in the admin."""

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """A page of pools."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset())) or []
        return self.get_paginated_response(self.render_pools(page))


class PoolDetailView(_PoolView):
    """One pool."""

    def get(self, request: Request, pk: int) -> Response:
        """Read it."""
        return Response(self.render_pools([self.get_object()])[0])


class PoolHistoryView(_PoolView):
    """A pool over time."""

    filter_backends: list[Any] = []

    @extend_schema(parameters=[PoolHistoryQuerySerializer], responses=PoolHistorySerializer)
    def get(self, request: Request, pk: int) -> Response:
        """The stock and requests of the last days: 288 points, however many days."""
        pool = self.get_object()
        asked = PoolHistoryQuerySerializer(data=request.query_params.dict())
        asked.is_valid(raise_exception=True)
        return Response(PoolHistorySerializer(build_history(pool.pk, asked.validated_data["days"])).data)


class PoolSparesView(ListAPIView[SpareVolume]):
    """The spares of a pool, the next to be given first."""

    permission_classes: ClassVar[list[type[BasePermission]]] = [StaffPermission]  # type: ignore[misc]
    staff_model = "volumepool.sparevolume"
    queryset = SpareVolume.objects.order_by("status", "available_at", "pk")
    serializer_class = SpareVolumeSerializer

    def get_queryset(self) -> Any:
        """Those of the pool of the path."""
        if getattr(self, "swagger_fake_view", False):
            return SpareVolume.objects.none()
        pool = get_object_or_404(VolumePool, pk=self.kwargs["pk"])
        return super().get_queryset().filter(pool=pool)


class PoolBackfillView(_PoolView):
    """Have a pool filled now."""

    @extend_schema(request=None, responses={202: VolumePoolSerializer})
    @idempotent
    def post(self, request: Request, pk: int) -> Response:
        """Look now for what is missing in it, although it may be pausing."""
        pool = self.get_object()
        request_backfill(pool)
        return Response(self.render_pools([pool])[0], status=202)


class PoolReconcileView(_PoolView):
    """Have a pool compared with its cloud now."""

    @extend_schema(request=None, responses={202: VolumePoolSerializer})
    @idempotent
    def post(self, request: Request, pk: int) -> Response:
        """Compare its account and region with what Cinder has."""
        pool = self.get_object()
        dispatch_task("volumepool.reconcile", [pool.account_id, pool.region])
        return Response(self.render_pools([pool])[0], status=202)
