"""Server groups over REST."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.generics import ListAPIView, RetrieveAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from tasks.command_views import CommandView, job_response
from tenants.scoping import Role

from ..filters import ServerGroupFilter
from ..models import ServerGroup
from ..serializers import NewServerGroupSerializer, ServerGroupJobSerializer, ServerGroupSerializer
from ..services import ServerGroupChange, create_server_group, remove_server_group


class _ServerGroupView(CommandView):
    may_be_held_back = True

    queryset = ServerGroup.objects.select_related("information_system")
    serializer_class: Any = ServerGroupSerializer

    def refresh_body(self, body: dict[str, Any]) -> None:
        """Replace the group in the body by its present state, if it still exists."""
        found = self.get_queryset().filter(pk=body["server_group"]["id"]).first()
        if found is not None:
            body["server_group"] = ServerGroupSerializer(found).data

    def respond(self, change: ServerGroupChange) -> Response:
        """Return 202 with the group and its job."""
        return job_response(change.job, {"server_group": ServerGroupSerializer(change.group).data})


class ServerGroupListView(_ServerGroupView, ListAPIView[ServerGroup]):
    """The server groups of the caller's tenant."""

    filterset_class = ServerGroupFilter
    search_fields = ["name"]
    ordering_fields = ["name", "created_at"]
    ordering = ["name"]

    @extend_schema(request=NewServerGroupSerializer, responses={202: ServerGroupJobSerializer})
    def post(self, request: Request) -> Response:
        """Create a server group for an information system, with a policy that the tenant may use."""

        def record() -> Response:
            params = self.validate_body(NewServerGroupSerializer(data=request.data), Role.ADMIN)
            return self.respond(create_server_group(scope=self.scope, params=params))

        return self.run_command(request, record)


class ServerGroupDetailView(_ServerGroupView, RetrieveAPIView[ServerGroup]):
    """One server group."""

    @extend_schema(responses={202: ServerGroupJobSerializer})
    def delete(self, request: Request, pk: UUID) -> Response:
        """Delete the server group. Its VMs go on, without the policy."""

        def record() -> Response:
            return self.respond(remove_server_group(scope=self.scope, group_id=pk))

        return self.run_command(request, record)
