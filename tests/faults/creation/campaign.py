"""A seeded run with real parts: workers that are killed, a cloud that fails, and people who create and remove VMs."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tests.faults.campaigns import AFTER_THE_LAST_SECONDS, table
from tests.faults.storm.processes import Processes
from tests.faults.storm.servers import Servers

WORKER = "-m celery -A portal worker --without-gossip --without-mingle -Q jobs,polling -c 2"
# How long things take in the cloud: long enough for a kill to meet them.
CLOCK = {"build_seconds": 0.4, "action_seconds": 0.2, "volume_seconds": 0.3}
# One answer in five: an error before the work, or the work without its answer.
FAULTS: list[dict[str, Any]] = [
    {"kind": "status", "status": 500, "rate": 0.07},
    {"kind": "status", "status": 503, "rate": 0.07},
    {"kind": "lose_answer", "rate": 0.08},
]
FAILING_BUILDS = 0.04
# A kill of a whole worker costs its start; of a process of its pool, a fork.
OF_A_WHOLE_WORKER = 0.1
SETTLE_SECONDS = 150.0


@dataclass
class Outcome:
    """What went on, and what does not hold."""

    seed: int
    runs: int
    seconds: float = 0.0
    settle_seconds: float = 0.0
    jobs: Counter[str] = field(default_factory=Counter)
    kills: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    verdicts: dict[str, list[str]] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        """Whether every invariant does."""
        return not any(self.verdicts.values())

    def lines(self) -> list[str]:
        """The table."""
        rows: list[tuple[str, object]] = [
            ("runs (creations)", self.asked["create"]),
            ("worker processes killed", sum(self.kills.values())),
            ("answers that failed or were lost", sum(self.faults.values())),
            ("seconds", f"{self.seconds:.0f} + {self.settle_seconds:.0f} to settle"),
        ]
        counts = {
            "Asked for": self.asked,
            "Refused at once": self.refused,
            "How jobs ended": self.jobs,
            "Why creations did not succeed": self.reasons,
            "Killed at": self.kills,
            "Faults": self.faults,
        }
        return table(f"Campaign of creations, seed {self.seed}", rows, counts, self.verdicts)


@dataclass
class Campaign:
    """One run with servers and workers of its own. It takes the whole process: run it as a program."""

    seed: int
    runs: int
    say: Callable[[str], None]
    at_once: int = 14
    # Steps that end between two kills, on average: by the clock, a slow machine would see nothing but kills.
    kill_every: float = 5.0

    def run(self) -> Outcome:
        """From nothing to the outcome; whatever happens, nothing of it is left running."""
        servers = Servers()
        processes = Processes(servers)
        outcome = Outcome(self.seed, self.runs)
        try:
            self._run(servers, processes, outcome)
        finally:
            processes.stop()
            servers.stop()
            processes.end_descendants()
            servers.remove_folder(keep_logs=not outcome.holds or not outcome.verdicts)
        if not outcome.holds:
            self.say(f"The logs are in {servers.folder}")
        return outcome

    def _run(self, servers: Servers, processes: Processes, outcome: Outcome) -> None:
        import django

        servers.start(self.seed)
        django.setup()
        from tests.simulated import SimulatedCloud
        from tests.tables import make_tables

        make_tables()
        from .invariants import check, ids_in
        from .people import People
        from .stage import Stage

        cloud = SimulatedCloud(servers.cloud_url, f"{servers.cloud_url}/identity/v3")
        cloud.reset(seed=self.seed)
        cloud.clock(**CLOCK)
        stage = Stage.of(cloud, cloud.account())
        stage.before = ids_in(cloud)
        people = People(stage, Random(self.seed), self.runs)
        for name in ("a", "b"):
            processes.start(f"worker-{name}", f"{WORKER} -n creation-{name}@localhost")
        self._wait_for_workers(servers)
        began = time.monotonic()
        cloud.faults(*FAULTS)
        self._disturb(processes, people, outcome)
        outcome.faults = Counter(
            {
                f"{rule['kind']} {rule['status'] if rule['kind'] == 'status' else ''}".strip(): rule["struck"]
                for rule in cloud.call("GET", "faults")["faults"]
            }
        )
        cloud.no_faults()
        outcome.seconds = time.monotonic() - began
        self.say("Everything is whole again; letting it settle.")
        unsettled = self._settle(processes, people)
        outcome.settle_seconds = time.monotonic() - began - outcome.seconds
        outcome.asked, outcome.refused = people.asked, people.refused
        self._count_jobs(outcome)
        outcome.verdicts = {
            "everything settles": unsettled,
            **check(cloud, stage.system.tenant, stage.before),
        }

    def _wait_for_workers(self, servers: Servers) -> None:
        from portal.celery import app

        servers.wait(lambda: len(app.control.ping(timeout=0.5) or []) >= 2, "A worker")

    def _disturb(self, processes: Processes, people: Any, outcome: Outcome) -> None:
        from tasks import engine
        from tasks.models import Step

        # Two more generators, so that what people do depends on no kill's time.
        when, builds = Random(self.seed + 1), Random(self.seed + 2)
        next_kill, ended, in_flight = when.expovariate(1 / self.kill_every), 0, 0
        next_sweep = told = last_asked = now = time.monotonic()
        while not people.are_done or (in_flight and now < last_asked + AFTER_THE_LAST_SECONDS):
            processes.watch()
            now = time.monotonic()
            if now >= next_sweep:
                engine.sweep()
                next_sweep = now + 1.0
            if ended >= next_kill and self._kill(processes, when, outcome):
                next_kill = ended + 1 + when.expovariate(1 / self.kill_every)
            ended = Step.objects.exclude(ended_at=None).count()
            in_flight = self._in_flight()
            if in_flight < self.at_once and not people.are_done:
                if builds.random() < FAILING_BUILDS:
                    people.stage.cloud.call("POST", "failing_builds", {"times": 1})
                people.do_something()
                last_asked, in_flight = now, 1
            if now - told > 15:
                told = now
                self.say(f"  {people.asked['create']} creations, {sum(outcome.kills.values())} kills")
            time.sleep(0.04)

    @staticmethod
    def _in_flight() -> int:
        from tasks.models import IN_FLIGHT, Job

        return Job.objects.filter(status__in=IN_FLIGHT, parent=None).count()

    def _kill(self, processes: Processes, chance: Random, outcome: Outcome) -> bool:
        """kill -9 of a process that has a job in hand, or of its parent; whether one was met."""
        from tasks.models import Job

        owned = Job.objects.exclude(owner="").prefetch_related("steps")
        at_work = {int(job.owner.split(":")[1]): job for job in owned}
        busy = [
            (name, child)
            for name in ("worker-a", "worker-b")
            for child in processes.children(name)
            if child.pid in at_work
        ]
        if not busy:
            return False
        name, victim = chance.choice(busy)
        job = at_work[victim.pid]
        main = processes.main(name)
        if main is not None and chance.random() < OF_A_WHOLE_WORKER:
            # Its pool goes on without it, and holds claims of which nobody knows: the harder case.
            victim = main
            outcome.kills["(the parent of a pool)"] += 1
        else:
            outcome.kills[_whereabouts(job)] += 1
        processes.kill(name, victim)
        return True

    def _settle(self, processes: Processes, people: Any) -> list[str]:
        """Wait until every job has ended, with removals that came to nothing asked for again; what did not."""
        from tasks import engine
        from tasks.models import IN_FLIGHT, Job

        until = time.monotonic() + SETTLE_SECONDS
        asked_again = 0
        while time.monotonic() < until:
            processes.watch()
            engine.sweep()
            if not self._in_flight():
                if asked_again >= 3 or not people.ask_again():
                    return []
                asked_again += 1
            time.sleep(0.3)
        return [
            f"{job.kind} {job.subject}: {job.status} {job.steps.filter(status__in=['waiting', 'undoing']).values_list('name', 'message')}"
            for job in Job.objects.filter(status__in=IN_FLIGHT)
        ]

    @staticmethod
    def _count_jobs(outcome: Outcome) -> None:
        from tasks.models import Job

        for kind, status, code in Job.objects.values_list("kind", "status", "outcome_code"):
            outcome.jobs[f"{kind} {status}"] += 1
            if kind == "vms.create" and status != "succeeded":
                outcome.reasons[code] += 1


def _whereabouts(job: Any) -> str:
    """The step that a job is at."""
    steps = [step.name for step in job.steps.all() if step.status not in {"succeeded", "undone", "skipped"}]
    return f"{job.kind} {'undo ' if job.status == 'undoing' else ''}{steps[0] if steps else ''}"
