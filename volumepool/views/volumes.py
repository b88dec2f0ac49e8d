"""Volumes over REST."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.generics import ListAPIView, RetrieveAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from tasks.command_views import CommandView, job_response
from tasks.models import Job
from tenants.scoped_views import ScopedView
from tenants.scoping import Role

from ..actions import list_volume_actions, run_action
from ..filters import VolumeFilter
from ..models import Volume
from ..serializers import (
    ChangeVolumeSerializer,
    NewVolumesSerializer,
    VolumeActionJobSerializer,
    VolumeActionSerializer,
    VolumeJobSerializer,
    VolumeOptionSerializer,
    VolumeRemovalSerializer,
    VolumeRestoreSerializer,
    VolumeSerializer,
    VolumesJobSerializer,
    VolumeSnapshotSerializer,
)
from ..services import (
    ClaimRequest,
    VolumeCreationRequest,
    change_volume,
    claim_volumes,
    create_volumes,
    list_volume_options,
    remove_volume,
    restore_volume,
)

VOLUMES = Volume.objects.select_related("information_system", "vm")


class VolumeListView(CommandView, ListAPIView[Volume]):
    """The volumes of the caller's tenant."""

    may_be_held_back = True
    queryset = VOLUMES
    serializer_class = VolumeSerializer
    filterset_class = VolumeFilter
    search_fields = ["name", "volume_id"]
    ordering_fields = ["name", "size_gb", "status", "created_at"]
    ordering = ["name"]

    @extend_schema(
        request=NewVolumesSerializer,
        responses={200: VolumesJobSerializer, 202: VolumesJobSerializer},
    )
    def post(self, request: Request) -> Response:
        """Create volumes of a type, of a size, or from a snapshot.

        Volumes of a type are claimed from its pool as long as there are spares; the rest is created. `source` of each volume
        tells which.
        """

        def record() -> Response:
            self.scope.require(Role.ADMIN, Volume)
            params = self.validate_body(NewVolumesSerializer(data=request.data), Role.ADMIN)
            if "type" in params:
                result = claim_volumes(scope=self.scope, request=ClaimRequest(**params))
            else:
                result = create_volumes(scope=self.scope, request=VolumeCreationRequest(**params))
            return job_response(result.job, {"volumes": VolumeSerializer(result.volumes, many=True).data})

        return self.run_command(request, record)

    def refresh_body(self, body: dict[str, Any]) -> None:
        """Replace the volumes in the body by their present state, without those that no longer exist."""
        ids = [volume["id"] for volume in body["volumes"]]
        found = {volume.pk: volume for volume in VOLUMES.filter(pk__in=ids)}
        volumes = [found[pk] for pk in ids if pk in found]
        body["volumes"] = VolumeSerializer(volumes, many=True).data


class VolumeOptionsView(ScopedView):
    """The volume types that the tenant can claim."""

    queryset = VOLUMES
    serializer_class = VolumeOptionSerializer
    pagination_class = None
    filter_backends: list[Any] = []

    @extend_schema(responses=VolumeOptionSerializer(many=True))
    def get(self, request: Request) -> Response:
        """Return each type with its size, its ready spares, and its problem if it has one."""
        options = list_volume_options(scope=self.scope)
        return Response(VolumeOptionSerializer([asdict(option) for option in options], many=True).data)


class _VolumeView(CommandView):
    """A view of one volume."""

    may_be_held_back = True
    queryset = VOLUMES
    serializer_class: Any = VolumeSerializer

    def refresh_body(self, body: dict[str, Any]) -> None:
        """Replace the volume in the body by its present state, if it still exists."""
        volume = VOLUMES.filter(pk=body["volume"]["id"]).first()
        if volume is not None:
            body["volume"] = VolumeSerializer(volume).data


class VolumeDetailView(_VolumeView, RetrieveAPIView[Volume]):
    """One volume."""

    @extend_schema(
        request=ChangeVolumeSerializer,
        responses={200: VolumeJobSerializer, 202: VolumeJobSerializer},
    )
    def patch(self, request: Request, pk: UUID) -> Response:
        """Change the volume: its name, in the cloud too, its tags and its deletion protection."""

        def record() -> Response:
            params = self.validate_body(ChangeVolumeSerializer(data=request.data), Role.OPERATOR)
            result = change_volume(scope=self.scope, volume_id=pk, fields=params)
            return _volume_response(result.volume, result.job)

        return self.run_command(request, record)

    @extend_schema(
        parameters=[VolumeRemovalSerializer],
        responses={200: VolumeJobSerializer, 202: VolumeJobSerializer},
    )
    def delete(self, request: Request, pk: UUID) -> Response:
        """Delete the volume and its data: into the bin (200, no job), if the portal has one, else from the cloud. It must not be attached."""

        def record() -> Response:
            params = self.validate_body(VolumeRemovalSerializer(data=request.query_params), Role.ADMIN)
            result = remove_volume(scope=self.scope, volume_id=pk, **params)
            return _volume_response(result.volume, result.job)

        return self.run_command(request, record)


class VolumeRestoreView(_VolumeView):
    """Restore a volume from the bin."""

    @extend_schema(request=VolumeRestoreSerializer, responses={200: VolumeJobSerializer})
    def post(self, request: Request, pk: UUID) -> Response:
        """Restore the volume from the bin. There is no job: the cloud has kept the volume as it was."""

        def record() -> Response:
            self.validate_body(VolumeRestoreSerializer(data=request.data), Role.ADMIN)
            return _volume_response(restore_volume(scope=self.scope, volume_id=pk), None)

        return self.run_command(request, record)


class VolumeActionsView(_VolumeView):
    """The actions on a volume."""

    serializer_class = VolumeActionSerializer

    @extend_schema(
        request=VolumeActionSerializer,
        responses={200: VolumeActionJobSerializer, 202: VolumeActionJobSerializer},
    )
    def post(self, request: Request, pk: UUID) -> Response:
        """Request an action on the volume: `extend`, `snapshot`, `attach` or `detach`."""

        def record() -> Response:
            name = request.data.get("action") if isinstance(request.data, dict) else None
            action = list_volume_actions().get(name) if isinstance(name, str) else None
            role = action.role if action else Role.OPERATOR
            params = self.validate_body(VolumeActionSerializer(data=request.data), role)
            result = run_action(self.scope, pk, params.pop("action"), params)
            response = _volume_response(result.volume, result.job)
            snapshot = getattr(result, "snapshot", None)
            if snapshot is not None:
                response.data["snapshot"] = VolumeSnapshotSerializer(snapshot).data
            return response

        return self.run_command(request, record)


def _volume_response(volume: Volume, job: Job | None) -> Response:
    return job_response(job, {"volume": VolumeSerializer(volume).data})
