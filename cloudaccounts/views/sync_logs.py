"""Views of sync logs: list, detail, lines, and the confirmation of held-back deletions."""

from __future__ import annotations

from typing import Any

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework.generics import ListAPIView, RetrieveAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from api.idempotency import idempotent
from api.pagination import LogPagination
from tenants.scoped_views import ScopedView

from .. import services
from ..filters import SyncLogFilter
from ..models import SyncLog, SyncLogLine
from ..serializers import SyncLogLineSerializer, SyncLogSerializer

LOGS = SyncLog.objects.select_related("account", "asked_by")


class SyncLogListView(ScopedView, ListAPIView[SyncLog]):
    """The sync logs of the tenant's accounts, newest first. Those of shared accounts are for staff."""

    queryset = LOGS
    serializer_class = SyncLogSerializer
    filterset_class = SyncLogFilter
    ordering_fields = ["started_at", "ended_at"]
    ordering = ["-id"]


class SyncLogDetailView(ScopedView, RetrieveAPIView[SyncLog]):
    """One sync log, which can be read while the sync runs."""

    queryset = LOGS
    serializer_class = SyncLogSerializer


class SyncLogLinesView(ScopedView, ListAPIView[SyncLogLine]):
    """The lines of a sync log; `?after=<id>` returns the later ones."""

    queryset = LOGS
    serializer_class = SyncLogLineSerializer
    pagination_class = LogPagination

    def get_queryset(self) -> Any:
        """Return the lines of the log, if it is in the scope."""
        logs = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):
            return SyncLogLine.objects.none()
        return SyncLogLine.objects.filter(log=get_object_or_404(logs, pk=self.kwargs["pk"]))


class SyncLogAcceptLossesView(ScopedView):
    """Confirm the deletions that a sync holds back."""

    queryset = LOGS
    serializer_class = SyncLogSerializer

    @extend_schema(request=None, responses={202: SyncLogSerializer})
    @idempotent
    def post(self, request: Request, pk: int) -> Response:
        """Sync the type again, expire whatever is missing then, and return the log of that sync."""
        log = services.accept_losses(scope=self.scope, log_id=pk)
        return Response(SyncLogSerializer(log).data, status=202)
