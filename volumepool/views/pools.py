"""Pools over REST, for staff: figures, history and spares, and requests to refill or reconcile."""

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
    """A view of pools, which belong to the platform and not to a tenant."""

    permission_classes: ClassVar[list[type[BasePermission]]] = [StaffPermission]  # type: ignore[misc]
    staff_model = "volumepool.volumepool"
    queryset = POOLS
    serializer_class: Any = VolumePoolSerializer

    def get_serializer_context(self) -> dict[str, Any]:
        """Add the figures; `render_pools` fills them in."""
        return {**super().get_serializer_context(), "figures": {}}

    def render_pools(self, pools: Sequence[VolumePool]) -> Any:
        """Return pools with their figures as JSON values: a fixed number of queries."""
        context = {**self.get_serializer_context(), "figures": compute_figures(pools)}
        return VolumePoolSerializer(pools, many=True, context=context).data


class PoolListView(_PoolView, ListAPIView[VolumePool]):
    """The pools with their figures. They are edited in the admin."""

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """List the pools."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset())) or []
        return self.get_paginated_response(self.render_pools(page))


class PoolDetailView(_PoolView):
    """One pool."""

    def get(self, request: Request, pk: int) -> Response:
        """Return the pool."""
        return Response(self.render_pools([self.get_object()])[0])


class PoolHistoryView(_PoolView):
    """The history of a pool."""

    filter_backends: list[Any] = []

    @extend_schema(parameters=[PoolHistoryQuerySerializer], responses=PoolHistorySerializer)
    def get(self, request: Request, pk: int) -> Response:
        """Return the stock and the claims of the last days in 288 points, whatever the number of days."""
        pool = self.get_object()
        query = PoolHistoryQuerySerializer(data=request.query_params.dict())
        query.is_valid(raise_exception=True)
        return Response(PoolHistorySerializer(build_history(pool.pk, query.validated_data["days"])).data)


class PoolSparesView(ListAPIView[SpareVolume]):
    """The spares of a pool, in the order in which they are claimed."""

    permission_classes: ClassVar[list[type[BasePermission]]] = [StaffPermission]  # type: ignore[misc]
    staff_model = "volumepool.sparevolume"
    queryset = SpareVolume.objects.order_by("status", "available_at", "pk")
    serializer_class = SpareVolumeSerializer

    def get_queryset(self) -> Any:
        """Return the spares of the pool of the path."""
        if getattr(self, "swagger_fake_view", False):
            return SpareVolume.objects.none()
        pool = get_object_or_404(VolumePool, pk=self.kwargs["pk"])
        return super().get_queryset().filter(pool=pool)


class PoolBackfillView(_PoolView):
    """Refill a pool."""

    @extend_schema(request=None, responses={202: VolumePoolSerializer})
    @idempotent
    def post(self, request: Request, pk: int) -> Response:
        """Request a backfill of the pool, which ends a pause."""
        pool = self.get_object()
        request_backfill(pool)
        return Response(self.render_pools([pool])[0], status=202)


class PoolReconcileView(_PoolView):
    """Reconcile a pool with its cloud."""

    @extend_schema(request=None, responses={202: VolumePoolSerializer})
    @idempotent
    def post(self, request: Request, pk: int) -> Response:
        """Request the reconciliation of the pool's account and region with Cinder."""
        pool = self.get_object()
        dispatch_task("volumepool.reconcile", [pool.account_id, pool.region])
        return Response(self.render_pools([pool])[0], status=202)
