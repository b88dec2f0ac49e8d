"""The course of a storm: prepare, load, break, let it settle, compare."""

from __future__ import annotations

import heapq
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import NoReturn

import psycopg2

from bench.stack import answers, free_port

from .checks import Evidence, check_everything, outcomes
from .injections import DISTURBING, Injections
from .load import Load
from .plan import BYSTANDERS, Plan
from .processes import Processes, programs
from .report import Report
from .scene import Scene, set_scene
from .servers import Servers

SETTLE_SECONDS = 180.0
# When a kill met nobody, because all of its victims were dead already.
TRY_AGAIN_AFTER_SECONDS = 2.0
UNENDED = "status IN ('queued', 'running', 'waiting', 'undoing')"
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Unsettled(Exception):
    """Something did not become quiet within its time."""


@dataclass
class Storm:
    """One storm with everything of its own. It takes the whole process: run it as a program."""

    plan: Plan
    say: Callable[[str], None]
    keep_logs: bool = False

    def run(self) -> Report:
        """From nothing to the report; whatever happens, nothing of it is left running."""
        for number in STOP_SIGNALS:
            signal.signal(number, _interrupt)
        servers = Servers()
        processes = Processes(servers)
        keep = True
        try:
            report = self._run(servers, processes)
            keep = self.keep_logs or not report.passed
            return report
        except KeyboardInterrupt:
            keep = self.keep_logs
            raise
        finally:
            for number in STOP_SIGNALS:  # From here on it takes seconds, and must not be cut short.
                signal.signal(number, signal.SIG_IGN)
            processes.stop()
            servers.stop()
            processes.end_descendants()
            servers.remove_folder(keep_logs=keep)
            if keep:
                self.say(f"The logs are in {servers.folder}")

    def _run(self, servers: Servers, processes: Processes) -> Report:
        self.say("Preparing.")
        servers.start(self.plan.seed)
        meddled = any(event.name == "meddle" for event in self.plan.events)
        scene = set_scene(servers, self.plan, bystanders=BYSTANDERS if meddled else 0)
        base = self._bring_up(servers, processes)
        injections = Injections(self.plan, servers, processes, scene)
        load = Load.of(self.plan, scene, base)
        injections.begin()
        began = time.monotonic()
        load.begin()
        self.say(f"The storm begins: {self.plan.seconds:.0f} s, {len(self.plan.events)} events.")
        self._break_things(injections)
        injections.end()
        load.stopping.set()
        stormed = time.monotonic() - began
        self.say("Everything is whole again; letting it settle.")
        unsettled = self._settle(servers, processes, load)
        settled = time.monotonic() - began - stormed
        unsettled += self._finish(servers, processes, scene)
        evidence = Evidence(servers, scene, load, injections)
        return Report(
            plan=self.plan,
            injections=injections,
            load=load,
            died_by_themselves=dict(processes.died_by_themselves),
            logs=servers.folder,
            storm_seconds=stormed,
            settle_seconds=settled,
            unsettled=unsettled,
            outcomes=outcomes(evidence),
            job_seconds=sorted(
                (j.ended_at - j.created_at).total_seconds() for j in evidence.vm_jobs if j.ended_at
            ),
            verdicts=check_everything(evidence),
        )

    def _bring_up(self, servers: Servers, processes: Processes) -> str:
        """Start the portal and wait until all of it works; its address."""
        from portal.celery import app

        port = free_port()
        for name, arguments in programs(port).items():
            processes.start(name, arguments)
        base = f"http://127.0.0.1:{port}"
        servers.wait(lambda: answers(f"{base}/health/serving"), "The web process")
        # Beat answers no questions: it is well if the other three have heard of it, or soon will.
        servers.wait(lambda: len(app.control.ping(timeout=0.5) or []) >= 3, "A worker")
        return base

    def _break_things(self, injections: Injections) -> None:
        told = 0.0
        left = [(event.at, number, event) for number, event in enumerate(self.plan.events)]
        while left:
            at, number, event = heapq.heappop(left)
            injections.pause()
            # Events may be late, one behind the other; what must not meet still does not.
            while injections.now < at:
                injections.pause()
            if injections.is_calm and event.name in DISTURBING:
                heapq.heappush(left, (injections.now + TRY_AGAIN_AFTER_SECONDS, number, event))
                continue
            if injections.now - told > 15:
                told = injections.now
                broken = sum(injections.claims_broken.values())
                self.say(f"  {told:4.0f} s: {len(injections.journal)} events, {broken} claims broken")
            if not injections.carry_out(event) and at < self.plan.seconds:
                heapq.heappush(left, (injections.now + TRY_AGAIN_AFTER_SECONDS, number, event))
        while injections.now < self.plan.seconds:
            injections.pause()

    def _settle(self, servers: Servers, processes: Processes, load: Load) -> list[str]:
        """Wait until every click is answered and every job has ended; what did not become so."""
        until = time.monotonic() + SETTLE_SECONDS
        told = time.monotonic()
        while time.monotonic() < until:
            processes.watch()
            left = _unended(servers)
            if left == 0 and load.is_over():
                return []
            if time.monotonic() - told > 15:
                told = time.monotonic()
                self.say(f"  {left} jobs under way")
            time.sleep(0.1)
        return [
            f"not settled within {SETTLE_SECONDS:.0f} s: {_unended(servers)} jobs under way, load over: {load.is_over()}"
        ]

    def _finish(self, servers: Servers, processes: Processes, scene: Scene) -> list[str]:
        """Stop what makes new work, bring the picture up to date, and free the claims of the dead."""
        from django.db import connections

        from portal.celery import app
        from tasks.models import PollScope
        from vms.models import SyncRun
        from vms.sync.status import sync_region

        from .scene import REGION

        connections.close_all()  # PostgreSQL was restarted since.
        # A poller that died between its last record and its release leaves its name behind. The next ring takes
        # the scope over and frees it; when nothing is watched any more nobody rings, so we do.
        for watcher, scope in PollScope.objects.exclude(owner="").values_list("watcher", "scope"):
            app.send_task("tasks.poll", args=(watcher, scope))
        for name in ("beat-a", "beat-b"):
            processes.end(name)
        problems = []
        if not self._within(30, processes, lambda: _unended(servers) == 0):
            problems.append("jobs were still under way after beat had stopped")
        # A server that is gone is believed to be gone after two complete listings.
        runs = 0

        def synced() -> bool:
            nonlocal runs
            run = sync_region(scene.account_id, REGION)
            runs += run is not None and run.state == SyncRun.State.SUCCESS
            return runs >= 2

        if not self._within(30, processes, synced):
            problems.append("the status sync did not succeed twice within 30 s")
        self._within(15, processes, lambda: not PollScope.objects.exclude(owner="").exists())
        return problems

    @staticmethod
    def _within(seconds: float, processes: Processes, happens: Callable[[], bool]) -> bool:
        until = time.monotonic() + seconds
        while not happens():
            if time.monotonic() > until:
                return False
            processes.watch()
            time.sleep(0.1)
        return True


def _unended(servers: Servers) -> int:
    """How many jobs are under way; -1 while the database does not answer. A stuck one is not under way."""
    try:
        ((count,),) = servers.ask(f"SELECT count(*) FROM tasks_job WHERE {UNENDED}")
    except psycopg2.Error:
        return -1
    return int(str(count))


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
