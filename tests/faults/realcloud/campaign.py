"""Run after run: a load of mixed jobs, one process of the cloud killed or frozen for a while, and what came of it all."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.faults.creation.campaign import WORKER
from tests.faults.storm.processes import Processes
from tests.faults.storm.servers import Servers

from .daemons import Daemons

DAEMONS = (
    "nova-api", "nova-conductor", "nova-compute", "cinder-api", "cinder-volume", "rabbitmq", "placement-api", "keystone",
)  # fmt: skip
# Past this, what has not ended counts as hanging; the next run begins all the same.
GIVE_UP_SECONDS = 300.0


@dataclass
class Run:
    """One process, what was done to it, and how the jobs ended."""

    daemon: str
    how: str
    jobs: int = 0
    ended: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    # Seconds from the moment in which the service was back until the last job had ended; None when some never did.
    after: float | None = None
    hanging: list[str] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether every job ended in time, and rows and cloud agree with nothing left over."""
        return not (self.hanging or self.differing or self.left)

    def line(self, within: float) -> str:
        """One row of the table."""
        after = "never" if self.after is None else f"{max(0.0, self.after):.0f} s"
        late = " LATE" if self.after is not None and self.after > within else ""
        ended = " ".join(f"{count} {how}" for how, count in sorted(self.ended.items()))
        words = f"{'holds' if self.holds else 'BROKEN'}{late}"
        return f"  {self.daemon:<16} {self.how:<7} {self.jobs:>4} jobs: {ended:<40} last after {after:>6}  {words}"


def _late(jobs: Any, back: float, seconds: float) -> list[str]:
    """The jobs that ended more than so many seconds after the service was back, each with its last steps."""
    lines = []
    for job in jobs.order_by("ended_at"):
        after = job.ended_at.timestamp() - back if job.ended_at else float("inf")
        if after > seconds:
            steps = [
                f"{step.name} {step.status} {f'{step.ended_at.timestamp() - back:.0f} s' if step.ended_at else ''}"
                f" {step.message[:120]}"
                for step in job.steps.order_by("pk")
            ]
            lines.append(f"{after:.0f} s: {job.kind} {job.subject} {job.status}, {steps}")
    return lines


@dataclass
class RealCampaign:
    """All runs, with servers and workers of the portal's own. It takes the whole process: run it as a program."""

    cloud: str
    daemons: Daemons
    only: Sequence[str]
    how: Sequence[str]
    say: Callable[[str], None]
    jobs: int = 36
    down_seconds: float = 30.0
    within: float = 60.0
    seed: int = 1
    runs: list[Run] = field(default_factory=list)

    def run(self) -> list[Run]:
        """From nothing to the table; what was made in the cloud is removed at the end."""
        servers = Servers()
        processes = Processes(servers)
        try:
            self._run(servers, processes)
        finally:
            self.daemons.start_missing()
            processes.stop()
            servers.stop()
            processes.end_descendants()
            servers.remove_folder(keep_logs=not all(run.holds for run in self.runs))
        if not all(run.holds for run in self.runs):
            self.say(f"The logs are in {servers.folder}")
        return self.runs

    def _run(self, servers: Servers, processes: Processes) -> None:
        import django

        servers.start(self.seed)
        django.setup()
        from tests.tables import make_tables

        make_tables()
        from .fleet import Fleet, account_of, marked_in

        self.daemons.start_missing()
        fleet = Fleet.of(account_of(self.cloud), self.seed)
        fleet.left_before = marked_in(self.cloud)
        for name in ("a", "b"):
            processes.start(f"worker-{name}", f"{WORKER} -n real-{name}@localhost")
        try:
            for daemon in self.only:
                for how in self.how:
                    self.runs.append(self._one(processes, fleet, daemon, how))
                    self.say(self.runs[-1].line(self.within))
                    for what in ("hanging", "differing", "left"):
                        for line in getattr(self.runs[-1], what)[:12]:
                            self.say(f"      {what}: {line}")
        finally:
            self.daemons.start_missing()
            self.say("Removing what was made.")
            self._remove_all(processes, fleet)

    def _one(self, processes: Processes, fleet: Any, daemon: str, how: str) -> Run:
        from tasks.models import Job

        fleet.confirm_resizes()
        self._confirm()
        for _ in range(2):
            fleet.fill(self.jobs)
            self._wait(processes, GIVE_UP_SECONDS)
        fleet.attach_some(fleet.counts(self.jobs)["detach"])
        self._wait(processes, GIVE_UP_SECONDS)
        self._sync()
        run = Run(daemon, how)
        before = set(Job.objects.values_list("pk", flat=True))
        fleet.load(self.jobs)
        self._wait(processes, 1.0)  # Some are through, some are just being asked for.
        self.say(f"{daemon}: {how}")
        self.daemons.send(daemon, signal.SIGKILL if how == "kill" else signal.SIGSTOP)
        self._wait(processes, self.down_seconds, always=True)
        if how == "kill":
            self.daemons.start_missing()
        else:
            self.daemons.send(daemon, signal.SIGCONT)
        back = time.time()
        run.hanging = self._wait(processes, GIVE_UP_SECONDS)
        jobs = Job.objects.exclude(pk__in=before).filter(parent=None)
        run.jobs = jobs.count()
        run.ended = Counter(jobs.values_list("status", flat=True))
        run.codes = Counter(jobs.exclude(status="succeeded").values_list("kind", "outcome_code"))
        for kind, status, message in jobs.exclude(status="succeeded").values_list(
            "kind", "status", "outcome_message"
        ):
            self.say(f"      {kind} {status}: {message[:230]}")
        for line in _late(jobs, back, self.within / 2):
            self.say(f"      {line}")
        ends = [ended.timestamp() for ended in jobs.values_list("ended_at", flat=True) if ended is not None]
        run.after = None if run.hanging else max(ends, default=back) - back
        if fleet.refused:
            self.say(f"      refused: {dict(fleet.refused)}")
            fleet.refused.clear()
        self._judge(fleet, run)
        return run

    def _judge(self, fleet: Any, run: Run) -> None:
        from .truth import differences, left_over

        before = differences(fleet)
        self.say(f"      {len(before)} rows differ before the next sync")
        for line in before[:6]:
            self.say(f"        {line}")
        self._sync()
        self._sync()
        run.differing, run.left = differences(fleet), left_over(fleet)

    @staticmethod
    def _sync() -> None:
        from vms.sync.regions import select_known_regions
        from vms.sync.status import sync_region
        from volumepool.sync import status as of_volumes

        for account_id, region in select_known_regions():
            sync_region(account_id, region, full=True)
        for account_id, region in of_volumes.select_regions_to_sync():
            of_volumes.sync_region(account_id, region)

    @staticmethod
    def _confirm() -> None:
        from vms.services import confirm_due_resizes

        confirm_due_resizes()

    @staticmethod
    def _wait(processes: Processes, seconds: float, *, always: bool = False) -> list[str]:
        """Wait until no job is in flight, or for so long; those that are still. With `always`, the whole time."""
        from tasks import engine
        from tasks.models import IN_FLIGHT, Job

        until = time.monotonic() + seconds
        while True:
            processes.watch()
            engine.sweep()
            open_jobs = Job.objects.filter(status__in=IN_FLIGHT)
            if (not always and not open_jobs.exists()) or time.monotonic() > until:
                break
            time.sleep(0.5)
        return [
            f"{job.kind} {job.subject}: {job.status} "
            f"{list(job.steps.filter(status__in=['running', 'waiting', 'undoing']).values_list('name', 'message'))}"
            for job in open_jobs
        ]

    def _remove_all(self, processes: Processes, fleet: Any) -> None:
        from api.domain_errors import DomainError
        from vms.models import VirtualMachine, VMSnapshot
        from vms.services import remove_snapshot, remove_vm
        from volumepool.models import Volume
        from volumepool.services import remove_volume

        for rows, remove in (
            (VMSnapshot.objects, lambda pk: remove_snapshot(scope=fleet.scope, snapshot_id=pk)),
            (
                VirtualMachine.objects,
                lambda pk: remove_vm(scope=fleet.scope, vm_id=pk, volumes="delete", force=True),
            ),
            (Volume.objects, lambda pk: remove_volume(scope=fleet.scope, volume_id=pk)),
        ):
            for pk in list(rows.values_list("pk", flat=True)):
                try:
                    remove(pk)
                except DomainError as refused:
                    self.say(f"      not removed: {refused.code} {refused}")
            self._wait(processes, GIVE_UP_SECONDS)
