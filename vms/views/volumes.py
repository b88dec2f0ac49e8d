"""The volumes of a VM over REST."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import models
from drf_spectacular.utils import extend_schema
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from tasks.command_views import job_response
from tenants.scoping import Role
from volumepool.models import Volume
from volumepool.serializers import VolumeJobSerializer, VolumeSerializer

from ..serializers import AttachVolumeSerializer
from ..services import attach_volume, detach_volume
from .vm_children import VmChildView

VOLUMES = Volume.objects.select_related("information_system", "vm")


class _VmVolumeView(VmChildView):
    def refresh_body(self, body: dict[str, Any]) -> None:
        """Replace the volume in the body by its present state, if it still exists."""
        volume = VOLUMES.filter(pk=body["volume"]["id"]).first()
        if volume is not None:
            body["volume"] = VolumeSerializer(volume).data


class VmVolumesView(_VmVolumeView, ListAPIView[Volume]):
    """The volumes of a VM."""

    queryset = VOLUMES.order_by("-is_boot", "created_at")
    serializer_class = VolumeSerializer

    def get_queryset(self) -> models.QuerySet[Any]:
        """Return the volumes that are attached to the VM or being result."""
        volumes = super().get_queryset()
        return volumes if getattr(self, "swagger_fake_view", False) else volumes.filter(vm=self.get_vm())

    @extend_schema(request=AttachVolumeSerializer, responses={202: VolumeJobSerializer})
    def post(self, request: Request, pk: UUID) -> Response:
        """Attach an existing volume, or a new one of `size_gb`."""

        def record() -> Response:
            is_new = isinstance(request.data, dict) and "size_gb" in request.data
            role = Role.ADMIN if is_new else Role.OPERATOR
            params = self.validate_body(AttachVolumeSerializer(data=request.data), role)
            result = attach_volume(
                scope=self.scope,
                vm_id=pk,
                volume_id=params.get("volume"),
                size_gb=params.get("size_gb"),
                name=params.get("name", ""),
                volume_type=params.get("type", ""),
            )
            return job_response(result.job, {"volume": VolumeSerializer(result.volume).data})

        return self.run_command(request, record)


class VmVolumeView(_VmVolumeView):
    """One volume of a VM."""

    queryset = VOLUMES
    serializer_class = VolumeJobSerializer

    @extend_schema(responses={202: VolumeJobSerializer})
    def delete(self, request: Request, pk: UUID, volume_pk: UUID) -> Response:
        """Detach the volume from the VM; the tenant keeps it."""

        def record() -> Response:
            result = detach_volume(scope=self.scope, vm_id=pk, volume_id=volume_pk)
            return job_response(result.job, {"volume": VolumeSerializer(result.volume).data})

        return self.run_command(request, record)
