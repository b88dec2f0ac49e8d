"""A seeded run with real parts: workers that are killed, a cloud that fails and is meddled with, tenants who claim."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tests.faults.campaigns import AFTER_THE_LAST_SECONDS, table
from tests.faults.creation.campaign import _whereabouts
from tests.faults.storm.processes import Processes
from tests.faults.storm.servers import Servers

WORKER = "-m celery -A portal worker --without-gossip --without-mingle"
PROGRAMS = {
    "worker-a": f"{WORKER} -Q jobs,polling -c 2 -n pool-a@localhost",
    "worker-b": f"{WORKER} -Q jobs,polling -c 2 -n pool-b@localhost",
    # Two processes, so that two reconciliations may run at once.
    "worker-pool": f"{WORKER} -Q volumepool -c 2 -n pool-c@localhost",
}
# How long things take in the cloud: long enough for a kill to meet them.
CLOCK = {"build_seconds": 0.4, "action_seconds": 0.2, "volume_seconds": 0.3}
VOLUME = "/volumes/[^/]+$"
# One answer in five, and more of those that make, name, mark and remove volumes.
FAULTS: list[dict[str, Any]] = [
    {"kind": "lose_answer", "method": "POST", "path": "/volumes$", "rate": 0.15},
    {"kind": "lose_answer", "method": "PUT", "path": VOLUME, "rate": 0.12},
    {"kind": "lose_answer", "method": "POST", "path": "/metadata$", "rate": 0.12},
    {"kind": "lose_answer", "method": "DELETE", "path": VOLUME, "rate": 0.12},
    {"kind": "status", "status": 500, "rate": 0.07},
    {"kind": "status", "status": 503, "rate": 0.07},
    {"kind": "lose_answer", "rate": 0.06},
]
RING_SECONDS = 1.5
# A pool that pauses for want of room would do so for minutes, and for an hour in the end: here time is shorter.
LONGEST_PAUSE_SECONDS = 2.0
OF_A_WHOLE_WORKER = 0.12
# Of processes without a job in hand: they may be filling a pool or comparing it, which no row shows.
OF_ANY_OF_THE_POOL = 0.35
SETTLE_SECONDS = 150.0
# When nothing has changed for so long, nothing will.
STILL_SECONDS = 20.0


@dataclass
class Outcome:
    """What went on, and what does not hold."""

    seed: int
    seconds: float = 0.0
    settle_seconds: float = 0.0
    claims: int = 0
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    verdicts: dict[str, list[str]] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        """Whether every invariant does."""
        return bool(self.verdicts) and not any(self.verdicts.values())

    def lines(self) -> list[str]:
        """The table."""
        rows: list[tuple[str, object]] = [
            ("runs (claims)", self.claims),
            ("worker processes killed", sum(self.counts["Killed at"].values())),
            ("answers that failed or were lost", sum(self.counts["Faults"].values())),
            ("changes behind the portal's back", sum(self.counts["Behind the portal's back"].values())),
            ("seconds", f"{self.seconds:.0f} + {self.settle_seconds:.0f} to settle"),
        ]
        return table(f"Campaign of pools, seed {self.seed}", rows, self.counts, self.verdicts)


@dataclass
class Campaign:
    """One run with servers and workers of its own. It takes the whole process: run it as a program."""

    seed: int
    runs: int
    say: Callable[[str], None]
    at_once: int = 14
    # Steps that end between two kills, on average: by the clock, a slow machine would see nothing but kills.
    kill_every: float = 8.0

    def run(self) -> Outcome:
        """From nothing to the outcome; whatever happens, nothing of it is left running."""
        os.environ.update(POOL_IN_FLIGHT_PER_ACCOUNT="30", POOL_QUOTA_KEPT_PERCENT="0")
        servers = Servers()
        processes = Processes(servers)
        outcome = Outcome(self.seed)
        try:
            self._run(servers, processes, outcome)
        finally:
            processes.stop()
            servers.stop()
            processes.end_descendants()
            servers.remove_folder(keep_logs=not outcome.holds)
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
        from .scene import people_and_meddler

        cloud = SimulatedCloud(servers.cloud_url, f"{servers.cloud_url}/identity/v3")
        cloud.reset(seed=self.seed)
        cloud.clock(**CLOCK)
        people, meddler = people_and_meddler(cloud, self.seed, self.runs)
        for name, arguments in PROGRAMS.items():
            processes.start(name, arguments)
        self._wait_for_workers(servers)
        began = time.monotonic()
        cloud.faults(*FAULTS)
        kills = self._disturb(processes, people, meddler)
        faults = Counter({_named(rule): rule["struck"] for rule in cloud.call("GET", "faults")["faults"]})
        cloud.no_faults()
        outcome.seconds, outcome.claims = time.monotonic() - began, people.claimed
        self.say("Everything is whole again; letting it settle.")
        meddler.heal()
        unsettled = self._settle(processes, people, meddler)
        outcome.settle_seconds = time.monotonic() - began - outcome.seconds
        from .report import ended_jobs, reasons, sources, verdicts

        outcome.counts = {
            "Asked for": people.asked,
            "Refused at once": people.refused,
            "Behind the portal's back": meddler.did,
            "What claims were given": sources(),
            "How jobs ended": ended_jobs(),
            "Why claims did not succeed": reasons(),
            "Killed at": kills,
            "Faults": faults,
        }
        outcome.verdicts = {"everything settles": unsettled, **verdicts(cloud, people, meddler)}

    def _wait_for_workers(self, servers: Servers) -> None:
        from portal.celery import app

        servers.wait(lambda: len(app.control.ping(timeout=0.5) or []) >= len(PROGRAMS), "A worker")

    def _disturb(self, processes: Processes, people: Any, meddler: Any) -> Counter[str]:
        from tasks.models import Step

        # More generators, so that what people do depends on no kill's time.
        when = Random(self.seed + 1)
        kills: Counter[str] = Counter()
        next_kill, next_meddling, ended, in_flight = when.expovariate(1 / self.kill_every), 5.0, 0, 0
        next_ring = told = last_asked = now = time.monotonic()
        while not people.are_done or (in_flight and now < last_asked + AFTER_THE_LAST_SECONDS):
            processes.watch()
            meddler.end_what_is_over()
            now = time.monotonic()
            if now >= next_ring:
                _ring()
                next_ring = now + RING_SECONDS
            if ended >= next_kill and (place := self._kill(processes, when)):
                kills[place] += 1
                next_kill = ended + 1 + when.expovariate(1 / self.kill_every)
            if ended >= next_meddling:
                meddler.meddle()
                next_meddling = ended + 12
            ended = Step.objects.exclude(ended_at=None).count()
            in_flight = _of_people_in_flight()
            if in_flight < self.at_once and not people.are_done:
                people.do_something()
                last_asked, in_flight = now, 1
            if now - told > 15:
                told = now
                self.say(
                    f"  {people.claimed} claims, {sum(kills.values())} kills, {sum(meddler.did.values())} meddlings"
                )
            time.sleep(0.04)
        return kills

    def _kill(self, processes: Processes, chance: Random) -> str:
        """kill -9 of a process that has a job in hand, of any of the pool's, or of a parent; where it was met."""
        from tasks.models import Job

        at_work = {
            int(job.owner.split(":")[1]): job
            for job in Job.objects.exclude(owner="").prefetch_related("steps")
        }
        if chance.random() < OF_ANY_OF_THE_POOL:
            busy = [("worker-pool", child) for child in processes.children("worker-pool")]
        else:
            busy = [
                (name, child)
                for name in PROGRAMS
                for child in processes.children(name)
                if child.pid in at_work
            ]
        if not busy:
            return ""
        name, victim = chance.choice(busy)
        main = processes.main(name)
        if main is not None and chance.random() < OF_A_WHOLE_WORKER:
            # Its pool goes on without it, and holds claims of which nobody knows: the harder case.
            processes.kill(name, main)
            return f"(the parent of {name})"
        processes.kill(name, victim)
        job = at_work.get(victim.pid)
        return _whereabouts(job) if job else "(filling, comparing or idle)"

    def _settle(self, processes: Processes, people: Any, meddler: Any) -> list[str]:
        """Wait until everything is as it should be, or until nothing changes any more; what is still in flight."""
        from tasks.models import IN_FLIGHT, Job

        from .report import verdicts

        until = time.monotonic() + SETTLE_SECONDS
        next_ring, still_since, before, asked_again = 0.0, time.monotonic(), None, 0
        while time.monotonic() < until:
            processes.watch()
            if time.monotonic() >= next_ring:
                _ring()
                next_ring = time.monotonic() + RING_SECONDS
            if not Job.objects.filter(status__in=IN_FLIGHT).exists():
                if asked_again < 3 and people.ask_again():
                    asked_again += 1
                    continue
                wrong = verdicts(people.cloud, people, meddler)
                if not any(wrong.values()):
                    return []
                # How often a stray was seen changes with each look.
                now = {name: len(found) for name, found in wrong.items()}
                if now != before:
                    before, still_since = now, time.monotonic()
                elif time.monotonic() - still_since > STILL_SECONDS:
                    return []
            time.sleep(0.5)
        return [
            f"{job.kind} {job.subject}: {job.status} {list(job.steps.filter(status__in=['waiting', 'undoing']).values_list('name', 'message'))}"
            for job in Job.objects.filter(status__in=IN_FLIGHT)
        ] or ["It went on changing."]


def _ring() -> None:
    """What beat does, more often; and time passes more quickly for pools that pause."""
    from datetime import timedelta

    from django.utils import timezone

    from tasks import engine
    from volumepool.models import VolumePool
    from volumepool.tasks import backfill_all, reconcile_all

    engine.sweep()
    soon = timezone.now() + timedelta(seconds=LONGEST_PAUSE_SECONDS)
    VolumePool.objects.filter(paused_until__gt=soon).update(paused_until=soon)
    reconcile_all.delay()
    backfill_all.delay()


def _named(rule: dict[str, Any]) -> str:
    """A fault rule in a few words."""
    words = [rule["kind"], rule["status"] if rule["kind"] == "status" else "", rule["method"], rule["path"]]
    return " ".join(str(word) for word in words if word)


def _of_people_in_flight() -> int:
    from tasks.models import IN_FLIGHT, Job

    return Job.objects.filter(status__in=IN_FLIGHT, parent=None).exclude(queue="volumepool").count()
