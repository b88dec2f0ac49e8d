"""What hangs on a VM, over REST: volumes, snapshots, its console."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any
from uuid import UUID

from django.db import models
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.exceptions import ValidationError
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from api.idempotency import idempotent
from api.serializers import StrictSerializer
from tasks.views import accepted_response, wait_if_preferred
from tenants.scoped_views import ScopedView
from tenants.scoping import Role
from volumepool.models import Volume
from volumepool.serializers import VolumeSerializer

from ..models import VirtualMachine, VMSnapshot
from ..serializers import (
    AttachedSerializer,
    AttachSerializer,
    ConsoleAnswerSerializer,
    ConsoleSerializer,
    NewSnapshotSerializer,
    ReadConsoleSerializer,
    SnapshotSerializer,
    SnapshotTakenSerializer,
)
from ..services import attach_volume, detach_volume, read_console, remove_snapshot, take_snapshot
from ..services.console import console_of

VOLUMES = Volume.objects.select_related("information_system", "vm")
SNAPSHOTS = VMSnapshot.objects.select_related("information_system", "created_by")


class _PartView(ScopedView):
    """A view below `vms/{id}/`."""

    def vm(self) -> VirtualMachine:
        """The VM of the path. Raises 404."""
        vm: VirtualMachine = get_object_or_404(
            VirtualMachine.objects.within(self.scope), pk=self.kwargs["pk"]
        )
        return vm

    def asked(self, serializer: StrictSerializer, needed: Role) -> dict[str, Any]:
        """What the body says; whether the VM is visible, and the role, are answered before what is wrong with it."""
        if not serializer.is_valid():
            self.vm()
            self.scope.require(needed, VirtualMachine)
            raise ValidationError(dict(serializer.errors))
        found: dict[str, Any] = dict(serializer.validated_data)
        return found


class VmVolumes(_PartView, ListAPIView[Volume]):
    """The volumes of a VM."""

    queryset = VOLUMES.order_by("-is_boot", "created_at")
    serializer_class = VolumeSerializer

    def get_queryset(self) -> models.QuerySet[Any]:
        """Those that are on the VM, or about to be."""
        volumes = super().get_queryset()
        return volumes if getattr(self, "swagger_fake_view", False) else volumes.filter(vm=self.vm())

    @extend_schema(request=AttachSerializer, responses={202: AttachedSerializer})
    def post(self, request: Request, pk: UUID) -> Response:
        """Put a volume of the tenant's on the VM, or a new one of `size_gb`."""
        response = self._attach(request, pk)
        if wait_if_preferred(request, response):
            volume = VOLUMES.filter(pk=response.data["volume"]["id"]).first()
            if volume is not None:
                response.data["volume"] = VolumeSerializer(volume).data
        return response

    @idempotent
    def _attach(self, request: Request, pk: UUID) -> Response:
        new = isinstance(request.data, dict) and "size_gb" in request.data
        wish = self.asked(AttachSerializer(data=request.data), Role.ADMIN if new else Role.OPERATOR)
        attached = attach_volume(
            scope=self.scope,
            vm_id=pk,
            volume_id=wish.get("volume"),
            size_gb=wish.get("size_gb"),
            name=wish.get("name", ""),
            volume_type=wish.get("type", ""),
        )
        return accepted_response(attached.job, {"volume": VolumeSerializer(attached.volume).data})


class VmVolume(_PartView):
    """One volume of a VM."""

    queryset = VOLUMES
    serializer_class = AttachedSerializer

    @extend_schema(responses={202: AttachedSerializer})
    def delete(self, request: Request, pk: UUID, volume_pk: UUID) -> Response:
        """Take it off the VM; the tenant keeps it."""
        detached = detach_volume(scope=self.scope, vm_id=pk, volume_id=volume_pk)
        response = accepted_response(detached.job, {"volume": VolumeSerializer(detached.volume).data})
        if wait_if_preferred(request, response):
            response.data["volume"] = VolumeSerializer(VOLUMES.get(pk=volume_pk)).data
        return response


class VmSnapshots(_PartView, ListAPIView[VMSnapshot]):
    """The snapshots that were taken of a VM."""

    queryset = SNAPSHOTS
    serializer_class = SnapshotSerializer
    ordering_fields = ["created_at", "name"]
    ordering = ["-created_at"]

    def get_queryset(self) -> models.QuerySet[Any]:
        """Those of the VM."""
        snapshots = super().get_queryset()
        return (
            snapshots if getattr(self, "swagger_fake_view", False) else snapshots.filter(vm_id=self.vm().pk)
        )

    @extend_schema(request=NewSnapshotSerializer, responses={202: SnapshotTakenSerializer})
    def post(self, request: Request, pk: UUID) -> Response:
        """Make an image of the VM, from which others can be made."""
        response = self._take(request, pk)
        if wait_if_preferred(request, response):
            snapshot = SNAPSHOTS.filter(pk=response.data["snapshot"]["id"]).first()
            if snapshot is not None:
                response.data["snapshot"] = SnapshotSerializer(snapshot).data
        return response

    @idempotent
    def _take(self, request: Request, pk: UUID) -> Response:
        wish = self.asked(NewSnapshotSerializer(data=request.data), Role.OPERATOR)
        taken = take_snapshot(scope=self.scope, vm_id=pk, name=wish["name"])
        return accepted_response(taken.job, {"snapshot": SnapshotSerializer(taken.snapshot).data})


@extend_schema_view(get=extend_schema(operation_id="snapshots_list"))
class SnapshotList(ScopedView, ListAPIView[VMSnapshot]):
    """The snapshots of one's tenant, also of VMs that are gone."""

    queryset = SNAPSHOTS
    serializer_class = SnapshotSerializer
    search_fields = ["name", "vm_name", "image_id"]
    ordering_fields = ["created_at", "name", "vm_name"]
    ordering = ["-created_at"]


class SnapshotDetail(ScopedView):
    """One snapshot."""

    queryset = SNAPSHOTS
    serializer_class = SnapshotSerializer

    @extend_schema(responses={202: SnapshotTakenSerializer})
    def delete(self, request: Request, pk: UUID) -> Response:
        """Remove it, with its image."""
        removed = remove_snapshot(scope=self.scope, snapshot_id=pk)
        response = accepted_response(removed.job, {"snapshot": SnapshotSerializer(removed.snapshot).data})
        wait_if_preferred(request, response)
        return response


class VmConsole(_PartView):
    """A VM's console."""

    queryset = VirtualMachine.objects.all()
    serializer_class = ConsoleSerializer

    @extend_schema(responses=ConsoleSerializer)
    def get(self, request: Request, pk: UUID) -> Response:
        """What was last read for who asks."""
        vm = self.vm()
        self.scope.require(Role.OPERATOR, VirtualMachine)
        return Response(asdict(console_of(scope=self.scope, vm=vm)))

    @extend_schema(
        request=ReadConsoleSerializer, responses={200: ConsoleAnswerSerializer, 202: ConsoleAnswerSerializer}
    )
    def post(self, request: Request, pk: UUID) -> Response:
        """Ask the cloud for the screen's address or the last lines of text; `Prefer: wait=10` answers with them."""
        response = self._read(request, pk)
        wait_if_preferred(request, response)
        # Only now, and not in the answer that is kept under an Idempotency-Key: it is a secret.
        self.scope.require(Role.OPERATOR, VirtualMachine)
        response.data.update(asdict(console_of(scope=self.scope, vm=self.vm())))
        return response

    @idempotent
    def _read(self, request: Request, pk: UUID) -> Response:
        wish = self.asked(ReadConsoleSerializer(data=request.data), Role.OPERATOR)
        _vm, job = read_console(scope=self.scope, vm_id=pk, **wish)
        return accepted_response(job, {})
