"""Volumes over REST."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.generics import ListAPIView, RetrieveAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from api.idempotency import idempotent
from api.serializers import StrictSerializer
from tasks.models import Job
from tasks.views import accepted, wait_if_preferred
from tenants.scoped_views import ScopedView
from tenants.scoping import Role

from ..actions import act, volume_actions
from ..filters import VolumeFilter
from ..models import Volume
from ..serializers import (
    ChangeVolumeSerializer,
    VolumeActedSerializer,
    VolumeActionSerializer,
    VolumeChangedSerializer,
    VolumeOptionSerializer,
    VolumeSerializer,
    VolumeSnapshotSerializer,
    VolumesProvidedSerializer,
    WantedVolumesSerializer,
)
from ..services import (
    ClaimRequest,
    VolumeCreationRequest,
    claim_volumes,
    create_volumes,
    remove_volume,
    rename_volume,
    volume_options,
)

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
        """Get volumes. Of a type: spares as far as there are any, new ones for the rest; `source` says which is which.

        Of a size, or of a snapshot: new ones.
        """
        response = self.provide(request)
        if wait_if_preferred(request, response):
            ids = [volume["id"] for volume in response.data["volumes"]]
            found = {volume.pk: volume for volume in VOLUMES.filter(pk__in=ids)}
            volumes = [found[pk] for pk in ids if pk in found]
            response.data["volumes"] = VolumeSerializer(volumes, many=True).data
        return response

    @idempotent
    def provide(self, request: Request) -> Response:
        """Write them down, in one transaction."""
        self.scope.require(Role.ADMIN, Volume)
        asked = WantedVolumesSerializer(data=request.data)
        if not asked.is_valid():
            raise ValidationError(asked.errors)
        wish = asked.validated_data
        if "type" in wish:
            provided = claim_volumes(scope=self.scope, wanted=ClaimRequest(**wish))
        else:
            provided = create_volumes(scope=self.scope, wanted=VolumeCreationRequest(**wish))
        return accepted(provided.job, {"volumes": VolumeSerializer(provided.volumes, many=True).data})


class VolumeOptions(ScopedView):
    """The types of volumes that there are."""

    queryset = VOLUMES
    serializer_class = VolumeOptionSerializer
    pagination_class = None
    filter_backends: list[Any] = []

    @extend_schema(responses=VolumeOptionSerializer(many=True))
    def get(self, request: Request) -> Response:
        """Each type with its size, what is ready, and what is wrong with it."""
        options = volume_options(scope=self.scope)
        return Response(VolumeOptionSerializer([asdict(option) for option in options], many=True).data)


class _OneVolume(ScopedView):
    """A view of one volume."""

    queryset = VOLUMES
    serializer_class: Any = VolumeSerializer

    def asked(self, serializer: StrictSerializer, needed: Role) -> dict[str, Any]:
        """What the body says; whether the volume is visible, and the role, are answered before what is wrong with it."""
        if not serializer.is_valid():
            self.get_object()
            self.scope.require(needed, Volume)
            raise ValidationError(dict(serializer.errors))
        return dict(serializer.validated_data)

    def answer(self, request: Request, response: Response) -> Response:
        """The answer, with the volume as it is by then, if who asks has waited for that."""
        if wait_if_preferred(request, response):
            volume = VOLUMES.filter(pk=response.data["volume"]["id"]).first()
            if volume is not None:
                response.data["volume"] = VolumeSerializer(volume).data
        return response


class VolumeDetail(_OneVolume, RetrieveAPIView[Volume]):
    """One volume."""

    @extend_schema(
        request=ChangeVolumeSerializer,
        responses={200: VolumeChangedSerializer, 202: VolumeChangedSerializer},
    )
    def patch(self, request: Request, pk: UUID) -> Response:
        """Give it another name, in the cloud too."""
        wish = self.asked(ChangeVolumeSerializer(data=request.data), Role.OPERATOR)
        changed = rename_volume(scope=self.scope, volume_id=pk, name=wish["name"])
        return self.answer(request, _accepted(changed.volume, changed.job))

    @extend_schema(responses={202: VolumeChangedSerializer})
    def delete(self, request: Request, pk: UUID) -> Response:
        """Remove it, with what is on it, when no VM has it."""
        removed = remove_volume(scope=self.scope, volume_id=pk)
        return self.answer(request, _accepted(removed.volume, removed.job))


class VolumeActions(_OneVolume):
    """What can be asked of a volume."""

    serializer_class = VolumeActionSerializer

    @extend_schema(
        request=VolumeActionSerializer, responses={200: VolumeActedSerializer, 202: VolumeActedSerializer}
    )
    def post(self, request: Request, pk: UUID) -> Response:
        """Extend it, take a snapshot of it, put it on a VM, take it off."""
        return self.answer(request, self.act(request, pk))

    @idempotent
    def act(self, request: Request, pk: UUID) -> Response:
        """Write it down, in one transaction."""
        name = request.data.get("action") if isinstance(request.data, dict) else None
        action = volume_actions().get(name) if isinstance(name, str) else None
        wish = self.asked(VolumeActionSerializer(data=request.data), action.role if action else Role.OPERATOR)
        outcome = act(self.scope, pk, wish.pop("action"), wish)
        response = _accepted(outcome.volume, outcome.job)
        snapshot = getattr(outcome, "snapshot", None)
        if snapshot is not None:
            response.data["snapshot"] = VolumeSnapshotSerializer(snapshot).data
        return response


def _accepted(volume: Volume, job: Job | None) -> Response:
    return accepted(job, {"volume": VolumeSerializer(volume).data})
