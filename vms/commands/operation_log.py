"""Append to the operation log of a VM, for the commands that are about one and for those that only concern one."""

from __future__ import annotations

from uuid import UUID

from tasks.models import Job

from ..models import VirtualMachine, VMOperationLog


def log_operation(job: Job, vm: VirtualMachine, operation: str, *, success: bool, detail: str = "") -> None:
    """Append what a job has done to a VM. Call it in the transaction that ends the job."""
    append_log(
        job,
        operation,
        tenant_id=vm.information_system.tenant_id,
        vm_id=vm.pk,
        vm_name=vm.name,
        success=success,
        detail=detail,
    )


def append_log(
    job: Job,
    operation: str,
    *,
    tenant_id: UUID,
    vm_id: UUID,
    vm_name: str,
    success: bool,
    detail: str,
) -> None:
    """Append what a job has done for a VM that may be gone: the log outlives it."""
    creator = job.created_by
    VMOperationLog.objects.create(
        tenant_id=tenant_id,
        vm_id=vm_id,
        vm_name=vm_name,
        operation=operation,
        operator=creator.get_username() if creator else "",
        detail=detail,
        success=success,
        job_id=job.pk,
    )
