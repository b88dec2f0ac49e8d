"""Snapshots of volumes over REST."""

from __future__ import annotations

from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.generics import ListAPIView, RetrieveAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from tasks.command_views import CommandView, job_response
from tenants.scoped_views import ScopedView

from ..filters import VolumeSnapshotFilter
from ..models import VolumeSnapshot
from ..serializers import VolumeSnapshotJobSerializer, VolumeSnapshotSerializer
from ..services import remove_snapshot

SNAPSHOTS = VolumeSnapshot.objects.select_related("information_system", "volume", "created_by")


class VolumeSnapshotListView(ScopedView, ListAPIView[VolumeSnapshot]):
    """The snapshots of volumes of the caller's tenant. `volumes/{id}/actions/` creates one."""

    queryset = SNAPSHOTS
    serializer_class = VolumeSnapshotSerializer
    filterset_class = VolumeSnapshotFilter
    search_fields = ["name", "snapshot_id", "volume__name"]
    ordering_fields = ["created_at", "name", "size_gb"]
    ordering = ["-created_at"]


class VolumeSnapshotDetailView(CommandView, RetrieveAPIView[VolumeSnapshot]):
    """One snapshot."""

    may_be_held_back = True
    queryset = SNAPSHOTS
    serializer_class = VolumeSnapshotSerializer

    @extend_schema(responses={202: VolumeSnapshotJobSerializer})
    def delete(self, request: Request, pk: UUID) -> Response:
        """Delete the snapshot."""

        def record() -> Response:
            result = remove_snapshot(scope=self.scope, snapshot_id=pk)
            return job_response(result.job, {"snapshot": VolumeSnapshotSerializer(result.snapshot).data})

        return self.run_command(request, record)
