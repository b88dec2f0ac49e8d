"""The course of the campaign: for each fault, load, the fault, its end, the time until all is whole, the comparison."""

from __future__ import annotations

import argparse
import os
import time
from collections import Counter
from collections.abc import Mapping
from statistics import median
from typing import Any

from tests.faults.framework.campaign import Campaign
from tests.faults.framework.report import Invariant
from tests.faults.storm.plan import Plan

from .beats import BeatWatcher, find_two_leaders
from .clocks import find_compiler
from .faults import FAULTS, Fault, Installation
from .figures import Result, as_json, make_table, summarize
from .load import SLOW_SECONDS, HostLoad, HostUser, Manager
from .processes import HostProcesses
from .recovery import Recovery, watch_hosts
from .servers import APP_HOSTS, HostServers

BEFORE_SECONDS = 4.0
# On a machine that others use as well.
START_SECONDS = 240.0
RECOVERY_SECONDS = 300.0
CHECK_SECONDS = 45.0
CLICKERS_PER_HOST = 2
# Of the tokens of the storm's scene, each user of each fault gets one.
USERS = 4
ADMIN = 0
IN_FLIGHT = "status IN ('queued', 'running', 'waiting', 'undoing')"
BEAT_RUNS = "SELECT total_run_count FROM django_celery_beat_periodictask WHERE name = 'tasks.sweep'"


class HostsCampaign(Campaign):
    """Run the portal on two hosts of a simulated network, and let one fault after another strike. Needs root."""

    name = "hosts"
    sweep_seconds = None
    servers: HostServers
    processes: HostProcesses

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--seconds", type=float, default=40.0, help="how long each fault lasts")
        parser.add_argument("--vms", type=int, default=24)
        parser.add_argument("--clicks", type=float, default=3.0, help="a second, of all users together")
        names = ", ".join(fault.name for fault in FAULTS)
        parser.add_argument("--only", help=f"some of the faults, separated by commas: {names}")

    def create_servers(self) -> HostServers:
        return HostServers(self.seed)

    def create_processes(self) -> HostProcesses:
        self.faults = self._choose_faults()
        clocks = {fault.needs_clock for fault in self.faults}
        return HostProcesses(self.servers, APP_HOSTS if True in clocks else ())

    def _choose_faults(self) -> list[Fault]:
        """Return the chosen faults. Raises `ValueError` for an unknown name."""
        chosen = self.options.only.split(",") if self.options.only else [fault.name for fault in FAULTS]
        if unknown := set(chosen) - {fault.name for fault in FAULTS}:
            raise ValueError(f"There is no fault {', '.join(sorted(unknown))}.")
        faults = [fault for fault in FAULTS if fault.name in chosen]
        if find_compiler() is None and any(fault.needs_clock for fault in faults):
            self.log("Left out: the faults of clocks, because there is no C compiler.")
            faults = [fault for fault in faults if not fault.needs_clock]
        return faults

    def prepare(self) -> None:
        from tests.faults.storm.scene import set_scene

        self.plan = Plan(
            self.seed, 0, self.options.vms, 0.0, self.options.clicks, USERS, (), None, (), (), 0.0
        )
        self.scene = set_scene(self.servers, self.plan, bystanders=len(APP_HOSTS) + 1)
        self._fill_catalogue()
        self.users: list[Any] = []
        self.results: list[Result] = []
        self.installation = Installation(self.servers, self.processes, self._pause)
        self.beats = BeatWatcher({host: self.servers.folder / f"{host}.beat.log" for host in APP_HOSTS})
        self.beats.start()
        for host in APP_HOSTS:
            self.processes.start_host(host)
        recovery = Recovery()
        self._watch(recovery, 0)

        def is_ready() -> bool:
            self.log_progress(lambda: f"waiting for {', '.join(recovery.missing)}")
            return not recovery.missing

        if not self.wait_until(is_ready, START_SECONDS):
            raise TimeoutError(f"Not ready: {recovery.missing}\n{self.servers.read_last_lines()}")

    def _fill_catalogue(self) -> None:
        """Give the account what VMs are created from, a pool, and the storm's tenant an administrator."""
        from api.models import ApiToken
        from cloudaccounts.models import CloudAccount
        from tenants.models import InformationSystem, Membership, User
        from tenants.scoping import Role
        from tests.catalogue import sync_catalogue
        from volumepool.models import VolumePool

        tenant = InformationSystem.objects.get().tenant
        account = CloudAccount.objects.get(pk=self.scene.account.pk)
        # Its own, because only staff may request the sync of an account that all tenants share.
        account.tenant = tenant
        account.save()
        sync_catalogue(account)
        self.scene.cloud.clock(build_seconds=1.0, volume_seconds=0.5)
        VolumePool.objects.create(
            account=account, region="RegionOne", type="data", size_gb=2, desired=4, max_in_flight=4
        )
        self.system = str(InformationSystem.objects.get().pk)
        user = User.objects.create_user("admin")
        Membership.objects.create(user=user, tenant=tenant, role=Role.ADMIN)
        self.admin_token = ApiToken.objects.create(user=user, name="hosts", expiry=None)[1]
        # Every user of every fault takes the token at its own number.
        self.scene.tokens[:] = (self.scene.tokens * 200)[:1000]

    # --- One fault -----------------------------------------------------------------------------------------

    def disturb(self) -> None:
        for number, fault in enumerate(self.faults, start=1):
            self.log(f"{fault.title}.")
            result = self._run_fault(number, fault)
            self.results.append(result)
            self.log(f"  {make_table([result])[-1]}")
            broken = [invariant for invariant in result.invariants if invariant.violations]
            self.log(
                f"  whole after {result.whole_after:.1f} s"
                + (f", never: {', '.join(result.missing)}" if result.missing else "")
                + "".join(
                    f"; BROKEN: {invariant.statement}: {invariant.violations[0]}" for invariant in broken
                )
            )

    def _run_fault(self, number: int, fault: Fault) -> Result:
        import threading

        stopping = threading.Event()
        load = HostLoad(self._make_users(number, stopping), stopping)
        self.users += load.users
        load.begin()
        self._run_for(BEFORE_SECONDS)
        self.installation.struck = "app-b"
        self.servers.network.set_rules()
        jobs_before = self._count("status NOT IN ('queued', 'running', 'waiting', 'undoing')")
        lock = self.scene.bystanders[-1].id
        if fault.holds_lock:
            self.installation.start_lock_holder(lock)
        began = time.monotonic()
        fault.begin(self.installation)
        struck_at = time.monotonic()
        result = Result(fault, self.installation.struck, 0.0)
        until = began + self.options.seconds
        while time.monotonic() < until:
            self._run_for(1.0)
            result.beat_leaders.append(self.installation.find_beat_leader())
            if fault.holds_lock and result.lock_freed_after is None and not self.installation.is_locked(lock):
                result.lock_freed_after = time.monotonic() - began
        result.jobs_ended = (
            self._count("status NOT IN ('queued', 'running', 'waiting', 'undoing')") - jobs_before
        )
        ended = time.monotonic()
        result.seconds = ended - began
        result.packets = self.servers.network.set_rules(*())
        fault.end(self.installation)
        self.installation.end_lock_holder()
        stopping.set()
        self._measure_recovery(number, result, load)
        for host in APP_HOSTS:
            # A request that was answered while the fault began, or after it had ended, says nothing about the fault.
            answers = [
                answer
                for answer in load.answers
                if answer.host == host
                and began <= answer.at <= ended
                and (
                    answer.outcome != "answered"
                    or (struck_at <= answer.at and answer.at + answer.seconds <= ended)
                )
            ]
            result.outcomes[host] = Counter(answer.outcome for answer in answers)
            result.median[host] = median([answer.seconds for answer in answers] or [0.0])
            result.slow[host] = sum(answer.seconds > SLOW_SECONDS for answer in answers)
            result.slowest[host] = max((answer.seconds for answer in answers), default=0.0)
        result.invariants = self._compare()
        return result

    def _make_users(self, number: int, stopping: Any) -> list[Any]:
        users: list[Any] = []
        for at, host in enumerate(APP_HOSTS):
            first = number * 20 + at * 5
            common = (self.plan, self.scene, self.servers.get_web_url(host), stopping)
            users += [HostUser(first + n, *common, host) for n in range(CLICKERS_PER_HOST)]
            manager = Manager(first + 4, *common, host, system=self.system, account=self.scene.account.pk)
            manager.session.headers["Authorization"] = f"Token {self.admin_token}"
            users.append(manager)
        return users

    def _watch(self, recovery: Recovery, number: int) -> None:
        """Watch the hosts; the users that do it count as users whose clicks are compared."""
        import threading

        probes, vms = {}, {}
        for at, host in enumerate(APP_HOSTS):
            probe = HostUser(
                number * 20 + 10 + at,
                self.plan,
                self.scene,
                self.servers.get_web_url(host),
                threading.Event(),
                host,
            )
            probes[host], vms[host] = probe, self.scene.bystanders[at]
            self.users.append(probe)
        watch_hosts(recovery, self.servers, probes, vms)

    def _measure_recovery(self, number: int, result: Result, load: HostLoad) -> None:
        recovery = Recovery()
        self._watch(recovery, number)
        runs = self._read_beat_runs()

        def is_whole() -> bool:
            self.log_progress(lambda: f"waiting for {', '.join(recovery.missing) or 'jobs and beat'}")
            if self._read_beat_runs() >= runs + 1 > 0:
                recovery.note("beat")
            if load.is_over() and not recovery.missing and self._count(IN_FLIGHT) == 0:
                recovery.note("no job in flight")
            return {"beat", "no job in flight"} <= recovery.seconds.keys() and not recovery.missing

        if not self.wait_until(is_whole, RECOVERY_SECONDS, pause=0.2):
            result.missing = [
                *recovery.missing,
                *({"beat", "no job in flight"} - recovery.seconds.keys()),
            ]
        recovery.give_up()
        result.recovery = recovery.seconds

    def _compare(self) -> list[Invariant]:
        """Compare until every invariant holds, or for a while: syncs and polls of the running portal come and go."""
        from django.db import connections

        from .invariants import HostEvidence, check_after_fault

        found: list[Invariant] = []

        def holds() -> bool:
            nonlocal found
            connections.close_all()
            load = HostLoad(self.users, self.users[0].stopping)
            found = check_after_fault(HostEvidence(self.scene, load))
            return not any(invariant.violations for invariant in found)

        self.wait_until(holds, CHECK_SECONDS, pause=1.0)
        return found

    def _run_for(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._pause()

    def _pause(self) -> None:
        self.tick()
        time.sleep(0.05)

    def _count(self, condition: str) -> int:
        """Count jobs. Returns -1 while no database accepts writes."""
        import psycopg2

        try:
            ((count,),) = self.servers.query(f"SELECT count(*) FROM tasks_job WHERE {condition}")
        except psycopg2.Error:
            return -1
        return int(str(count))

    def _read_beat_runs(self) -> int:
        import psycopg2

        try:
            ((count,),) = self.servers.query(BEAT_RUNS)
        except psycopg2.Error:
            return -1
        return int(str(count))

    # --- The report ----------------------------------------------------------------------------------------

    def check_invariants(self) -> list[Invariant]:
        statements: dict[str, list[str]] = {}
        checked: dict[str, int | None] = {}
        for result in self.results:
            for invariant in result.invariants:
                violations = [f"{result.fault.name}: {violation}" for violation in invariant.violations]
                statements.setdefault(invariant.statement, []).extend(violations)
                checked[invariant.statement] = invariant.checked
        never = [f"{result.fault.name}: {sign}" for result in self.results for sign in result.missing]
        sent = self.beats.sent
        problems = [problem for user in self.users for problem in user.problems]
        return [
            *(Invariant(statement, found, checked[statement]) for statement, found in statements.items()),
            Invariant("everything was whole again after each fault", never, len(self.results)),
            Invariant("two beats never sent at once", find_two_leaders(sent), sum(map(len, sent.values()))),
            Invariant("the simulated users met no error of their own", problems, len(self.users)),
        ]

    def collect_figures(self) -> dict[str, Mapping[str, object]]:
        self.report.details["faults"] = [as_json(result) for result in self.results]
        self.report.details["table"] = make_table(self.results)
        return {
            "Machine": {"processors": os.cpu_count()},
            **{result.fault.title: summarize(result) for result in self.results},
        }
