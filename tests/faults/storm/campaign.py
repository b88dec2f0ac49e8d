"""The course of a storm: click on VMs and carry the plan's events out, let everything settle, compare."""

from __future__ import annotations

import argparse
import heapq
from collections.abc import Mapping

import psycopg2

from bench.stack import answers, free_port
from tests.faults.framework.campaign import Campaign
from tests.faults.framework.processes import worker_arguments
from tests.faults.framework.report import Invariant, Report
from tests.faults.framework.servers import REPOSITORY

from .answers import AnswerLog
from .figures import StormFigures
from .injections import DISTURBING, Injections
from .invariants import Evidence, check
from .load import Load
from .plan import BYSTANDERS, make_plan
from .planted_secrets import PlantedSecrets, SecretSearch, ValkeyReader, plant_environment
from .scene import REGION, plant_secrets, set_scene
from .visitors import Visits, create_visitors

SETTLE_SECONDS = 180.0
VISITOR_PAUSE_SECONDS = 0.8
# An event that met no process, because all of its victims were dead, is tried again after this time.
RETRY_SECONDS = 2.0
IN_FLIGHT = "status IN ('queued', 'running', 'waiting', 'undoing')"
BEAT = "-m celery -A portal beat --pidfile="


class StormCampaign(Campaign):
    """Click on VMs while workers, web processes, beats, PostgreSQL, Valkey and the cloud fail."""

    name = "storm"
    sweep_seconds = None
    # More lines, in which a secret could be.
    environment = {"LOG_LEVEL": "INFO"}

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--kills", type=int, default=200, help="of worker processes")
        parser.add_argument("--vms", type=int, default=50)
        parser.add_argument("--minutes", type=float, help="how long things fail; unset, as the kills need")
        parser.add_argument("--clicks", type=float, default=5.0, help="a second, of all users together")
        parser.add_argument("--small", action="store_true", help="leave out what takes long, for a test")

    def run(self) -> Report:
        """Run the campaign with secrets of its own in the settings."""
        self.planted = PlantedSecrets()
        planted = plant_environment()
        self.planted.add_all(planted)
        self.environment = {**self.environment, **planted}
        return super().run()

    def prepare(self) -> None:
        options = self.options
        self.plan = make_plan(
            seed=self.seed,
            kills=options.kills,
            vms=options.vms,
            seconds=options.minutes * 60 if options.minutes else None,
            clicks_per_second=options.clicks,
            small=options.small,
        )
        has_external_changes = any(event.name == "change_externally" for event in self.plan.events)
        bystanders = BYSTANDERS if has_external_changes else 0
        self.scene = set_scene(self.servers, self.plan, bystanders=bystanders)
        self.injections = Injections(self.plan, self.servers, self.processes, self.scene)
        plant_secrets(self.scene, self.servers, self.planted)
        self.search = SecretSearch(self.planted)
        self.answers = AnswerLog(self.search.find_in_answer)
        url = self._start_portal()
        self.load = Load.create(self.plan, self.scene, url, self.answers)
        # Not an administrator, who may read the tenant's user data.
        visits = Visits([url], self.answers, self.load.stopping, VISITOR_PAUSE_SECONDS)
        self.visitors = create_visitors(visits, self.seed, role="operator")
        self.valkey_reader = ValkeyReader(self.servers, self.search, self.load.stopping)

    def _start_portal(self) -> str:
        """Start the portal, wait until all of it answers, and return its address."""
        port = free_port()
        config = REPOSITORY / "portal" / "gunicorn_config.py"
        # Two workers for jobs, so that one survives, and two beats, although there should be one.
        programs = {
            "web": f"-m gunicorn -b 127.0.0.1:{port} -c {config}",
            "worker-a": worker_arguments("jobs,polling", 2, "storm-a"),
            "worker-b": worker_arguments("jobs,polling", 2, "storm-b"),
            "worker-sync": worker_arguments("sync,resources", 1, "storm-sync"),
            "beat-a": BEAT,
            "beat-b": BEAT,
        }
        for name, arguments in programs.items():
            self.processes.start(name, arguments)
        url = f"http://127.0.0.1:{port}"
        self.servers.wait(lambda: answers(f"{url}/health/serving"), "The web process")
        self.wait_for_workers(3)
        return url

    def disturb(self) -> None:
        self.injections.begin()
        self.load.begin()
        self.begin_watching()
        self.log(f"The storm takes {self.plan.seconds:.0f} s and has {len(self.plan.events)} events.")
        self._carry_out_events()
        self.injections.end()
        self.load.stopping.set()

    def begin_watching(self) -> None:
        """Let visitors open pages, and search Valkey for secrets."""
        for thread in (*self.visitors, self.valkey_reader):
            thread.start()

    def _carry_out_events(self) -> None:
        injections = self.injections
        queue = [(event.at, number, event) for number, event in enumerate(self.plan.events)]
        while queue:
            at, number, event = heapq.heappop(queue)
            injections.pause()
            # Events may be late, one after the other; they never overlap.
            while injections.now < at:
                injections.pause()
            if injections.is_calm and event.name in DISTURBING:
                if event.name == "stop_postgres":
                    # Postponed, it would come after the event that starts PostgreSQL again.
                    continue
                heapq.heappush(queue, (injections.now + RETRY_SECONDS, number, event))
                continue
            self.log_progress(
                lambda: f"{len(injections.journal)} events, {injections.claims_broken.total()} claims broken"
            )
            if not injections.carry_out(event) and at < self.plan.kills_until:
                heapq.heappush(queue, (injections.now + RETRY_SECONDS, number, event))
        while injections.now < self.plan.seconds:
            injections.pause()

    def settle(self) -> list[str]:
        def is_settled() -> bool:
            self.log_progress(lambda: f"{self._count_jobs_in_flight()} jobs in flight")
            return self._count_jobs_in_flight() == 0 and self.load.is_over()

        unsettled = []
        if not self.wait_until(is_settled, SETTLE_SECONDS):
            unsettled.append(
                f"{self._count_jobs_in_flight()} jobs in flight, load over: {self.load.is_over()}"
            )
        return unsettled + self.settle_loads() + self._finish()

    def settle_loads(self) -> list[str]:
        """Wait until what other loads have begun has settled, while beat runs; return a sentence for what has not."""
        return []

    def _count_jobs_in_flight(self) -> int:
        """Count the jobs in flight, without the stuck ones. Returns -1 while the database does not answer."""
        try:
            ((count,),) = self.servers.query(f"SELECT count(*) FROM tasks_job WHERE {IN_FLIGHT}")
        except psycopg2.Error:
            return -1
        return int(str(count))

    def _finish(self) -> list[str]:
        """Stop what makes new work, sync all VMs, and release the poll scopes of dead processes."""
        from django.db import connections

        from portal.celery import app
        from tasks.models import PollScope
        from vms.models import SyncRun
        from vms.sync.status import sync_region

        connections.close_all()  # PostgreSQL has restarted since they were opened.
        # A poller that dies between its last write and its release stays the owner of its scope. The next poll takes
        # the scope over and releases it, but nothing requests a poll when nothing is watched any more.
        for watcher, scope in PollScope.objects.exclude(owner="").values_list("watcher", "scope"):
            app.send_task("tasks.poll", args=(watcher, scope))
        for name in self.plan.beats:
            self.processes.end(name)
        problems = []
        if not self.wait_until(lambda: self._count_jobs_in_flight() == 0, 30):
            problems.append("jobs were in flight after beat had stopped")
        successful_runs = 0

        def has_synced_twice() -> bool:
            # A server counts as gone after two complete listings without it.
            nonlocal successful_runs
            run = sync_region(self.scene.account.pk, REGION)
            successful_runs += run is not None and run.state == SyncRun.State.SUCCESS
            return successful_runs >= 2

        if not self.wait_until(has_synced_twice, 30):
            problems.append("the status sync did not succeed twice within 30 s")
        self.wait_until(lambda: not PollScope.objects.exclude(owner="").exists(), 15)
        return problems

    def check_invariants(self) -> list[Invariant]:
        evidence = Evidence(self.scene, self.load)
        self.figures = StormFigures(self.injections, self.load, evidence.vm_jobs, self.processes.crashes)
        self.report.details = {"journal": self.injections.journal, "plan": self.plan.as_json()}
        problems = [problem for user in self.load.users for problem in user.problems]
        return [
            *check(evidence),
            self._check_secrets(),
            Invariant("the simulated users met no error of their own", problems, len(self.load.users)),
        ]

    def _check_secrets(self) -> Invariant:
        """Search everything that the storm has left, and what clients got."""
        for thread in (*self.visitors, self.valkey_reader):
            thread.join()
        self.valkey_reader.read()
        self.search.search_command_lines(self.processes)
        self.search.search_database(self.servers.postgres.url)
        self.search.search_logs(self.servers.folder)
        self.search.leaks.update(self.answers.leaks)
        return self.search.check()

    def collect_figures(self) -> dict[str, Mapping[str, object]]:
        return {
            "Injected": self.figures.count_injections(),
            "Survived": {
                **self.figures.count_clicks(),
                **self.figures.count_jobs(),
                **self.figures.count_recoveries(self.servers.folder),
            },
            "Searched for secrets": {
                **{f"bytes of {place}": count for place, count in sorted(self.search.searched.items())},
                "visits from signing in to signing out": sum(visitor.sign_ins for visitor in self.visitors),
            },
        }
