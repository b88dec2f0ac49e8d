"""VMs over REST: list, detail, actions, operation log."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import models
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.generics import ListAPIView, RetrieveAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from portal.api.errors import Refused
from portal.api.idempotency import idempotent
from portal.api.scoped_views import ScopedView
from portal.api.scoping import Role
from tasks.models import Job
from tasks.views import accepted, wait_if_preferred

from .filters import OperationLogFilter, VirtualMachineFilter
from .models import VirtualMachine, VMOperationLog
from .serializers import (
    ActionSerializer,
    BulkActionSerializer,
    BulkControlSerializer,
    ControlSerializer,
    OperationLogSerializer,
    VirtualMachineSerializer,
    jobs_in_flight,
)
from .services import control_vm, control_vms

VMS = VirtualMachine.objects.shown()


class _VmView(ScopedView):
    queryset = VMS
    serializer_class: Any = VirtualMachineSerializer

    def get_serializer_context(self) -> dict[str, Any]:
        """The scope, for what the caller may do with each VM."""
        return {**super().get_serializer_context(), "scope": getattr(self, "scope", None)}


class VmList(_VmView, ListAPIView[VirtualMachine]):
    """The VMs of one's tenant."""

    filterset_class = VirtualMachineFilter
    search_fields = ["name", "description", "openstack_id", "ip_address", "information_system__name"]
    ordering_fields = ["name", "status", "created_at", "cpu_cores", "memory_gb", "disk_gb", "ip_address"]
    ordering = ["name"]


class VmDetail(_VmView, RetrieveAPIView[VirtualMachine]):
    """One VM."""


class VmActions(_VmView):
    """Ask a VM to start, stop or restart."""

    @extend_schema(request=ActionSerializer, responses={200: ControlSerializer, 202: ControlSerializer})
    def post(self, request: Request, pk: UUID) -> Response:
        """Ask a VM for an action; 202 with the job, or 200 when there is nothing to do."""
        response = self._control(request, pk)
        if wait_if_preferred(request, response):
            vm = VMS.get(pk=pk)
            response.data["vm"] = self._shown(vm, jobs_in_flight([vm]))
        return response

    @idempotent
    def _control(self, request: Request, pk: UUID) -> Response:
        asked = ActionSerializer(data=request.data)
        if not asked.is_valid():
            # Whether the VM is visible, and the role, are answered before what is wrong with the body.
            self.get_object()
            self.scope.require(Role.OPERATOR)
            raise ValidationError(asked.errors)
        control = control_vm(scope=self.scope, vm_id=pk, **asked.validated_data)
        assert control.vm is not None
        jobs = {control.vm.lock_key: control.holder} if control.holder else {}
        return accepted(control.job, {"changed": control.changed, "vm": self._shown(control.vm, jobs)})

    def _shown(self, vm: VirtualMachine, jobs: dict[str, Job]) -> Any:
        context = {**self.get_serializer_context(), "jobs_in_flight": jobs}
        return VirtualMachineSerializer(vm, context=context).data


class VmBulkActions(ScopedView):
    """Ask many VMs to start, stop or restart, in one request."""

    queryset = VMS
    serializer_class = BulkControlSerializer

    @extend_schema(
        operation_id="vms_bulk_actions_create",
        request=BulkActionSerializer,
        responses={200: BulkControlSerializer, 202: BulkControlSerializer},
    )
    @idempotent
    def post(self, request: Request) -> Response:
        """Ask up to 500 VMs for an action: 202 when jobs were recorded, 200 when none was.

        With `mode` `all` (the default) nothing is done unless every VM can be asked: 409 `not_all_valid`, with the
        results. With `valid`, those that can are asked, and the others' refusals are in the results.
        """
        asked = BulkActionSerializer(data=request.data)
        if not asked.is_valid():
            self.scope.require(Role.OPERATOR)
            raise ValidationError(asked.errors)
        wish = dict(asked.validated_data)
        vm_ids, mode, dry_run = wish.pop("vms"), wish["mode"], wish["dry_run"]
        controls = control_vms(scope=self.scope, vm_ids=vm_ids, **wish)
        results = [
            {
                "vm": vm_id,
                "changed": control.changed,
                "job": control.job and control.job.pk,
                "refusal": control.refusal,
            }
            for vm_id, control in zip(vm_ids, controls, strict=True)
        ]
        refused = sum(control.refusal is not None for control in controls)
        changed = sum(control.changed for control in controls)
        body = BulkControlSerializer({"changed": changed, "refused": refused, "results": results}).data
        if refused and mode == "all" and not dry_run:
            raise Refused(
                409,
                "not_all_valid",
                _("%(refused)s of %(count)s VMs cannot be asked, so none was.")
                % {"refused": refused, "count": len(vm_ids)},
                results=body["results"],
            )
        return Response(body, status=202 if changed and not dry_run else 200)


class VmOperations(ScopedView, ListAPIView[VMOperationLog]):
    """The operation log of one VM, newest first."""

    queryset = VMOperationLog.objects.order_by("-id")
    serializer_class = OperationLogSerializer
    filterset_class = OperationLogFilter

    def get_queryset(self) -> models.QuerySet[Any]:
        """The entries of the VM, if the scope shows it."""
        entries = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):
            return entries
        vm = get_object_or_404(VirtualMachine.objects.within(self.scope), pk=self.kwargs["pk"])
        return entries.filter(vm_id=vm.pk)
