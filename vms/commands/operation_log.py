"""Append what the commands of a VM have done to its operation log."""

from __future__ import annotations

from tasks.models import Job

from ..models import VirtualMachine, VMOperationLog


def log_operation(job: Job, vm: VirtualMachine, operation: str, *, success: bool, detail: str = "") -> None:
    """Append what a job has done to a VM. Call it in the transaction that ends the job."""
    VMOperationLog.of(
        vm, operation, user=job.created_by, detail=detail, success=success, job_id=job.pk
    ).save()
