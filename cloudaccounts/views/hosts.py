"""Compute hosts over REST, for staff."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from tasks.command_views import CommandView, job_response
from tenants.scoping import Role

from ..models import CloudAccount, ComputeHost
from ..serializers import AccountHostsJobSerializer, ComputeHostSerializer, ReadHostsSerializer
from ..services.hosts import get_account_for_hosts, read_hosts


class AccountHostsView(CommandView):
    """The compute hosts of an account, for staff."""

    queryset = CloudAccount.objects.all()
    serializer_class: Any = ComputeHostSerializer

    def require_access(self, role: Role) -> None:
        """Require staff, before the errors of a body are told."""
        get_account_for_hosts(self.scope, self.kwargs["pk"], needed=role)

    @extend_schema(operation_id="cloud_accounts_hosts_list", responses=ComputeHostSerializer(many=True))
    def get(self, request: Request, pk: int) -> Response:
        """List the hosts as the last reading found them: none before the first one."""
        account = get_account_for_hosts(self.scope, pk)
        page = self.paginate_queryset(ComputeHost.objects.filter(account=account))
        return self.get_paginated_response(ComputeHostSerializer(page, many=True).data)

    @extend_schema(
        operation_id="cloud_accounts_hosts_read",
        request=ReadHostsSerializer,
        responses={202: AccountHostsJobSerializer},
    )
    def post(self, request: Request, pk: int) -> Response:
        """Read the hosts from the cloud; 202 with the job."""

        def record() -> Response:
            self.validate_body(ReadHostsSerializer(data=request.data), Role.OPERATOR)
            return job_response(read_hosts(scope=self.scope, account_id=pk), {})

        return self.run_command(request, record)
