"""VMs over REST: list, create, change, delete, operation log."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import models
from django.http import Http404
from drf_spectacular.utils import OpenApiParameter, PolymorphicProxySerializer, extend_schema
from rest_framework.generics import ListAPIView, RetrieveAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from api.filtering import FiltersBackend, OrderingBackend
from api.pagination import CappedPagination
from api.preconditions import etag_of
from api.serializers import body_with_dry_run, split_validation
from tasks.command_views import CommandView, job_response
from tasks.models import Job
from tasks.serializers import JobSerializer
from tenants.scoped_views import ScopedView
from tenants.scoping import Role

from ..filters import SEARCH_FIELDS, OperationLogFilter, VirtualMachineFilter, VmSearchBackend
from ..models import VirtualMachine, VMOperationLog
from ..serializers import (
    ChangeVmSerializer,
    ControlResultSerializer,
    NewVmSerializer,
    OperationLogSerializer,
    OptionsRequestSerializer,
    OptionsSerializer,
    RemovalSerializer,
    VirtualMachineSerializer,
    VmJobSerializer,
    VmsJobsSerializer,
    fetch_holding_jobs,
)
from ..services import ControlResult, CreationResult, change_vm, create_vm, list_creation_options, remove_vm
from ..services.usage import count_vms_by_status

VMS = VirtualMachine.objects.for_display()
# With no other parameters, a list's VMs are those that `VMUsage` has counted.
COUNTED_PARAMETERS = frozenset({"status", "information_system", "ordering", "page", "page_size"})
DRY_RUN = OpenApiParameter("dry_run", bool, description="Return what would be done, and change nothing.")


# The answer to a creation: of one VM, or with `count` of several.
_CREATED = PolymorphicProxySerializer(
    component_name="CreatedVms",
    serializers=[VmJobSerializer, VmsJobsSerializer],
    resource_type_field_name=None,
)


class VmView(CommandView):
    """A view of VMs that answers with VMs."""

    may_be_held_back = True
    queryset = VMS
    serializer_class: Any = VirtualMachineSerializer

    def get_serializer_context(self) -> dict[str, Any]:
        """Add the scope, for what the caller may do with each VM."""
        return {**super().get_serializer_context(), "scope": getattr(self, "scope", None)}

    def render_vm(self, vm: VirtualMachine, jobs: dict[str, Job]) -> Any:
        """Return a VM as JSON values. `jobs` are the holding jobs by lock key, so that they are not queried."""
        context = {**self.get_serializer_context(), "holding_jobs": jobs}
        return VirtualMachineSerializer(vm, context=context).data

    def control_response(self, control: ControlResult) -> Response:
        """Return 202 with the VM and its job; 200 when there was nothing to do."""
        assert control.vm is not None
        jobs = {control.vm.lock_key: control.holder} if control.holder else {}
        return job_response(control.job, {"changed": control.changed, "vm": self.render_vm(control.vm, jobs)})

    def refresh_body(self, body: dict[str, Any]) -> None:
        """Replace the VM in the body by its present state, if it still exists."""
        vm = VMS.filter(pk=body["vm"]["id"]).first()
        if vm is not None:
            body["vm"] = self.render_vm(vm, fetch_holding_jobs([vm]))


class VmListingView(VmView):
    """The filters, search and order that the list and the export of VMs share."""

    filterset_class = VirtualMachineFilter
    filter_backends = (FiltersBackend, VmSearchBackend, OrderingBackend)
    search_fields = SEARCH_FIELDS
    ordering_fields = ["name", "status", "created_at", "cpu_cores", "memory_gb", "disk_gb", "ip_address"]
    ordering = ["name"]


class VmListView(VmListingView, ListAPIView[VirtualMachine]):
    """The VMs of the caller's tenant."""

    pagination_class = CappedPagination

    def find_known_count(self) -> int | None:
        """Return the number of VMs that the request matches; None where only the rows themselves can tell."""
        sent = {name: values for name, values in self.request.query_params.lists() if any(values)}
        if not sent.keys() <= COUNTED_PARAMETERS:
            return None
        names = {"status": "status__in", "information_system": "information_system__in"}
        filters = {
            lookup: [value for value in sent[name] if value] for name, lookup in names.items() if name in sent
        }
        return sum(count_vms_by_status(self.scope, **filters).values())

    @extend_schema(
        parameters=[DRY_RUN],
        request=NewVmSerializer,
        responses={200: _CREATED, 202: _CREATED},
    )
    def post(self, request: Request) -> Response:
        """Create a VM, or with `count` several. All errors of the request are returned at once, by field.

        With `count`, the answer has `vms` and `jobs` instead of `vm` and `job`, and does not wait for the jobs.
        202 with the VM and the job that creates it. When the job fails, nothing is left: the VM disappears from the list, and the
        job has the reason.
        """

        def record() -> Response:
            self.scope.require(Role.ADMIN, VirtualMachine)
            params, errors = split_validation(NewVmSerializer(data=body_with_dry_run(request)))
            dry_run = params.pop("dry_run", False)
            count = params.pop("count", None)
            new = create_vm(scope=self.scope, params=params, errors=errors, dry_run=dry_run, count=count)
            if count is not None:
                return self._render_many(new)
            jobs = {new.vm.lock_key: new.job} if new.job else {}
            return job_response(new.job, {"vm": self.render_vm(new.vm, jobs)})

        return self.run_command(request, record)

    def wait_if_preferred(self, request: Request, response: Response) -> bool:
        """Wait for the job of one VM; the jobs of many are not waited for."""
        return "job" in response.data and super().wait_if_preferred(request, response)

    def _render_many(self, new: CreationResult) -> Response:
        """Return 202 with the VMs and the job of each; 200 after a dry run."""
        jobs = {vm.lock_key: job for vm, job in zip(new.vms, new.jobs, strict=False)}
        body = {
            "vms": [self.render_vm(vm, jobs) for vm in new.vms],
            "jobs": JobSerializer(new.jobs, many=True).data,
        }
        return Response(body, status=202 if new.jobs else 200)


class VmOptionsView(ScopedView):
    """The choices for a new VM."""

    queryset = VMS
    serializer_class = OptionsSerializer

    @extend_schema(
        operation_id="vms_options_retrieve",
        parameters=[OptionsRequestSerializer],
        responses=OptionsSerializer,
    )
    def get(self, request: Request) -> Response:
        """Return accounts, flavors, images, networks, zones and volume types for an information system's new VMs."""
        query = OptionsRequestSerializer(data=request.query_params)
        query.is_valid(raise_exception=True)
        params = query.validated_data
        options = list_creation_options(
            scope=self.scope,
            system_id=params.get("information_system"),
            account_id=params.get("account"),
            region=params["region"],
        )
        return Response(OptionsSerializer(options).data)


class VmDetailView(VmView, RetrieveAPIView[VirtualMachine]):
    """One VM."""

    honours_if_match = True

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Return the VM, with its ETag."""
        vm = self.get_object()
        return Response(self.get_serializer(vm).data, headers={"ETag": etag_of(vm.version)})

    @extend_schema(request=ChangeVmSerializer, responses={200: VmJobSerializer, 202: VmJobSerializer})
    def patch(self, request: Request, pk: UUID) -> Response:
        """Change the VM; 202 with the job when its server changes too (name, metadata), 200 otherwise."""

        def record() -> Response:
            fields = self.validate_body(ChangeVmSerializer(data=request.data), Role.OPERATOR)
            vm, job = change_vm(
                scope=self.scope, vm_id=pk, fields=fields, if_match=request.headers.get("If-Match")
            )
            jobs = {vm.lock_key: job} if job else {}
            response = job_response(job, {"vm": self.render_vm(vm, jobs)})
            response["ETag"] = etag_of(vm.version)
            return response

        return self.run_command(request, record)

    @extend_schema(
        parameters=[RemovalSerializer], responses={200: ControlResultSerializer, 202: ControlResultSerializer}
    )
    def delete(self, request: Request, pk: UUID) -> Response:
        """Delete the VM, with its volumes or without: into the bin, if the portal has one, else from the cloud.

        A running VM is stopped for the bin; its deletion from the cloud is refused unless forced. `permanent` passes the bin by.
        """

        def record() -> Response:
            params = self.validate_body(RemovalSerializer(data=request.query_params), Role.ADMIN)
            if_match = request.headers.get("If-Match")
            return self.control_response(remove_vm(scope=self.scope, vm_id=pk, if_match=if_match, **params))

        return self.run_command(request, record)


class VmOperationsView(ScopedView, ListAPIView[VMOperationLog]):
    """The operation log of one VM, newest first."""

    queryset = VMOperationLog.objects.order_by("-id")
    serializer_class = OperationLogSerializer
    filterset_class = OperationLogFilter

    def get_queryset(self) -> models.QuerySet[Any]:
        """Return the log of the VM, if the scope shows it, or of a deleted one."""
        operations = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):
            return operations
        of_vm = VMOperationLog.objects.of_vm(self.scope, self.kwargs["pk"]).order_by("-id")
        vm = VirtualMachine.objects.within(self.scope).filter(pk=self.kwargs["pk"])
        if not vm.exists() and not of_vm.exists():
            raise Http404
        return of_vm
