"""The console of a VM over REST."""

from __future__ import annotations

from dataclasses import asdict
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from tasks.command_views import job_response
from tenants.scoping import Role

from ..models import VirtualMachine
from ..serializers import ConsoleJobSerializer, ConsoleSerializer, ReadConsoleSerializer
from ..services import read_console
from ..services.console import last_console
from .vm_children import VmChildView


class VmConsoleView(VmChildView):
    """A VM's console."""

    may_be_held_back = False
    queryset = VirtualMachine.objects.all()
    serializer_class = ConsoleSerializer

    @extend_schema(responses=ConsoleSerializer)
    def get(self, request: Request, pk: UUID) -> Response:
        """Return the texts that were last read for the caller."""
        vm = self.get_vm()
        self.scope.require(Role.OPERATOR, VirtualMachine)
        return Response(asdict(last_console(scope=self.scope, vm=vm)))

    @extend_schema(
        request=ReadConsoleSerializer, responses={200: ConsoleJobSerializer, 202: ConsoleJobSerializer}
    )
    def post(self, request: Request, pk: UUID) -> Response:
        """Request the console URL or the last lines of the log from the cloud; with `Prefer: wait=10`, return them in the response."""

        def record() -> Response:
            params = self.validate_body(ReadConsoleSerializer(data=request.data), Role.OPERATOR)
            _vm, job = read_console(scope=self.scope, vm_id=pk, **params)
            return job_response(job, {})

        response = self.run_command(request, record)
        # Added after the response was stored under its Idempotency-Key, because the texts are secret.
        self.scope.require(Role.OPERATOR, VirtualMachine)
        response.data.update(asdict(last_console(scope=self.scope, vm=self.get_vm())))
        return response
