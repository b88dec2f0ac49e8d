"""Sync logs: list, detail, lines that can be read while it runs, and the word of a person on a mass loss."""

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
    """The syncs of one's accounts, newest first. Those of shared accounts are for staff."""

    queryset = LOGS
    serializer_class = SyncLogSerializer
    filterset_class = SyncLogFilter
    ordering_fields = ["started_at", "ended_at"]
    ordering = ["-id"]


class SyncLogDetailView(ScopedView, RetrieveAPIView[SyncLog]):
    """One sync, readable while it runs."""

    queryset = LOGS
    serializer_class = SyncLogSerializer


class SyncLogLinesView(ScopedView, ListAPIView[SyncLogLine]):
    """The lines of a sync: `?after=<id>` gives what was appended since."""

    queryset = LOGS
    serializer_class = SyncLogLineSerializer
    pagination_class = LogPagination

    def get_queryset(self) -> Any:
        """The lines of the log, if the scope shows it."""
        logs = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):
            return SyncLogLine.objects.none()
        return SyncLogLine.objects.filter(log=get_object_or_404(logs, pk=self.kwargs["pk"]))


class SyncLogAcceptLossesView(ScopedView):
    """Say that a mass loss is true."""

    queryset = LOGS
    serializer_class = SyncLogSerializer

    @extend_schema(request=None, responses={202: SyncLogSerializer})
    @idempotent
    def post(self, request: Request, pk: int) -> Response:
        """Have the type synced again, and believe what is missing then; the log of that sync."""
        log = services.accept_losses(scope=self.scope, log_id=pk)
        return Response(SyncLogSerializer(log).data, status=202)
