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
    VolumeSerializer,
    VolumesJobSerializer,
    VolumeSnapshotSerializer,
)
from ..services import (
    ClaimRequest,
    VolumeCreationRequest,
    claim_volumes,
    create_volumes,
    list_volume_options,
    remove_volume,
    rename_volume,
)

VOLUMES = Volume.objects.select_related("information_system", "vm")


class VolumeListView(CommandView, ListAPIView[Volume]):
    """The volumes of one's tenant."""

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
        """Get volumes. Of a type: spares as far as there are any, new ones for the rest; `source` says which is which.

        Of a size, or of a snapshot: new ones.
        """

        def record() -> Response:
            self.scope.require(Role.ADMIN, Volume)
            params = self.validate_body(NewVolumesSerializer(data=request.data), Role.ADMIN)
            if "type" in params:
                provided = claim_volumes(scope=self.scope, request=ClaimRequest(**params))
            else:
                provided = create_volumes(scope=self.scope, request=VolumeCreationRequest(**params))
            return job_response(provided.job, {"volumes": VolumeSerializer(provided.volumes, many=True).data})

        return self.run_command(request, record)

    def refresh_body(self, body: dict[str, Any]) -> None:
        """Render the volumes that are still there."""
        ids = [volume["id"] for volume in body["volumes"]]
        found = {volume.pk: volume for volume in VOLUMES.filter(pk__in=ids)}
        volumes = [found[pk] for pk in ids if pk in found]
        body["volumes"] = VolumeSerializer(volumes, many=True).data


class VolumeOptionsView(ScopedView):
    """The types of volumes that there are."""

    queryset = VOLUMES
    serializer_class = VolumeOptionSerializer
    pagination_class = None
    filter_backends: list[Any] = []

    @extend_schema(responses=VolumeOptionSerializer(many=True))
    def get(self, request: Request) -> Response:
        """Each type with its size, what is ready, and what is wrong with it."""
        options = list_volume_options(scope=self.scope)
        return Response(VolumeOptionSerializer([asdict(option) for option in options], many=True).data)


class _VolumeView(CommandView):
    """A view of one volume."""

    queryset = VOLUMES
    serializer_class: Any = VolumeSerializer

    def refresh_body(self, body: dict[str, Any]) -> None:
        """Render the volume, if it is still there."""
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
        """Give it another name, in the cloud too."""

        def record() -> Response:
            params = self.validate_body(ChangeVolumeSerializer(data=request.data), Role.OPERATOR)
            renamed = rename_volume(scope=self.scope, volume_id=pk, name=params["name"])
            return _volume_response(renamed.volume, renamed.job)

        return self.run_command(request, record)

    @extend_schema(responses={202: VolumeJobSerializer})
    def delete(self, request: Request, pk: UUID) -> Response:
        """Remove it, with what is on it, when no VM has it."""

        def record() -> Response:
            removed = remove_volume(scope=self.scope, volume_id=pk)
            return _volume_response(removed.volume, removed.job)

        return self.run_command(request, record)


class VolumeActionsView(_VolumeView):
    """The actions on a volume."""

    serializer_class = VolumeActionSerializer

    @extend_schema(
        request=VolumeActionSerializer,
        responses={200: VolumeActionJobSerializer, 202: VolumeActionJobSerializer},
    )
    def post(self, request: Request, pk: UUID) -> Response:
        """Extend it, take a snapshot of it, put it on a VM, take it off."""

        def record() -> Response:
            name = request.data.get("action") if isinstance(request.data, dict) else None
            action = list_volume_actions().get(name) if isinstance(name, str) else None
            role = action.role if action else Role.OPERATOR
            params = self.validate_body(VolumeActionSerializer(data=request.data), role)
            outcome = run_action(self.scope, pk, params.pop("action"), params)
            response = _volume_response(outcome.volume, outcome.job)
            snapshot = getattr(outcome, "snapshot", None)
            if snapshot is not None:
                response.data["snapshot"] = VolumeSnapshotSerializer(snapshot).data
            return response

        return self.run_command(request, record)


def _volume_response(volume: Volume, job: Job | None) -> Response:
    return job_response(job, {"volume": VolumeSerializer(volume).data})
