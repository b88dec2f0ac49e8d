"""VMs and their operation log in the API."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from drf_spectacular.utils import extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from api.read_serializers import ReadOnlyModelSerializer
from tasks.clock import is_recent
from tasks.models import EntityLock, Job
from tasks.serializers import JobBriefSerializer
from tenants.scoping import Role

from ..actions import allowed_actions
from ..models import Resize, VirtualMachine, VMOperationLog, VMStatus, lock_key, stale_after
from ..services.migration import may_see_host


def fetch_holding_jobs(vms: list[VirtualMachine]) -> dict[str, Job]:
    """Return the job that holds each of the VMs, by lock key: one query for a whole page."""
    locks = (
        EntityLock.objects.filter(key__in=[vm.lock_key for vm in vms])
        .select_related("job")
        # What `JobBriefSerializer` shows: a job has forty columns.
        .only("key", "job__kind", "job__subject", "job__status", "job__created_at")
        .order_by()
    )
    return {lock.key: lock.job for lock in locks}


class PendingResizeSerializer(ReadOnlyModelSerializer[Resize]):
    """The size that a VM is being resized to; `confirms_at` is empty until the cloud has done it."""

    class Meta:
        model = Resize
        fields = ["flavor_name", "cpu_cores", "memory_gb", "disk_gb", "confirms_at"]


class VirtualMachineListSerializer(serializers.ListSerializer[VirtualMachine]):
    """A page of VMs; one query finds the jobs of all of them."""

    def to_representation(self, data: Any) -> Any:
        vms = list(data)
        # A child serializer reads the context of its parent.
        self._context = {**self.context, "holding_jobs": fetch_holding_jobs(vms)}
        return super().to_representation(vms)


@extend_schema_serializer(deprecate_fields=["wanted"])
class VirtualMachineSerializer(ReadOnlyModelSerializer[VirtualMachine]):
    """A VM: its columns, the actions that are allowed now, and the job that holds it."""

    status_display = serializers.SerializerMethodField()
    data_center_type_display = serializers.SerializerMethodField()
    information_system_name = serializers.SerializerMethodField()
    account_name = serializers.SerializerMethodField()
    observed_at = serializers.SerializerMethodField()
    stale = serializers.SerializerMethodField()
    allowed_actions = serializers.SerializerMethodField()
    current_job = serializers.SerializerMethodField()
    created_by = serializers.SerializerMethodField()
    host = serializers.CharField(
        read_only=True, help_text="The compute host. In answers to platform administrators alone."
    )
    resize = serializers.SerializerMethodField()
    # The old name of `desired_state`, for one release.
    wanted = serializers.ChoiceField(
        source="desired_state", choices=VirtualMachine.DesiredState.choices, read_only=True
    )

    class Meta:
        optional_fields = frozenset({"host"})
        model = VirtualMachine
        list_serializer_class = VirtualMachineListSerializer
        fields = [
            "id",
            "name",
            "description",
            "information_system",
            "information_system_name",
            "account",
            "account_name",
            "region",
            "cpu_cores",
            "memory_gb",
            "disk_gb",
            "flavor_name",
            "image_name",
            "resize",
            "data_center_type",
            "data_center_type_display",
            "availability_zone",
            "os_type",
            "os_version",
            "runtime_start",
            "runtime_end",
            "metadata",
            "tags",
            "deletion_protection",
            "binned_at",
            "bin_until",
            "openstack_id",
            "host",
            "status",
            "status_display",
            "desired_state",
            "wanted",
            "ip_address",
            "mac_address",
            "addresses",
            "fault",
            "last_start_time",
            "last_stop_time",
            "observed_at",
            "stale",
            "allowed_actions",
            "current_job",
            "created_by",
            "version",
            "created_at",
            "updated_at",
        ]
        read_only_fields = fields

    def to_representation(self, instance: VirtualMachine) -> Any:
        fields = super().to_representation(instance)
        if not may_see_host(self.context.get("scope")):
            del fields["host"]
        return fields

    def find_job(self, vm: VirtualMachine) -> Job | None:
        if "holding_jobs" not in self.context:
            self._context = {**self.context, "holding_jobs": fetch_holding_jobs([vm])}
        job: Job | None = self.context["holding_jobs"].get(lock_key(vm.pk))
        return job

    # Django's `get_status_display` builds a dictionary of all choices and translates each, for every row; here they are
    # translated once for all rows.
    @cached_property
    def _status_labels(self) -> dict[str, str]:
        return {value: str(label) for value, label in VMStatus.choices}

    @cached_property
    def _data_center_labels(self) -> dict[str, str]:
        return {value: str(label) for value, label in VirtualMachine.DataCenterType.choices}

    def get_status_display(self, vm: VirtualMachine) -> str:
        return self._status_labels.get(vm.status, vm.status)

    def get_data_center_type_display(self, vm: VirtualMachine) -> str:
        return self._data_center_labels.get(vm.data_center_type, vm.data_center_type)

    @extend_schema_field(serializers.DateTimeField(allow_null=True))
    def get_observed_at(self, vm: VirtualMachine) -> Any:
        return getattr(vm, "synced_at", vm.observed_at)

    def get_stale(self, vm: VirtualMachine) -> bool:
        synced_at = getattr(vm, "synced_at", vm.observed_at)
        return not is_recent(synced_at, stale_after())

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_allowed_actions(self, vm: VirtualMachine) -> list[str]:
        scope = self.context.get("scope")
        if scope is None or not scope.allows(Role.OPERATOR, VirtualMachine):
            return []
        return [] if self.find_job(vm) is not None else allowed_actions(vm)

    @extend_schema_field(JobBriefSerializer(allow_null=True))
    def get_current_job(self, vm: VirtualMachine) -> Any:
        job = self.find_job(vm)
        return JobBriefSerializer(job).data if job else None

    @extend_schema_field(PendingResizeSerializer(allow_null=True))
    def get_resize(self, vm: VirtualMachine) -> Any:
        pending = vm.pending_resize
        return PendingResizeSerializer(pending).data if pending else None

    # A list has selected the names of related rows (`for_list`); a single VM has the rows.
    def get_information_system_name(self, vm: VirtualMachine) -> str:
        return getattr(vm, "system_name", None) or vm.information_system.name

    def get_account_name(self, vm: VirtualMachine) -> str:
        return getattr(vm, "cloud_account_name", None) or vm.account.name

    def get_created_by(self, vm: VirtualMachine) -> str | None:
        if hasattr(vm, "creator_name"):
            creator_name: str | None = vm.creator_name
            return creator_name
        return vm.created_by.get_username() if vm.created_by else None


class OperationLogSerializer(ReadOnlyModelSerializer[VMOperationLog]):
    """An operation on a VM: who did it, when, and how it ended.

    Of what was done before the VM came from another tenant, `operator`, `detail` and `job_id` are left out.
    """

    operation_display = serializers.CharField(source="get_operation_display", read_only=True)
    of_former_tenant = serializers.SerializerMethodField()

    class Meta:
        model = VMOperationLog
        fields = [
            "id",
            "operation",
            "operation_display",
            "operator",
            "detail",
            "success",
            "job_id",
            "at",
            "of_former_tenant",
        ]

    def get_of_former_tenant(self, entry: VMOperationLog) -> bool:
        return bool(getattr(entry, "is_former", False))

    def to_representation(self, instance: VMOperationLog) -> Any:
        fields = super().to_representation(instance)
        return (
            {**fields, "operator": "", "detail": "", "job_id": None} if fields["of_former_tenant"] else fields
        )
