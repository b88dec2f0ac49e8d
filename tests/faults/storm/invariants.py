"""The invariants of a storm once everything has settled."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tests.faults.framework.report import Invariant

from .effects import ACTION_OF, compare_vm, read_accepted_actions
from .load import Load
from .scene import Scene

# The simulator keeps this many requests in its log.
SIMULATOR_LOG_SIZE = 200_000


@dataclass
class Evidence:
    """Database and cloud at the end, each read once. Needs Django."""

    scene: Scene
    load: Load

    @cached_property
    def jobs(self) -> list[Any]:
        """Return every job."""
        from tasks.models import Job

        return list(Job.objects.order_by("created_at"))

    @cached_property
    def vm_jobs(self) -> list[Any]:
        """Return the jobs of VMs: those that clicks have made."""
        return [job for job in self.jobs if job.kind in ACTION_OF]

    @cached_property
    def vms_by_server(self) -> dict[str, Any]:
        """Return the portal's VMs by the id of their server."""
        from vms.models import VirtualMachine

        return {vm.openstack_id: vm for vm in VirtualMachine.objects.all()}

    @cached_property
    def cloud_status(self) -> dict[str, str]:
        """Return Nova's status of each server, followed by its task state if it has one."""
        servers = self.scene.cloud.call("GET", "objects")["servers"]
        return {
            server["id"]: f"{server['status']} {server['task_state'] or ''}".strip() for server in servers
        }

    @cached_property
    def log_entries(self) -> list[Any]:
        """Return the operation log of the VMs that are clicked on, without the entries of syncs."""
        from vms.models import VMOperationLog

        clicked = VMOperationLog.objects.filter(vm_id__in=[vm.id for vm in self.scene.vms])
        return list(clicked.exclude(operation="sync"))

    @cached_property
    def cloud_requests(self) -> list[dict[str, Any]]:
        """Return the simulator's log of requests. Raises `RuntimeError` if it is full: its first entries are lost."""
        log: list[dict[str, Any]] = self.scene.cloud.call("GET", "requests")["requests"]
        if len(log) >= SIMULATOR_LOG_SIZE:
            raise RuntimeError(
                "The simulator's log is full, so the actions cannot be counted. Choose a shorter storm."
            )
        return log


def check_open_work(evidence: Evidence) -> Iterable[Invariant]:
    """Check that no row is left that only work in progress has."""
    from django.db import connection

    from tasks.models import ENDED, AsyncTask, EntityLock, JobStatus, PollScope, Step, StepStatus
    from vms.models import SyncRun, SyncState

    unended = [job for job in evidence.jobs if job.status not in ENDED]
    yield Invariant(
        "every job has ended, none is stuck",
        [f"job {job.pk} {job.kind} is {job.status}: {job.outcome_message[:300]}" for job in unended],
        len(evidence.jobs),
    )
    errored = [job for job in evidence.jobs if job.status == JobStatus.ERRORED]
    yield Invariant(
        "no job met a bug of the portal",
        [f"job {job.pk} {job.kind} is errored: {job.traceback[-600:]}" for job in errored],
        len(evidence.jobs),
    )
    # The cloud of a storm is unavailable, slow and wrong, but it never rejects an action for good: what it refuses now it
    # accepts later. So only cancelled jobs may end without success.
    failed = [job for job in evidence.vm_jobs if job.status == JobStatus.FAILED]
    yield Invariant(
        "no job failed: the cloud rejects nothing for good",
        [f"job {job.pk} {job.kind}: {job.outcome_code}: {job.outcome_message[:300]}" for job in failed],
        len(evidence.vm_jobs),
    )
    open_steps = {StepStatus.PENDING, StepStatus.RUNNING, StepStatus.WAITING, StepStatus.UNDOING}
    steps = Step.objects.filter(job__status__in=ENDED)
    yield Invariant(
        "no step of an ended job is open",
        [
            f"step {step.name} of job {step.job_id} is {step.status}"
            for step in steps.filter(status__in=open_steps)
        ],
        steps.count(),
    )
    locks = list(EntityLock.objects.all())
    yield Invariant(
        "no lock is held", [f"{lock.key} by job {lock.job_id}" for lock in locks], len(evidence.vms_by_server)
    )
    still_open = AsyncTask.objects.filter(verdict=AsyncTask.Verdict.OPEN)
    yield Invariant(
        "no async task is open",
        [f"{task} of job {task.job_id}" for task in still_open],
        AsyncTask.objects.count(),
    )
    scopes = list(PollScope.objects.all())
    yield Invariant(
        "no poll scope is held", [f"{scope} by {scope.owner}" for scope in scopes if scope.owner], len(scopes)
    )
    states = list(SyncState.objects.all())
    running = SyncRun.objects.filter(state=SyncRun.State.RUNNING)
    yield Invariant(
        "no sync is under way",
        [*(f"{state} by {state.owner}" for state in states if state.owner), *map(str, running)],
        SyncRun.objects.count(),
    )
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT state, pid, query FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        sessions = cursor.fetchall()
    forgotten = [row for row in sessions if str(row[0]).startswith("idle in transaction")]
    yield Invariant("no transaction is left open", [str(row) for row in forgotten], len(sessions))


def check_clicks(evidence: Evidence) -> Iterable[Invariant]:
    """Check that every accepted click has its job, and every job its click."""
    by_id = {str(job.pk): job for job in evidence.jobs}
    clicks = {click.name: click for click in evidence.load.clicks}
    accepted = [click for click in clicks.values() if click.status == 202]
    wrong = []
    for click in accepted:
        job = by_id.get(next(iter(click.jobs), ""))
        if job is None:
            wrong.append(
                f"click {click.name} was accepted with job {click.jobs or 'none'}, which is not there"
            )
        elif (job.entity_id, job.kind) != (click.vm, f"vms.{click.action}"):
            wrong.append(
                f"click {click.name} ({click.action} of {click.vm}) got job {job.pk}, which is another"
            )
    yield Invariant("every accepted click has its job", wrong, len(accepted))

    # A job's request id is the name of the try that made it: "storm-<click>.<try>".
    made_by = defaultdict(list)
    unexplained = []
    for job in evidence.vm_jobs:
        name = job.request_id.removeprefix("storm-").rpartition(".")[0]
        if name in clicks:
            made_by[name].append(job)
        else:
            unexplained.append(
                f"job {job.pk} {job.kind} was made by request {job.request_id!r}, which no user sent"
            )
    yield Invariant("every job was made by a click", unexplained, len(evidence.vm_jobs))

    twice = [f"click {name} made {len(jobs)} jobs" for name, jobs in made_by.items() if len(jobs) > 1]
    lost = [
        f"click {click.name} was told that it changed something, and made no job"
        for click in accepted
        if click.changed and click.name not in made_by
    ]
    told_wrong = [
        f"click {name} made job {jobs[0].pk}, and was answered {click.status} {click.code} with {click.jobs or 'none'}"
        for name, jobs in made_by.items()
        if (click := clicks[name]).status and str(jobs[0].pk) not in click.jobs
    ]
    yield Invariant(
        "a click makes at most one job, and is told which", [*twice, *lost, *told_wrong], len(clicks)
    )

    keyed = [click for click in clicks.values() if click.key]
    wrong = [
        f"key {click.key}: {len(click.jobs)} jobs were answered" for click in keyed if len(click.jobs) > 1
    ]
    wrong += [
        f"key {click.key} was answered in {len(click.accepted)} ways: {sorted(click.accepted)}"
        for click in keyed
        if len(click.accepted) > 1
    ]
    wrong += [
        f"key {click.key} was never answered, in {click.tries} tries" for click in keyed if not click.status
    ]
    yield Invariant("one key, one job, one answer", wrong, len(keyed))

    cancelled = {cancellation.job for cancellation in evidence.load.cancellations}
    wrong = [
        f"job {job.pk} is cancelled without a request"
        for job in evidence.vm_jobs
        if job.status == "cancelled" and str(job.pk) not in cancelled
    ]
    yield Invariant("only jobs that a user cancelled are cancelled", wrong, len(cancelled))


def check_cloud_actions(evidence: Evidence) -> Iterable[Invariant]:
    """Check that no action was carried out twice, none is lost, and each belongs to a job."""
    actions = read_accepted_actions(evidence.cloud_requests)
    jobs_of = defaultdict(list)
    for job in evidence.vm_jobs:
        jobs_of[job.entity_id].append(job)
    all_vms = [*evidence.scene.vms, *evidence.scene.bystanders]
    comparisons = [compare_vm(vm, jobs_of[vm.id], actions.get(vm.server, [])) for vm in all_vms]
    yield Invariant(
        "the cloud did once what the jobs explain",
        [problem for comparison in comparisons for problem in comparison.problems],
        sum(comparison.actions for comparison in comparisons),
    )
    clicked = {vm.server for vm in evidence.scene.vms}
    wrong = [
        f"server {comparison.vm.server} is {evidence.cloud_status.get(comparison.vm.server)}, its actions lead to {comparison.status}"
        for comparison in comparisons
        if comparison.vm.server in clicked
        and evidence.cloud_status.get(comparison.vm.server) != comparison.status
    ]
    yield Invariant("each server is as its actions left it", wrong, len(clicked))


def check_vm_statuses(evidence: Evidence) -> Iterable[Invariant]:
    """Check that the rows of VMs agree with the cloud."""
    from vms.models import VM_STATUS_BY_SERVER_STATUS, VMOperationLog, VMStatus

    wrong = []
    for server, vm in evidence.vms_by_server.items():
        there = evidence.cloud_status.get(server)
        if there is None:
            # A listing of changes has shown it as deleted, or two full ones have not shown it at all.
            is_known = vm.status == VMStatus.REMOVED or (
                vm.status == VMStatus.ERROR and vm.missing_count >= 2
            )
            if not is_known:
                wrong.append(f"VM {vm.pk} is {vm.status}, and its server is gone")
        elif VM_STATUS_BY_SERVER_STATUS.get(there) != vm.status or vm.missing_count:
            wrong.append(f"VM {vm.pk} is {vm.status} (missing {vm.missing_count} times), its server {there}")
    yield Invariant("every VM is as its server", wrong, len(evidence.vms_by_server))

    # Only jobs change the servers that are clicked on, and a job writes the status before it releases the VM.
    # So a status that a sync had to correct was wrong, if only for a moment.
    corrected = VMOperationLog.objects.filter(
        operation="sync", vm_id__in=[vm.id for vm in evidence.scene.vms]
    )
    yield Invariant(
        "no sync had to correct the status of a clicked VM",
        [f"VM {entry.vm_id} at {entry.at:%H:%M:%S.%f}: {entry.detail}" for entry in corrected],
        len(evidence.scene.vms),
    )


def check_operation_log(evidence: Evidence) -> Iterable[Invariant]:
    """Check that the operation log has one entry for each job, with its outcome."""
    entries_of = defaultdict(list)
    for entry in evidence.log_entries:
        entries_of[entry.job_id].append(entry)
    wrong = []
    for job in evidence.vm_jobs:
        entries = entries_of.pop(job.pk, [])
        expected = (job.entity_id, job.kind.removeprefix("vms."), job.status == "succeeded")
        if len(entries) != 1:
            wrong.append(f"job {job.pk} {job.kind} {job.status} has {len(entries)} entries")
        elif (str(entries[0].vm_id), entries[0].operation, entries[0].success) != expected:
            wrong.append(
                f"job {job.pk} {job.kind} {job.status} is logged as {entries[0]} {entries[0].success}"
            )
    wrong += [f"an entry names job {job_id}, which is not there" for job_id in entries_of]
    yield Invariant("the operation log has each job once, and right", wrong, len(evidence.vm_jobs))


def check(evidence: Evidence) -> list[Invariant]:
    """Return every invariant, with its violations."""
    return [
        *check_open_work(evidence),
        *check_clicks(evidence),
        *check_cloud_actions(evidence),
        *check_vm_statuses(evidence),
        *check_operation_log(evidence),
    ]
