"""VMs over REST: list, create, change, remove, operation log."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import models
from django.http import Http404
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.generics import ListAPIView, RetrieveAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from api.idempotency import idempotent
from api.preconditions import etag_of
from api.serializers import body_with_dry_run, split_validation
from tasks.models import Job
from tasks.views import accepted_response, wait_if_preferred
from tenants.scoped_views import ScopedView
from tenants.scoping import Role

from ..filters import SEARCHED, OperationLogFilter, VirtualMachineFilter
from ..models import VirtualMachine, VMOperationLog
from ..serializers import (
    ChangeVmSerializer,
    ControlSerializer,
    NewVmAnswerSerializer,
    NewVmSerializer,
    OperationLogSerializer,
    OptionsRequestSerializer,
    OptionsSerializer,
    RemovalSerializer,
    VirtualMachineSerializer,
    jobs_in_flight,
)
from ..services import Control, change_vm, create_vm, options_for, remove_vm

VMS = VirtualMachine.objects.shown()
DRY_RUN = OpenApiParameter("dry_run", bool, description="Say what would be done, and do nothing.")


class VmView(ScopedView):
    """A view of VMs that answers with VMs."""

    queryset = VMS
    serializer_class: Any = VirtualMachineSerializer

    def get_serializer_context(self) -> dict[str, Any]:
        """The scope, for what the caller may do with each VM."""
        return {**super().get_serializer_context(), "scope": getattr(self, "scope", None)}

    def shown(self, vm: VirtualMachine, jobs: dict[str, Job]) -> Any:
        """A VM, with the jobs in flight that are known already."""
        context = {**self.get_serializer_context(), "jobs_in_flight": jobs}
        return VirtualMachineSerializer(vm, context=context).data

    def controlled(self, control: Control) -> Response:
        """The answer to what a VM was asked for."""
        assert control.vm is not None
        jobs = {control.vm.lock_key: control.holder} if control.holder else {}
        return accepted_response(
            control.job, {"changed": control.changed, "vm": self.shown(control.vm, jobs)}
        )


class VmListing(VmView):
    """What lists and exports of VMs share: filters, search, order."""

    filterset_class = VirtualMachineFilter
    search_fields = SEARCHED
    ordering_fields = ["name", "status", "created_at", "cpu_cores", "memory_gb", "disk_gb", "ip_address"]
    ordering = ["name"]


class VmList(VmListing, ListAPIView[VirtualMachine]):
    """The VMs of one's tenant."""

    @extend_schema(
        parameters=[DRY_RUN],
        request=NewVmSerializer,
        responses={200: NewVmAnswerSerializer, 202: NewVmAnswerSerializer},
    )
    def post(self, request: Request) -> Response:
        """Make a VM. All that is wrong with the request is said at once, by field.

        202 with the VM and the job that makes it. When the job fails, nothing is left: the VM is gone from the list, and
        the job says why.
        """
        response = self._create(request)
        if wait_if_preferred(request, response):
            vm = VMS.filter(pk=response.data["vm"]["id"]).first()
            if vm is not None:
                response.data["vm"] = self.shown(vm, jobs_in_flight([vm]))
        return response

    @idempotent
    def _create(self, request: Request) -> Response:
        self.scope.require(Role.ADMIN, VirtualMachine)
        wish, errors = split_validation(NewVmSerializer(data=body_with_dry_run(request)))
        new = create_vm(scope=self.scope, wish=wish, errors=errors, dry_run=wish.pop("dry_run", False))
        jobs = {new.vm.lock_key: new.job} if new.job else {}
        return accepted_response(new.job, {"vm": self.shown(new.vm, jobs)})


class VmOptions(ScopedView):
    """What a new VM can be made of."""

    queryset = VMS
    serializer_class = OptionsSerializer

    @extend_schema(
        operation_id="vms_options_retrieve",
        parameters=[OptionsRequestSerializer],
        responses=OptionsSerializer,
    )
    def get(self, request: Request) -> Response:
        """Accounts, flavors, images, networks, zones and volume types for an information system's new VMs."""
        asked = OptionsRequestSerializer(data=request.query_params)
        asked.is_valid(raise_exception=True)
        wish = asked.validated_data
        options = options_for(
            scope=self.scope,
            system_id=wish.get("information_system"),
            account_id=wish.get("account"),
            region=wish["region"],
        )
        return Response(OptionsSerializer(options).data)


class VmDetail(VmView, RetrieveAPIView[VirtualMachine]):
    """One VM."""

    honours_if_match = True

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Read it, with its ETag."""
        vm = self.get_object()
        return Response(self.get_serializer(vm).data, headers={"ETag": etag_of(vm.version)})

    @extend_schema(
        request=ChangeVmSerializer, responses={200: NewVmAnswerSerializer, 202: NewVmAnswerSerializer}
    )
    def patch(self, request: Request, pk: UUID) -> Response:
        """Change it; 202 with the job when its server has to follow (name, metadata), 200 otherwise."""
        response = self._change(request, pk)
        if wait_if_preferred(request, response):
            vm = VMS.get(pk=pk)
            response.data["vm"] = self.shown(vm, jobs_in_flight([vm]))
        return response

    def _change(self, request: Request, pk: UUID) -> Response:
        asked = ChangeVmSerializer(data=request.data)
        if not asked.is_valid():
            self.get_object()
            self.scope.require(Role.OPERATOR, VirtualMachine)
            raise ValidationError(asked.errors)
        vm, job = change_vm(
            scope=self.scope,
            vm_id=pk,
            fields=asked.validated_data,
            if_match=request.headers.get("If-Match"),
        )
        response = accepted_response(job, {"vm": self.shown(vm, {vm.lock_key: job} if job else {})})
        response["ETag"] = etag_of(vm.version)
        return response

    @extend_schema(parameters=[RemovalSerializer], responses={200: ControlSerializer, 202: ControlSerializer})
    def delete(self, request: Request, pk: UUID) -> Response:
        """Remove it, with its volumes or without. One that runs is refused unless forced."""
        asked = RemovalSerializer(data=request.query_params)
        if not asked.is_valid():
            self.get_object()
            self.scope.require(Role.ADMIN, VirtualMachine)
            raise ValidationError(asked.errors)
        response = self.controlled(
            remove_vm(
                scope=self.scope, vm_id=pk, if_match=request.headers.get("If-Match"), **asked.validated_data
            )
        )
        wait_if_preferred(request, response)
        return response


class VmOperations(ScopedView, ListAPIView[VMOperationLog]):
    """The operation log of one VM, newest first."""

    queryset = VMOperationLog.objects.order_by("-id")
    serializer_class = OperationLogSerializer
    filterset_class = OperationLogFilter

    def get_queryset(self) -> models.QuerySet[Any]:
        """The entries of the VM, if the scope shows it, or what is left of one that was removed."""
        entries = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):
            return entries
        of_vm = entries.filter(vm_id=self.kwargs["pk"])
        vm = VirtualMachine.objects.within(self.scope).filter(pk=self.kwargs["pk"])
        if not vm.exists() and not of_vm.exists():
            raise Http404
        return of_vm
