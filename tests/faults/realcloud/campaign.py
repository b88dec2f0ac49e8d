"""Round after round: a load of mixed jobs, one daemon of the cloud killed or frozen for a while, and a comparison."""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.framework.campaign import Campaign
from tests.faults.framework.processes import worker_arguments
from tests.faults.framework.report import Invariant

from .daemons import Daemons

DAEMONS = (
    "nova-api", "nova-conductor", "nova-compute", "cinder-api", "cinder-volume", "rabbitmq", "placement-api", "keystone",
)  # fmt: skip
# A job that has not ended after this time counts as hanging. The next round begins all the same.
GIVE_UP_SECONDS = 300.0
LOGGED_LINES = 12


@dataclass
class Round:
    """One daemon, the fault that it met, and the outcome of the jobs."""

    daemon: str
    fault: str
    jobs: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    # Seconds from the restart of the daemon to the end of the last job.
    recovery_seconds: float = 0.0
    hanging: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    leftovers: list[str] = field(default_factory=list)

    @property
    def title(self) -> str:
        """Return daemon and fault."""
        return f"{self.daemon}: {self.fault}"

    def get_invariants(self, seconds: float) -> list[Invariant]:
        """Return the invariants of this round; all jobs have to end this many seconds after the restart."""
        return [
            Invariant(f"{self.title}: every job ends", self.hanging, self.jobs),
            Invariant(f"{self.title}: every job ends within {seconds:g} s", self.late, self.jobs),
            Invariant(f"{self.title}: the rows agree with the cloud", self.differences),
            Invariant(f"{self.title}: nothing is left over in the cloud", self.leftovers),
        ]

    def summarize(self) -> str:
        """Return the outcomes of the jobs and the time that the last one took."""
        outcomes = ", ".join(f"{count} {outcome}" for outcome, count in sorted(self.outcomes.items()))
        last = "never" if self.hanging else f"{max(0.0, self.recovery_seconds):.0f} s"
        return f"{outcomes}; last after {last}"


class RealCloudCampaign(Campaign):
    """Kill and freeze the processes of a real OpenStack while mixed jobs run.

    Each process is killed (and started again after a while) or frozen (and resumed) in turn. Then every job has to end
    within a minute, rows and cloud have to agree, and nothing may be left over. What was created in the cloud is removed
    at the end. This needs the right to signal the processes of the cloud.
    """

    name = "realcloud"
    sweep_seconds = 0.5

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--cloud", required=True, help="its name in clouds.yaml, for a project that may be filled"
        )
        parser.add_argument(
            "--pids", required=True, type=Path, help="the folder of its pid files, <daemon>.pid"
        )
        parser.add_argument("--start", required=True, help="the command that starts what does not run")
        parser.add_argument("--only", default=",".join(DAEMONS), help="the processes, separated by commas")
        parser.add_argument("--how", default="kill,freeze", help="the faults, separated by commas")
        parser.add_argument("--jobs", type=int, default=36, help="how many jobs make a load")
        parser.add_argument("--down-seconds", type=float, default=30.0, help="how long the process is down")
        parser.add_argument(
            "--within", type=float, default=60.0, help="how soon all jobs have to end after that"
        )

    def prepare(self) -> None:
        from .fleet import Fleet, create_account, find_marked_objects

        self.rounds: list[Round] = []
        self.daemons = Daemons(self.options.pids, self.options.start)
        self.daemons.start_missing()
        self.fleet = Fleet.create(create_account(self.options.cloud), self.seed)
        self.fleet.left_before = find_marked_objects(self.options.cloud)
        workers = ("a", "b")
        for name in workers:
            self.processes.start(f"worker-{name}", worker_arguments("jobs,polling", 2, f"real-{name}"))
        self.wait_for_workers(len(workers))

    def disturb(self) -> None:
        try:
            for daemon in self.options.only.split(","):
                for fault in self.options.how.split(","):
                    self._run_round(Round(daemon, fault))
        finally:
            self.daemons.start_missing()
            self.log("Removing what was created.")
            self._remove_all()

    def clean_up(self) -> None:
        if hasattr(self, "daemons"):
            self.daemons.start_missing()

    def check_invariants(self) -> list[Invariant]:
        return [invariant for one in self.rounds for invariant in one.get_invariants(self.options.within)]

    def collect_figures(self) -> dict[str, Mapping[str, object]]:
        return {"Rounds": {f"{one.title}, {one.jobs} jobs": one.summarize() for one in self.rounds}}

    def _run_round(self, current: Round) -> None:
        from tasks.models import Job

        self._prepare_fleet()
        before = set(Job.objects.values_list("pk", flat=True))
        self.fleet.request_mixed_jobs(self.options.jobs)
        self._wait_for_jobs(1.0)  # Some jobs have ended now, others have just begun.
        self.log(current.title)
        self._break_daemon(current)
        restart = time.time()
        current.hanging = self._wait_for_jobs(GIVE_UP_SECONDS)
        self._read_outcomes(current, Job.objects.exclude(pk__in=before).filter(parent=None), restart)
        self._compare(current)
        self.rounds.append(current)
        for invariant in current.get_invariants(self.options.within):
            for line in invariant.lines():
                self.log(line)

    def _prepare_fleet(self) -> None:
        """Have the VMs and volumes that the load needs."""
        from vms.services import confirm_due_resizes

        self.fleet.confirm_resizes()
        confirm_due_resizes()
        for _ in range(2):
            self.fleet.fill(self.options.jobs)
            self._wait_for_jobs(GIVE_UP_SECONDS)
        self.fleet.attach_volumes(self.fleet.count_by_kind(self.options.jobs)["detach"])
        self._wait_for_jobs(GIVE_UP_SECONDS)
        self._sync()

    def _break_daemon(self, current: Round) -> None:
        """Kill or freeze the daemon, and bring it back after a while."""
        if current.fault == "kill":
            self.daemons.kill(current.daemon)
        else:
            self.daemons.freeze(current.daemon)
        self.wait_until(lambda: False, self.options.down_seconds, pause=0.5)
        if current.fault == "kill":
            self.daemons.start_missing()
        else:
            self.daemons.resume(current.daemon)

    def _read_outcomes(self, current: Round, jobs: Any, restart: float) -> None:
        """Read the outcomes of the jobs, and log each that did not succeed and each that was slow."""
        current.jobs = jobs.count()
        current.outcomes = Counter(jobs.values_list("status", flat=True))
        for job in jobs.exclude(status="succeeded"):
            self.log(f"      {job.kind} {job.status}: {job.outcome_message[:230]}")
        for job in jobs.exclude(ended_at=None).order_by("ended_at"):
            seconds = job.ended_at.timestamp() - restart
            current.recovery_seconds = max(current.recovery_seconds, seconds)
            if seconds > self.options.within / 2:
                line = _describe_slow_job(job, restart)
                self.log(f"      {line}")
                if seconds > self.options.within:
                    current.late.append(line)
        if self.fleet.rejected:
            self.log(f"      rejected: {dict(self.fleet.rejected)}")
            self.fleet.rejected.clear()

    def _compare(self, current: Round) -> None:
        """Compare the rows with the cloud, before and after two syncs."""
        from .comparison import find_differences, find_leftovers

        before = find_differences(self.fleet)
        self.log(f"      {len(before)} rows differ before the next sync")
        for line in before[:LOGGED_LINES]:
            self.log(f"        {line}")
        self._sync()
        self._sync()
        current.differences, current.leftovers = find_differences(self.fleet), find_leftovers(self.fleet)

    @staticmethod
    def _sync() -> None:
        from vms.sync.regions import select_known_regions
        from vms.sync.status import sync_region
        from volumepool.sync import status as volume_status

        for account_id, region in select_known_regions():
            sync_region(account_id, region, full=True)
        for account_id, region in volume_status.select_regions_to_sync():
            volume_status.sync_region(account_id, region)

    def _wait_for_jobs(self, seconds: float) -> list[str]:
        """Wait until no job is in flight, and return a sentence for each that still is."""
        from tests.faults.framework.jobs import describe_jobs_in_flight, has_jobs_in_flight

        self.wait_until(lambda: not has_jobs_in_flight(), seconds, pause=0.5)
        return describe_jobs_in_flight()

    def _remove_all(self) -> None:
        from api.domain_errors import DomainError
        from vms.models import VirtualMachine, VMSnapshot
        from vms.services import remove_snapshot, remove_vm
        from volumepool.models import Volume
        from volumepool.services import remove_volume

        scope = self.fleet.scope
        for objects, remove in (
            (VMSnapshot.objects, lambda pk: remove_snapshot(scope=scope, snapshot_id=pk)),
            (
                VirtualMachine.objects,
                lambda pk: remove_vm(scope=scope, vm_id=pk, volumes="delete", force=True),
            ),
            (Volume.objects, lambda pk: remove_volume(scope=scope, volume_id=pk)),
        ):
            for pk in list(objects.values_list("pk", flat=True)):
                try:
                    remove(pk)
                except DomainError as error:
                    self.log(f"      not removed: {error.code} {error}")
            self._wait_for_jobs(GIVE_UP_SECONDS)


def _describe_slow_job(job: Any, restart: float) -> str:
    """Return a job with the time of each of its steps, in seconds after the daemon's restart."""
    steps = [
        f"{step.name} {step.status} {f'{step.ended_at.timestamp() - restart:.0f} s' if step.ended_at else ''}"
        f" {step.message[:120]}"
        for step in job.steps.order_by("pk")
    ]
    return f"{job.ended_at.timestamp() - restart:.0f} s: {job.kind} {job.subject} {job.status}, {steps}"
