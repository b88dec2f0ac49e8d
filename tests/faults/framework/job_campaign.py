"""A campaign of jobs: requests one after another, while worker processes are killed and the simulated cloud fails."""

from __future__ import annotations

import argparse
import time
from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping
from random import Random
from typing import Any, ClassVar, Protocol

from devserver.launch import ProcessId

from .campaign import Campaign

# After the last request, kills and faults go on while its job is in flight, but not for ever: a small run makes all of its
# requests within a second, and would meet no kill otherwise.
AFTER_LAST_REQUEST_SECONDS = 20.0
MAX_JOBS_IN_FLIGHT = 14
SETTLE_SECONDS = 150.0
MAX_RETRIES = 3
# How long things take in the cloud: long enough for a kill to meet them.
CLOUD_CLOCK = {"build_seconds": 0.4, "action_seconds": 0.2, "volume_seconds": 0.3}


class Load(Protocol):
    """The requests of a campaign, chosen by a seeded generator from what exists at that moment."""

    requested: Counter[str]
    rejected: Counter[str]

    @property
    def is_done(self) -> bool: ...
    @property
    def progress(self) -> str: ...
    def send_request(self) -> None: ...
    def retry_removals(self) -> int: ...


class JobCampaign(Campaign):
    """A campaign whose load is a number of jobs, and whose kills are spread over the steps of these."""

    # Name and arguments of each worker.
    workers: ClassVar[Mapping[str, str]]
    # The fault rules of the simulated cloud.
    faults: ClassVar[list[dict[str, Any]]]
    runs_help: ClassVar[str]
    default_kill_every: ClassVar[float]
    # The part of the kills that meet a worker's main process: that costs its start, a process of its pool only a fork.
    main_process_share: ClassVar[float] = 0.1
    load: Load

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--runs", type=int, default=300, help=cls.runs_help)
        # Steps rather than seconds: by the clock, a slow machine would see nothing but kills.
        parser.add_argument(
            "--kill-every", type=float, default=cls.default_kill_every, help="steps between kills, on average"
        )

    @abstractmethod
    def make_load(self) -> Load:
        """Fill database and cloud, and return the load."""

    def prepare(self) -> None:
        self.kills: Counter[str] = Counter()
        self.struck: Counter[str] = Counter()
        self.cloud = self.connect_simulator()
        self.cloud.reset(seed=self.seed)
        self.cloud.clock(**CLOUD_CLOCK)
        self.load = self.make_load()
        for name, arguments in self.workers.items():
            self.processes.start(name, arguments)
        self.wait_for_workers(len(self.workers))

    def disturb(self) -> None:
        from tasks.models import Step

        self.cloud.faults(*self.faults)
        # A generator of its own, so that the load does not depend on when a kill meets a process.
        dice = Random(self.seed + 1)
        kill_every = self.options.kill_every
        next_kill, ended, in_flight = dice.expovariate(1 / kill_every), 0, 0
        last_request = now = time.monotonic()
        while not self.load.is_done or (in_flight and now < last_request + AFTER_LAST_REQUEST_SECONDS):
            self.tick()
            now = time.monotonic()
            if ended >= next_kill and self._kill_one(dice):
                next_kill = ended + 1 + dice.expovariate(1 / kill_every)
            self.change_cloud(ended)
            ended = Step.objects.exclude(ended_at=None).count()
            in_flight = self.count_jobs_of_load()
            if in_flight < MAX_JOBS_IN_FLIGHT and not self.load.is_done:
                self.load.send_request()
                last_request, in_flight = now, 1
            self.log_progress(lambda: f"{self.load.progress}, {self.kills.total()} kills")
            time.sleep(0.04)
        for rule in self.cloud.call("GET", "faults")["faults"]:
            self.struck[_describe_rule(rule)] += rule["struck"]
        self.cloud.no_faults()

    def change_cloud(self, ended_steps: int) -> None:
        """Change the cloud without the portal, if it is time. Called all the time."""

    def count_jobs_of_load(self) -> int:
        """Count the jobs in flight that requests of the load have made."""
        from tasks.models import IN_FLIGHT, Job

        return Job.objects.filter(status__in=IN_FLIGHT, parent=None).count()

    def find_victims(self, dice: Random, owners: Mapping[int, Any]) -> list[tuple[str, ProcessId]]:
        """Return the processes that may be killed now, each with the name of its worker: those that own a job."""
        return [
            (name, child)
            for name in self.workers
            for child in self.processes.get_children(name)
            if child.pid in owners
        ]

    def _kill_one(self, dice: Random) -> bool:
        """Kill a victim or its worker's main process, and return whether there was one."""
        from .jobs import describe_current_step, get_jobs_by_pid

        owners = get_jobs_by_pid()
        victims = self.find_victims(dice, owners)
        if not victims:
            return False
        name, victim = dice.choice(victims)
        main = self.processes.get_main(name)
        if main is not None and dice.random() < self.main_process_share:
            # Its pool goes on without it, and owns jobs unsupervised: the harder case.
            victim = main
            self.kills[f"(the main process of {name})"] += 1
        else:
            job = owners.get(victim.pid)
            self.kills[describe_current_step(job) if job else "(without a job)"] += 1
        self.processes.kill(name, victim)
        return True

    def settle(self) -> list[str]:
        from .jobs import describe_jobs_in_flight, has_jobs_in_flight

        retries = 0

        def is_settled() -> bool:
            nonlocal retries
            if has_jobs_in_flight():
                return False
            if retries < MAX_RETRIES and self.load.retry_removals():
                retries += 1
                return False
            return self.is_unchanging()

        if self.wait_until(is_settled, SETTLE_SECONDS, pause=0.3):
            return []
        return describe_jobs_in_flight() or ["the state went on changing"]

    def is_unchanging(self) -> bool:
        """Return whether nothing changes any more, given that no job is in flight."""
        return True

    def collect_figures(self) -> dict[str, Mapping[str, object]]:
        from .jobs import count_jobs_by_outcome

        return {
            "Summary": {
                **self.summarize(),
                "worker processes killed": self.kills.total(),
                "answers that failed or were lost": self.struck.total(),
            },
            "Requests": _sort(self.load.requested),
            "Requests that were rejected": _sort(self.load.rejected),
            **{title: _sort(counted) for title, counted in self.count_results().items()},
            "Jobs by outcome": _sort(count_jobs_by_outcome()),
            "Processes killed, by step": _sort(self.kills),
            "Faults of the cloud": _sort(self.struck),
        }

    @abstractmethod
    def summarize(self) -> dict[str, object]:
        """Return the figures that the report begins with."""

    def count_results(self) -> dict[str, Counter[str]]:
        """Return more sections of counts."""
        return {}


def _describe_rule(rule: dict[str, Any]) -> str:
    """Return a fault rule in one line."""
    status = rule["status"] if rule["kind"] == "status" else ""
    return " ".join(str(part) for part in (rule["kind"], status, rule["method"], rule["path"]) if part)


def _sort(counted: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counted.items()))
