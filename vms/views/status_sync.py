"""The status sync over REST: start one, and read past runs."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from api.idempotency import idempotent
from tasks.command_views import CommandView
from tenants.scoping import Role

from ..filters import SyncRunFilter
from ..models import SyncRun, VirtualMachine
from ..serializers import (
    SyncRegionsSerializer,
    SyncRequestSerializer,
    SyncRunSerializer,
    SyncStateSerializer,
)
from ..services import request_sync


class VmSyncView(CommandView, ListAPIView[SyncRun]):
    """The runs of the status sync, of the accounts that the caller sees."""

    queryset = SyncRun.objects.select_related("account")
    role_model = VirtualMachine
    serializer_class = SyncRunSerializer
    filterset_class = SyncRunFilter
    ordering_fields = ["started_at"]
    ordering = ["-started_at"]

    def get_serializer_context(self) -> dict[str, Any]:
        """Add the scope, which decides whether the counts of shared accounts are shown."""
        return {**super().get_serializer_context(), "scope": getattr(self, "scope", None)}

    @extend_schema(request=SyncRequestSerializer, responses={202: SyncRegionsSerializer})
    @idempotent
    def post(self, request: Request) -> Response:
        """Request a full sync of the tenant's VMs; returns the accounts and regions that will be synced."""
        params = self.validate_body(SyncRequestSerializer(data=request.data), Role.OPERATOR)
        states = request_sync(scope=self.scope, account_id=params.get("account"))
        return Response({"regions": SyncStateSerializer(states, many=True).data}, status=202)
