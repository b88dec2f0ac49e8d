"""The course of a rolling upgrade: the previous release serves, this one migrates, both serve, this one serves alone."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import requests

from bench.figures import percentile
from bench.stack import answers, free_port
from devserver import launch
from devserver.processes import list_portal_programs
from tests.faults.framework.report import Invariant
from tests.faults.framework.servers import REPOSITORY
from tests.faults.storm.answers import AnswerLog
from tests.faults.storm.campaign import IN_FLIGHT, StormCampaign
from tests.faults.storm.invariants import Evidence, check
from tests.faults.storm.load import Load
from tests.faults.storm.plan import make_plan
from tests.faults.storm.scene import Scene, Vm
from tests.faults.storm.visitors import Visitor, Visits

from .creations import Creator
from .releases import extract_release, find_previous_release

TENANT = "acme"
OPERATOR, ADMINISTRATOR = "oscar", "alice"
PASSWORD = "demo"
ACTION_SECONDS = 0.5
VISITOR_PAUSE_SECONDS = 0.4
SELECT_VMS = """
    SELECT vm.id::text, vm.openstack_id, system.id::text FROM vms_virtualmachine AS vm
    JOIN tenants_informationsystem AS system ON system.id = vm.information_system_id
    JOIN tenants_tenant AS tenant ON tenant.id = system.tenant_id
    WHERE tenant.slug = %s ORDER BY vm.name LIMIT %s
"""


class UpgradeCampaign(StormCampaign):
    """Upgrade from the previous release while clients click, create and read; web and workers of both run side by side."""

    name = "upgrade"
    environment = {
        "DEMO_PASSWORD": PASSWORD,
        # A sweep of the previous release may run in any second of the upgrade.
        "JOB_LEASE_SECONDS": "5",
    }

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--vms", type=int, default=40, help="that are clicked on")
        parser.add_argument("--clicks", type=float, default=4.0, help="a second, of all users together")
        parser.add_argument(
            "--phase-seconds", type=float, default=20.0, help="with both releases side by side"
        )

    def set_up_portal(self) -> None:
        """Set Django up without tables: the previous release makes its own."""
        import django

        django.setup()

    def prepare(self) -> None:
        from tests.simulated import SimulatedCloud

        self.revision = find_previous_release()
        self._folder = tempfile.TemporaryDirectory(prefix="portal-previous-release-")
        self.previous = Path(self._folder.name)
        extract_release(self.revision, self.previous)
        self.log(f"The previous release is {self.revision}.")
        os.environ["SIMULATOR_PORT"] = str(self.servers.simulator_port)
        for arguments in (["migrate", "--no-input", "-v0"], ["write_schedules"], ["demo_data"]):
            self._run_manage(self.previous, *arguments)
        self.url = self._start_release("old", self.previous)
        self.processes.start("old-beat", "-m celery -A portal beat --pidfile=", folder=self.previous)
        cloud = SimulatedCloud(self.servers.cloud_url, f"{self.servers.cloud_url}/identity/v3")
        self._prepare_load(cloud)

    def _prepare_load(self, cloud: Any) -> None:
        """Prepare the load. The rows are read by SQL: Django knows the tables of this release only."""
        options = self.options
        plan = make_plan(
            seed=self.seed,
            kills=0,
            vms=options.vms,
            seconds=60,
            clicks_per_second=options.clicks,
            small=True,
            beats=("beat",),
        )
        self.plan = replace(plan, events=())
        cloud.clock(
            action_seconds=ACTION_SECONDS, build_seconds=ACTION_SECONDS, volume_seconds=ACTION_SECONDS
        )
        statuses = {one["id"]: one["status"] for one in cloud.call("GET", "objects")["servers"]}
        rows = [[str(value) for value in row] for row in self.servers.query(SELECT_VMS, TENANT, options.vms)]
        vms = [Vm(vm, server, statuses[server]) for vm, server, _system in rows]
        tokens = [self._create_token(OPERATOR, f"upgrade-{number}") for number in range(plan.users)]
        cloud.call("DELETE", "requests")
        self.scene = Scene(cloud, None, vms, [], tokens)
        self.answers = AnswerLog()
        self.load = Load.create(self.plan, self.scene, self.url, self.answers)
        stopping = self.load.stopping
        self.urls = [self.url]
        visits = Visits(self.urls, self.answers, stopping, VISITOR_PAUSE_SECONDS, PASSWORD)
        self.visitors = [Visitor(name, visits, self.seed) for name in (OPERATOR, "admin")]
        token = self._create_token(ADMINISTRATOR, "creator")
        self.creator = Creator(self.urls, token, rows[0][2], self.answers, stopping)

    def _create_token(self, username: str, name: str) -> str:
        with requests.Session() as session:
            session.trust_env = False
            body = {"username": username, "password": PASSWORD, "name": name}
            answer = session.post(f"{self.url}/api/v1/auth/tokens/", json=body, timeout=20)
            answer.raise_for_status()
            return str(answer.json()["token"])

    def _start_release(self, prefix: str, folder: Path) -> str:
        """Start web and workers of a release, wait until all of them answer, and return the address."""
        port = free_port()
        programs = list_portal_programs(port)
        web = [str(argument).replace(str(REPOSITORY), str(folder)) for argument in programs["web"]]
        self.processes.start(f"{prefix}-web", web, folder=folder)
        before = sum(name.startswith(("old-worker", "new-worker")) for name in self.processes.programs)
        for queues, name in (
            ("jobs,polling", "worker"),
            ("sync,resources,volumepool,deploys", "worker-other"),
        ):
            node = f"{prefix}-{name}"
            arguments = (
                f"-m celery -A portal worker -Q {queues} -c 2 -n {node}@%h --without-gossip --without-mingle"
            )
            self.processes.start(node, arguments, folder=folder)
        url = f"http://127.0.0.1:{port}"
        self._wait(lambda: answers(f"{url}/health/live"))
        self.wait_for_workers(before + 2)
        return url

    def _wait(self, happens: Any, seconds: float = 90) -> None:
        if not self.wait_until(happens, seconds):
            raise TimeoutError(
                f"A process did not start within {seconds:g} s.\n{self.servers.read_last_lines()}"
            )

    def _run_manage(self, folder: Path, *arguments: str) -> None:
        """Run a command of `manage.py` of a release to its end, while everything else goes on."""
        log = self.servers.folder / f"manage-{folder.name}-{arguments[0]}.log"
        process = launch.start(
            [sys.executable, folder / "manage.py", *arguments],
            log=log,
            folder=folder,
            environment=os.environ,
            when_parent_dies=signal.SIGKILL,
        )
        if not self.wait_until(lambda: process.poll() is not None, 300):
            raise TimeoutError(f"manage.py {arguments[0]} did not end.\n{launch.read_last_lines(log)}")
        if process.returncode:
            raise RuntimeError(f"manage.py {arguments[0]} failed.\n{launch.read_last_lines(log, 30)}")

    def disturb(self) -> None:
        threads = [*self.visitors, self.creator]
        self.load.begin()
        for thread in threads:
            thread.start()
        self._pass("the previous release alone", self.options.phase_seconds / 2)
        self.processes.end("old-beat")
        self._run_manage(REPOSITORY, "migrate", "--no-input", "-v0")
        self._run_manage(REPOSITORY, "write_schedules")
        self._run_manage(REPOSITORY, "write_volume_pools")
        self._pass("the previous release on the new tables", self.options.phase_seconds / 2)
        new = self._start_release("new", REPOSITORY)
        for user in self.load.users[::2]:
            user.url = new
        self.urls.append(new)
        self._pass("both side by side", self.options.phase_seconds)
        self.urls.remove(self.url)
        for user in self.load.users:
            user.url = new
        # A request that is on its way gets its answer: gunicorn ends gracefully.
        for name in ("old-web", "old-worker", "old-worker-other"):
            self.processes.end(name)
        self.processes.start("beat", "-m celery -A portal beat --pidfile=")
        self._pass("this release alone", self.options.phase_seconds / 2)
        self.load.stopping.set()
        self.wait_until(lambda: not any(thread.is_alive() for thread in threads), 60)

    def _pass(self, phase: str, seconds: float) -> None:
        """Let time pass."""
        begin = len(self.answers.answers)
        self.wait_until(lambda: False, seconds)
        self.log(f"{phase}: {len(self.answers.answers) - begin} answers in {seconds:g} s")

    def settle_loads(self) -> list[str]:
        """Find the account, which only the new tables have as Django knows them."""
        from cloudaccounts.models import CloudAccount

        self.scene = replace(self.scene, account=CloudAccount.objects.order_by("pk")[0])
        # A job that an old worker could not read is resumed by a sweep, and is then in flight once more.
        stuck = f"SELECT count(*) FROM tasks_job WHERE status = 'stuck' OR {IN_FLIGHT}"
        if not self.wait_until(lambda: self.servers.query(stuck)[0][0] == 0, 60):
            return ["a job is stuck, or has not ended"]
        return []

    def check_invariants(self) -> list[Invariant]:
        self.evidence = Evidence(self.scene, self.load)
        failed = Counter(
            f"{one.kind}: {one.status or 'no answer'}"
            for one in self.answers.answers
            if not one.status or one.status >= 500
        )
        problems = [problem for user in self.load.users for problem in user.problems]
        servers = self.scene.cloud.call("GET", "objects")["servers"]
        return [
            Invariant(
                "every request was answered, none with an error of the portal",
                [f"{count} times {what}" for what, count in failed.items()],
                len(self.answers.answers),
            ),
            *self.creator.check(self.evidence.jobs, servers),
            *check(self.evidence),
            Invariant("the simulated users met no error of their own", problems, len(self.load.users)),
        ]

    def collect_figures(self) -> dict[str, Mapping[str, object]]:
        taken = [answer.seconds * 1000 for answer in self.answers.answers]
        statuses = Counter(f"answers {answer.status}" for answer in self.answers.answers)
        jobs = Counter(f"jobs {job.kind} {job.status}" for job in self.evidence.jobs)
        logs = [log.read_text(errors="replace") for log in self.servers.folder.glob("old-worker*.log")]
        return {
            "Answers": {
                **dict(sorted(statuses.items())),
                "milliseconds: p50 / p95 / maximum": f"{percentile(taken, 0.5):.0f} / {percentile(taken, 0.95):.0f} / {max(taken):.0f}",
                "clicks": len(self.load.clicks),
                "creations": len(self.creator.accepted),
                "visits": sum(visitor.sign_ins for visitor in self.visitors),
            },
            "Jobs": {
                **dict(sorted(jobs.items())),
                "jobs that workers of the previous release could not read": sum(
                    text.count("job_unreadable") for text in logs
                ),
            },
        }

    def clean_up(self) -> None:
        with contextlib.suppress(AttributeError):
            self._folder.cleanup()
