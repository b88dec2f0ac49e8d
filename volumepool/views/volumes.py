"""Volumes over REST."""

from __future__ import annotations

from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.generics import ListAPIView, RetrieveAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from portal.api.idempotency import idempotent
from portal.api.scoped_views import ScopedView
from portal.api.scoping import Role
from tasks.views import accepted, wait_if_preferred

from ..filters import VolumeFilter
from ..models import Volume
from ..serializers import (
    VolumeRemovedSerializer,
    VolumeSerializer,
    VolumesProvidedSerializer,
    WantedVolumesSerializer,
)
from ..services import Wanted, remove_volume, request_volumes

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
