"""The course of a soak: the load of a storm and more, on the processes of `make up`, for hours, with samples all the time."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from bench.figures import percentile
from bench.stack import answers, free_port
from devserver.processes import WORKERS, list_portal_programs
from tests.faults.framework.report import Invariant, Report
from tests.faults.storm.answers import AnswerLog
from tests.faults.storm.campaign import StormCampaign
from tests.faults.storm.figures import StormFigures
from tests.faults.storm.injections import Injections
from tests.faults.storm.invariants import Evidence, check
from tests.faults.storm.load import Load
from tests.faults.storm.plan import BYSTANDERS
from tests.faults.storm.scene import set_scene
from tests.faults.storm.visitors import Visits, create_visitors

from . import retention, trends
from .report import summarize_minutes, write_html, write_markdown
from .rounds import make_soak_plan
from .sampling import QUIET_AFTER_SECONDS, Sample, Sampler, as_json

if TYPE_CHECKING:
    from .loads import ServiceLoad

MAX_QUEUE_AGE_SECONDS = 5.0
VISITOR_PAUSE_SECONDS = 0.7
POOLS_SETTLE_SECONDS = 150.0
# The program of deployments is written to the hosts' folder once Django is set up.
RUN_PROGRAM = 'exec /bin/sh -c "$(cat "$0/program")" "$0"'


class SoakCampaign(StormCampaign):
    """Hours of clicks, claims, creations, deployments, syncs, sign-ins and pages, with faults in turn; what grows is reported."""

    name = "soak"
    # Pools are filled and compared often, so that a soak of minutes does what production does in a day.
    environment = {
        "POOL_BACKFILL_SECONDS": "5",
        "POOL_RECONCILE_SECONDS": "30",
        "POOL_IN_FLIGHT_PER_ACCOUNT": "30",
        "POOL_QUOTA_KEPT_PERCENT": "0",
    }

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--hours", type=float, default=2.0)
        parser.add_argument("--vms", type=int, default=50, help="that are clicked on")
        parser.add_argument("--clicks", type=float, default=2.0, help="a second, of all users together")
        parser.add_argument(
            "--folder", type=Path, help="write soak.json, soak.html and soak.md to this folder"
        )

    def run(self) -> Report:
        with tempfile.TemporaryDirectory(prefix="portal-soak-hosts-") as folder:
            self.host_folder = Path(folder)
            programs = {"files": ["/bin/sh", "-c", RUN_PROGRAM, folder]}
            os.environ["DEPLOY_PROGRAMS"] = json.dumps(programs)
            report = super().run()
        if self.options.folder:
            self._write_report(report)
        return report

    def prepare(self) -> None:
        from tests.deploys.deploying import PROGRAM

        from .loads import (
            CLAIM_PAUSE_SECONDS,
            DEPLOY_PAUSE_SECONDS,
            DeployLoad,
            ServiceLoad,
            create_claim_load,
            send_claim,
        )

        (self.host_folder / "program").write_text(PROGRAM)
        options = self.options
        self.plan = make_soak_plan(
            seed=self.seed, seconds=options.hours * 3600, vms=options.vms, clicks_per_second=options.clicks
        )
        self.scene = set_scene(self.servers, self.plan, bystanders=BYSTANDERS)
        self.injections = Injections(self.plan, self.servers, self.processes, self.scene)
        self.claims = create_claim_load(self.scene.cloud, self.scene.account, self.seed)
        self.deploys = DeployLoad(self.host_folder, Random(self.seed))
        self.answers = AnswerLog()
        url = self._start_portal()
        self.load = Load.create(self.plan, self.scene, url, self.answers)
        stopping = self.load.stopping
        self.service_loads: list[ServiceLoad] = [
            ServiceLoad(
                "claims", lambda: send_claim(self.claims), self.injections, stopping, CLAIM_PAUSE_SECONDS
            ),
            ServiceLoad(
                "deploys", self.deploys.send_request, self.injections, stopping, DEPLOY_PAUSE_SECONDS
            ),
        ]
        visits = Visits([url], self.answers, stopping, VISITOR_PAUSE_SECONDS)
        self.visitors = create_visitors(visits, self.seed, role="admin")
        self.sampler = Sampler(url, self.servers, self.processes, self.injections)

    def _start_portal(self) -> str:
        """Start what `make up` starts, wait until all of it answers, and return its address."""
        port = free_port()
        for name, arguments in list_portal_programs(port).items():
            self.processes.start(name, arguments)
        url = f"http://127.0.0.1:{port}"
        self.servers.wait(lambda: answers(f"{url}/health/serving"), "The web process")
        self.wait_for_workers(len(WORKERS))
        return url

    def begin_watching(self) -> None:
        """Begin the rest of the load, and take samples."""
        for thread in (*self.service_loads, *self.visitors, self.sampler):
            thread.start()

    def disturb(self) -> None:
        self.rows_before = self.sampler.count_rows()
        super().disturb()
        for thread in (*self.service_loads, *self.visitors):
            thread.join()
        self.sampler.end()

    def settle_loads(self) -> list[str]:
        """Wait until removals are carried out and every pool is full."""
        from django.db import connections
        from django.utils import timezone

        from tests.faults.pool import invariants
        from volumepool.models import VolumePool

        from .loads import retry_removals

        connections.close_all()  # PostgreSQL has restarted since they were opened.

        def is_settled() -> bool:
            soon = timezone.now() + timedelta(seconds=2)
            VolumePool.objects.filter(paused_until__gt=soon).update(paused_until=soon)
            if self._count_jobs_in_flight() or retry_removals(self.claims):
                return False
            return not invariants.find_violations(self.scene.cloud)

        # If it does not settle, the invariants tell what is wrong.
        self.wait_until(is_settled, POOLS_SETTLE_SECONDS, pause=1.0)
        return []

    def check_invariants(self) -> list[Invariant]:
        from tests.faults.pool import invariants

        evidence = SoakEvidence(self.scene, self.load, self.sampler)
        self.figures = StormFigures(self.injections, self.load, evidence.vm_jobs, self.processes.crashes)
        samples, survival = self.sampler.samples, self.plan.kills_until
        self.trends = trends.measure_memory(trends.select_warm(samples, survival))
        warm = trends.select_warm(samples, survival)
        problems = [
            problem for thread in (*self.load.users, *self.service_loads) for problem in thread.problems
        ]
        found = [
            *check(evidence),
            *invariants.check(self.scene.cloud),
            Invariant("a claim gives what its answer said, or a reason", self.claims.find_wrong_claims()),
            Invariant(
                "every server of ours belongs to a VM", invariants.find_servers_without_vm(self.scene.cloud)
            ),
            *self.deploys.check(),
            Invariant("the simulated users met no error of their own", problems, len(self.load.users)),
            check_queue_ages(samples),
            self._check_answers(),
            trends.check_memory(self.trends),
            trends.check_leaks(warm),
        ]
        self.report.details = {"samples": as_json(samples), "memory": [asdict(one) for one in self.trends]}
        return [*found, self._check_tables()]

    def _check_answers(self) -> Invariant:
        """Check that every request was answered, without an error of the portal, while no fault was at work."""
        quiet = [sample.at for sample in self.sampler.samples if sample.is_quiet]
        begins = [at + self.sampler.began for at in quiet]
        checked = [
            answer
            for answer in self.answers.answers
            if any(
                begin - 5 <= answer.at <= begin and answer.at + answer.seconds <= begin for begin in begins
            )
        ]
        wrong = [
            f"{answer.kind} at {answer.at - self.sampler.began:.0f} s: {answer.status or 'no answer'}"
            for answer in checked
            if not answer.status or answer.status >= 500
        ]
        return Invariant("without faults, no request fails", wrong, len(checked))

    def _check_tables(self) -> Invariant:
        """Check that every table is bounded. This makes all rows old, so it is the last check."""
        grown = self.sampler.count_rows()
        for name in list(self.processes.programs):
            self.processes.end(name)
        retention.make_everything_old()
        retention.prune_everything()
        left = self.sampler.count_rows()
        self.rows = {
            table: f"{self.rows_before.get(table, 0)} / {count} / {left.get(table, 0)}"
            for table, count in sorted(grown.items())
            if count > self.rows_before.get(table, 0)
        }
        return retention.check_tables(self.rows_before, grown, left)

    def collect_figures(self) -> dict[str, Mapping[str, object]]:
        from .loads import count_requests

        taken = [answer.seconds * 1000 for answer in self.answers.answers if answer.status]
        quiet = [sample for sample in self.sampler.samples if sample.is_quiet]
        ages = [sample.queue_age for sample in quiet if sample.queue_age is not None]
        statuses: dict[str, object] = {}
        for answer in self.answers.answers:
            key = f"answers {answer.status or 'that did not come'}"
            statuses[key] = int(str(statuses.get(key, 0))) + 1
        return {
            "Injected": self.figures.count_injections(),
            "Survived": {
                **self.figures.count_clicks(),
                **self.figures.count_jobs(),
                **self.figures.count_recoveries(self.servers.folder),
            },
            "Load": {
                **count_requests(self.claims, self.deploys),
                "visits from signing in to signing out": sum(visitor.sign_ins for visitor in self.visitors),
                **dict(sorted(statuses.items())),
                "milliseconds of an answer: p50 / p95": f"{percentile(taken, 0.5):.0f} / {percentile(taken, 0.95):.0f}",
            },
            "Samples": {
                "samples": len(self.sampler.samples),
                f"of which without a fault for {QUIET_AFTER_SECONDS:g} s": len(quiet),
                "oldest work of a queue then, seconds: p95 / maximum": f"{percentile(ages, 0.95):.1f} / {max(ages):.1f}"
                if ages
                else "unknown",
                f"load of the machine, on {os.cpu_count()} processors: p50 / maximum": _describe_load(
                    self.sampler.samples
                ),
                "connections to PostgreSQL then, at most": max(
                    (sample.postgres_connections or 0 for sample in quiet), default=0
                ),
            },
            "Rows at first, at last, and once old and pruned": self.rows,
        }

    def _write_report(self, report: Report) -> None:
        folder: Path = self.options.folder
        folder.mkdir(parents=True, exist_ok=True)
        command = f"python -m tests.faults soak --hours {self.options.hours:g} --seed {self.seed}"
        minutes = summarize_minutes(self.answers.answers, self.sampler.began)
        report.details["minutes"] = [asdict(minute) for minute in minutes]
        pages = {
            "soak.json": report.as_json() + "\n",
            "soak.md": write_markdown(report, self.trends, command),
            "soak.html": write_html(report, self.sampler.samples, minutes, self.trends, command),
        }
        for name, text in pages.items():
            (folder / name).write_text(text)
        self.log(f"The report is in {folder / 'soak.html'}")


def _describe_load(samples: list[Sample]) -> str:
    loads = [sample.machine_load for sample in samples]
    return f"{percentile(loads, 0.5):.1f} / {max(loads):.1f}"


class SoakEvidence(Evidence):
    """The evidence of a soak, whose requests to the cloud were read all the time."""

    def __init__(self, scene: Any, load: Load, sampler: Sampler) -> None:
        super().__init__(scene, load)
        self.sampler = sampler

    @property
    def cloud_requests(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """Return the requests with actions on servers."""
        self.sampler.read_cloud_requests()
        return [entry for _number, entry in sorted(self.sampler.cloud_requests.items())]


def check_queue_ages(samples: list[Sample]) -> Invariant:
    """Check that no work waits long while no fault is at work."""
    quiet = [sample for sample in samples if sample.is_quiet]
    wrong = [
        f"{sample.queue} at {sample.at:.0f} s: {sample.queue_age:.1f} s"
        for sample in quiet
        if sample.queue_age is not None and sample.queue_age >= MAX_QUEUE_AGE_SECONDS
    ]
    wrong += [f"/metrics at {sample.at:.0f} s: no answer" for sample in quiet if sample.queue_age is None]
    statement = f"without faults, no queue's oldest work is {MAX_QUEUE_AGE_SECONDS:g} s old"
    return Invariant(statement, wrong, len(quiet))
