"""What must be true once everything has settled. Each check counts what it looked at and names what is wrong."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from .effects import ACTION_OF, accepted_acts, settle_account
from .injections import Injections
from .load import Load
from .scene import Scene
from .servers import Servers

LOG_OF_SIMULATOR_HOLDS = 200_000


@dataclass(frozen=True, slots=True)
class Verdict:
    """One invariant: how many things it was held against, and a sentence for each that breaks it."""

    invariant: str
    looked_at: int
    wrong: list[str] = field(default_factory=list)


@dataclass
class Evidence:
    """Database and cloud as they are at the end, read once. Needs Django."""

    servers: Servers
    scene: Scene
    load: Load
    injections: Injections

    @cached_property
    def jobs(self) -> list[Any]:
        """Every job."""
        from tasks.models import Job

        return list(Job.objects.order_by("created_at"))

    @cached_property
    def vm_jobs(self) -> list[Any]:
        """The jobs about VMs: what the clicks made."""
        return [job for job in self.jobs if job.kind in ACTION_OF]

    @cached_property
    def rows(self) -> dict[str, Any]:
        """The portal's VMs by server."""
        from vms.models import VirtualMachine

        return {vm.openstack_id: vm for vm in VirtualMachine.objects.all()}

    @cached_property
    def cloud_status(self) -> dict[str, str]:
        """Nova's word for each server that is there, with its task state if it is under way."""
        servers = self.scene.cloud.call("GET", "objects")["servers"]
        return {
            server["id"]: f"{server['status']} {server['task_state'] or ''}".strip() for server in servers
        }

    @cached_property
    def entries(self) -> list[Any]:
        """The operation log, without what the syncs wrote."""
        from vms.models import VMOperationLog

        return list(VMOperationLog.objects.exclude(operation="sync"))


def nothing_is_left(evidence: Evidence) -> Iterable[Verdict]:
    """Rows that only something under way has."""
    from django.db import connection

    from tasks.models import ENDED, AsyncTask, EntityLock, JobStatus, PollScope, Step, StepStatus
    from vms.models import SyncRun, SyncState

    unended = [job for job in evidence.jobs if job.status not in ENDED]
    yield Verdict(
        "every job has ended, none is stuck",
        len(evidence.jobs),
        [f"job {job.pk} {job.kind} is {job.status}: {job.outcome_message[:300]}" for job in unended],
    )
    errored = [job for job in evidence.jobs if job.status == JobStatus.ERRORED]
    yield Verdict(
        "no job met a bug of the portal",
        len(evidence.jobs),
        [f"job {job.pk} {job.kind} is errored: {job.traceback[-600:]}" for job in errored],
    )
    # The cloud of a storm is away, slow and wrong, but it never says no: whatever it refuses it would do a moment
    # later. So nothing may fail but what somebody cancelled.
    failed = [job for job in evidence.vm_jobs if job.status == JobStatus.FAILED]
    yield Verdict(
        "no job failed: the cloud never said no",
        len(evidence.vm_jobs),
        [f"job {job.pk} {job.kind}: {job.outcome_code}: {job.outcome_message[:300]}" for job in failed],
    )
    open_steps = {StepStatus.PENDING, StepStatus.RUNNING, StepStatus.WAITING, StepStatus.UNDOING}
    steps = Step.objects.filter(job__status__in=ENDED)
    yield Verdict(
        "no step of an ended job is open",
        steps.count(),
        [
            f"step {step.name} of job {step.job_id} is {step.status}"
            for step in steps.filter(status__in=open_steps)
        ],
    )
    locks = list(EntityLock.objects.all())
    yield Verdict(
        "no lock is held", len(evidence.rows), [f"{lock.key} by job {lock.job_id}" for lock in locks]
    )
    still_open = AsyncTask.objects.filter(verdict=AsyncTask.Verdict.OPEN)
    yield Verdict(
        "no async task is open",
        AsyncTask.objects.count(),
        [f"{task} of job {task.job_id}" for task in still_open],
    )
    scopes = list(PollScope.objects.all())
    yield Verdict(
        "no poll scope is held", len(scopes), [f"{scope} by {scope.owner}" for scope in scopes if scope.owner]
    )
    states = list(SyncState.objects.all())
    running = SyncRun.objects.filter(state=SyncRun.State.RUNNING)
    yield Verdict(
        "no sync is under way",
        SyncRun.objects.count(),
        [*(f"{state} by {state.owner}" for state in states if state.owner), *map(str, running)],
    )
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT state, pid, query FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        sessions = cursor.fetchall()
    forgotten = [row for row in sessions if str(row[0]).startswith("idle in transaction")]
    yield Verdict("no transaction is left open", len(sessions), [str(row) for row in forgotten])


def clicks_and_jobs(evidence: Evidence) -> Iterable[Verdict]:
    """Every accepted click has its job, and every job its click."""
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
    yield Verdict("every accepted click has its job", len(accepted), wrong)

    # A job's request id is the name of the try that made it: "storm-<click>.<try>".
    made_by = defaultdict(list)
    unexplained = []
    for job in evidence.vm_jobs:
        name = job.request_id.removeprefix("storm-").rpartition(".")[0]
        if name in clicks:
            made_by[name].append(job)
        else:
            unexplained.append(
                f"job {job.pk} {job.kind} was made by request {job.request_id!r}, which nobody sent"
            )
    yield Verdict("every job was made by a click", len(evidence.vm_jobs), unexplained)

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
    yield Verdict(
        "a click makes at most one job, and is told which", len(clicks), [*twice, *lost, *told_wrong]
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
    yield Verdict("one key, one job, one answer", len(keyed), wrong)

    cancelled = {cancelling.job for cancelling in evidence.load.cancellings}
    wrong = [
        f"job {job.pk} is cancelled, and nobody asked for that"
        for job in evidence.vm_jobs
        if job.status == "cancelled" and str(job.pk) not in cancelled
    ]
    yield Verdict("only what somebody cancelled is cancelled", len(cancelled), wrong)


def cloud_and_jobs(evidence: Evidence) -> Iterable[Verdict]:
    """No effect twice, none lost, none that nobody asked for."""
    log = evidence.scene.cloud.call("GET", "requests")["requests"]
    if len(log) >= LOG_OF_SIMULATOR_HOLDS:
        raise RuntimeError(
            "The simulator's log is full: the actions cannot be counted. Choose a shorter storm."
        )
    acts = accepted_acts(log)
    jobs_of = defaultdict(list)
    for job in evidence.vm_jobs:
        jobs_of[job.entity_id].append(job)
    everybody = [*evidence.scene.vms, *evidence.scene.bystanders]
    accounts = [settle_account(vm, jobs_of[vm.id], acts.get(vm.server, [])) for vm in everybody]
    yield Verdict(
        "the cloud did what the jobs explain, once",
        sum(account.acts for account in accounts),
        [problem for account in accounts for problem in account.wrong],
    )
    clicked = {vm.server for vm in evidence.scene.vms}
    wrong = [
        f"server {account.vm.server} is {evidence.cloud_status.get(account.vm.server)}, its actions lead to {account.status}"
        for account in accounts
        if account.vm.server in clicked and evidence.cloud_status.get(account.vm.server) != account.status
    ]
    yield Verdict("each server is as its actions left it", len(clicked), wrong)


def rows_and_cloud(evidence: Evidence) -> Iterable[Verdict]:
    """The portal's picture is the cloud."""
    from vms.models import VM_STATUS_BY_SERVER_STATUS, VMOperationLog, VMStatus

    wrong = []
    for server, vm in evidence.rows.items():
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
    yield Verdict("every VM is as its server", len(evidence.rows), wrong)

    # Only jobs change the servers that are clicked on, and a job writes what it saw before it lets go of the VM.
    # So whatever a sync has to put right there was wrong, if only for a moment.
    corrected = VMOperationLog.objects.filter(
        operation="sync", vm_id__in=[vm.id for vm in evidence.scene.vms]
    )
    yield Verdict(
        "no sync had to put a job's VM right",
        len(evidence.scene.vms),
        [f"VM {entry.vm_id} at {entry.at:%H:%M:%S.%f}: {entry.detail}" for entry in corrected],
    )


def log_and_jobs(evidence: Evidence) -> Iterable[Verdict]:
    """The operation log has each job once, with how it ended."""
    entries_of = defaultdict(list)
    for entry in evidence.entries:
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
    yield Verdict("the operation log has each job once, and right", len(evidence.vm_jobs), wrong)


CHECKS: list[Callable[[Evidence], Iterable[Verdict]]] = [
    nothing_is_left,
    clicks_and_jobs,
    cloud_and_jobs,
    rows_and_cloud,
    log_and_jobs,
]


def check_everything(evidence: Evidence) -> list[Verdict]:
    """All verdicts, in order."""
    return [verdict for check in CHECKS for verdict in check(evidence)]


def outcomes(evidence: Evidence) -> dict[str, dict[str, int]]:
    """Jobs by kind and how they ended."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for job in evidence.vm_jobs:
        found[job.kind][str(job.status)] += 1
    return {kind: dict(counts) for kind, counts in sorted(found.items())}
