"""Volumes over REST."""

from __future__ import annotations

from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.generics import ListAPIView, RetrieveAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from portal.api.scoped_views import ScopedView
from tasks.views import accepted

from .filters import VolumeFilter
from .models import Volume
from .serializers import VolumeRemovedSerializer, VolumeSerializer
from .services import remove_volume

VOLUMES = Volume.objects.select_related("information_system", "vm")


class VolumeList(ScopedView, ListAPIView[Volume]):
    """The volumes of one's tenant."""

    queryset = VOLUMES
    serializer_class = VolumeSerializer
    filterset_class = VolumeFilter
    search_fields = ["name", "volume_id"]
    ordering_fields = ["name", "size_gb", "status", "created_at"]
    ordering = ["name"]


class VolumeDetail(ScopedView, RetrieveAPIView[Volume]):
    """One volume."""

    queryset = VOLUMES
    serializer_class = VolumeSerializer

    @extend_schema(responses={202: VolumeRemovedSerializer})
    def delete(self, request: Request, pk: UUID) -> Response:
        """Remove it, with what is on it, when no VM has it."""
        volume, job = remove_volume(scope=self.scope, volume_id=pk)
        return accepted(job, {"volume": VolumeSerializer(volume).data})
