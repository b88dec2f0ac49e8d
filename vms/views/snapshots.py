"""Snapshots of VMs over REST."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import models
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from tasks.command_views import CommandView, job_response
from tenants.scoped_views import ScopedView
from tenants.scoping import Role

from ..models import VMSnapshot
from ..serializers import NewSnapshotSerializer, SnapshotJobSerializer, SnapshotSerializer
from ..services import remove_snapshot, take_snapshot
from .vm_children import VmChildView

SNAPSHOTS = VMSnapshot.objects.select_related("information_system", "created_by")


class VmSnapshotsView(VmChildView, ListAPIView[VMSnapshot]):
    """The snapshots of a VM."""

    queryset = SNAPSHOTS
    serializer_class = SnapshotSerializer
    ordering_fields = ["created_at", "name"]
    ordering = ["-created_at"]

    def get_queryset(self) -> models.QuerySet[Any]:
        """Return the snapshots of the VM."""
        snapshots = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):
            return snapshots
        return snapshots.filter(vm_id=self.get_vm().pk)

    @extend_schema(request=NewSnapshotSerializer, responses={202: SnapshotJobSerializer})
    def post(self, request: Request, pk: UUID) -> Response:
        """Create a snapshot of the VM, from which other VMs can be created."""

        def record() -> Response:
            params = self.validate_body(NewSnapshotSerializer(data=request.data), Role.OPERATOR)
            result = take_snapshot(scope=self.scope, vm_id=pk, name=params["name"])
            return job_response(result.job, {"snapshot": SnapshotSerializer(result.snapshot).data})

        return self.run_command(request, record)

    def refresh_body(self, body: dict[str, Any]) -> None:
        """Replace the snapshot in the body by its present state, if it still exists."""
        snapshot = SNAPSHOTS.filter(pk=body["snapshot"]["id"]).first()
        if snapshot is not None:
            body["snapshot"] = SnapshotSerializer(snapshot).data


@extend_schema_view(get=extend_schema(operation_id="snapshots_list"))
class SnapshotListView(ScopedView, ListAPIView[VMSnapshot]):
    """The snapshots of the caller's tenant, also of deleted VMs."""

    queryset = SNAPSHOTS
    serializer_class = SnapshotSerializer
    search_fields = ["name", "vm_name", "image_id"]
    ordering_fields = ["created_at", "name", "vm_name"]
    ordering = ["-created_at"]


class SnapshotDetailView(CommandView):
    """One snapshot."""

    may_be_held_back = True
    queryset = SNAPSHOTS
    serializer_class = SnapshotSerializer

    @extend_schema(responses={202: SnapshotJobSerializer})
    def delete(self, request: Request, pk: UUID) -> Response:
        """Delete the snapshot, with its image."""

        def record() -> Response:
            result = remove_snapshot(scope=self.scope, snapshot_id=pk)
            return job_response(result.job, {"snapshot": SnapshotSerializer(result.snapshot).data})

        return self.run_command(request, record)
