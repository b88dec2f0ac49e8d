"""Deployments over SSH to hosts on loopback, and the version that answers on each port after each of them.

Four sshds on loopback are the hosts, each with a view of the disk of its own. A small HTTP service has three versions and
a broken one. Ansible runs in a real Celery worker.
"""

from __future__ import annotations

import getpass
import os
import shlex
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.deploys import loopback
from tests.faults.framework.campaign import Campaign
from tests.faults.framework.processes import worker_arguments
from tests.faults.framework.report import Invariant

if TYPE_CHECKING:
    from deploys.services.deployments import Plan
    from tasks.models import Job

HOSTS = 4
GOOD_VERSIONS = ("1.0", "2.0", "3.0")
BROKEN_VERSION = "4.0-broken"
WORKER = "worker-deploys"


class DeployCampaign(Campaign):
    """Deploy, revert, cancel and retry over SSH while a worker is killed and a version is broken: two minutes.

    This needs sshd and `unshare --mount` (root, or user namespaces).
    """

    name = "deploys"
    sweep_seconds = 0.25

    def prepare(self) -> None:
        if loopback.SSHD is None:
            raise RuntimeError(loopback.INSTALL_SSHD)
        self.invariants: list[Invariant] = []
        self.answers: dict[str, str] = {}
        self._folder = tempfile.TemporaryDirectory(prefix="portal-hosts-")
        folder = Path(self._folder.name)
        self.loopback = loopback.Loopback(folder)
        # The same path on every host; only what its sshd starts sees the host's own folder there.
        self.host_folder = folder / "host"
        self.host_folder.mkdir()
        command = (
            f'mount --bind "$0" {shlex.quote(str(self.host_folder))} && exec sh -c "$SSH_ORIGINAL_COMMAND"'
        )
        root = "" if os.getuid() == 0 else "--map-root-user "
        for name in (f"web-{number}" for number in range(HOSTS)):
            wrapper = f"unshare --mount {root}sh -c {shlex.quote(command)} {folder / name}"
            self.loopback.host(name, wrapper=wrapper)
        self._create_service()
        self.wait(lambda: all(host.answers() for host in self.loopback.hosts.values()), 10)
        self.compare("before", ["1.0"] * HOSTS)
        self.processes.start(WORKER, worker_arguments("deploys", 2, "deploys"))
        self.wait_for_workers(1)

    def clean_up(self) -> None:
        if hasattr(self, "loopback"):
            self.loopback.stop()
            self._folder.cleanup()

    def check_invariants(self) -> list[Invariant]:
        return self.invariants

    def collect_figures(self) -> dict[str, Mapping[str, object]]:
        return {"Versions that answer": self.answers}

    def _create_service(self) -> None:
        """Run version 1.0 on every host, and create the rows of the service."""
        from deploys.models import DeployKey, Host, MicroService, MicroServiceInstance, MicroServiceVersion
        from tenants.scoping import Role, Scope
        from tests.factories import InformationSystemFactory, MembershipFactory

        archives = {label: loopback.service_archive(label) for label in GOOD_VERSIONS}
        archives[BROKEN_VERSION] = loopback.service_archive(BROKEN_VERSION, "broken")
        member = MembershipFactory(role=Role.OPERATOR)
        self.scope = Scope(member.user, member.tenant, Role.OPERATOR)
        key = DeployKey(tenant=member.tenant)
        key.set_private_key(self.loopback.key.private)
        key.save()
        self.service = MicroService.objects.create(
            information_system=InformationSystemFactory(tenant=member.tenant),
            name="shop",
            folder=str(self.host_folder / "service"),
            port=8080,
            executor="ansible",
            executor_settings={"restart_command": ["/bin/sh", str(self.host_folder / "restart.sh")]},
            health_path="/",
            health_contains="version {version}",
            health_seconds=5,
        )
        self.versions = {}
        for number, (label, content) in enumerate(archives.items()):
            release = self.loopback.artifacts.add(label, content)
            self.versions[label] = MicroServiceVersion.objects.create(
                service=self.service,
                label=label,
                number=number,
                build_status="success",
                artifact_url=release.artifact_url,
                sha256=release.sha256,
            )
        for host in self.loopback.hosts.values():
            host.wait().run_by_hand("1.0", archives["1.0"], self.versions["1.0"].sha256)
            host_row = Host.objects.create(
                tenant=member.tenant,
                hostname=host.name,
                ip="127.0.0.1",
                ssh_port=host.ssh_port,
                user=getpass.getuser(),
                known_hosts=host.keys.public,
            )
            MicroServiceInstance.objects.create(
                service=self.service,
                version=self.versions["1.0"],
                host=host_row,
                port=host.service_port,
                status=MicroServiceInstance.Status.RUNNING,
            )

    def deploy(self, before: str, after: str, **strategy: Any) -> Plan:
        """Request a deployment, as the portal's page does."""
        from deploys.services.deployments import DeployParams, Strategy, deploy

        number = {label: version.number for label, version in self.versions.items()}
        return deploy(
            scope=self.scope,
            service_id=self.service.pk,
            version_id=self.versions[before].pk,
            action="upgrade" if number[after] > number[before] else "revert",
            params=DeployParams(self.versions[after].pk, "all", Strategy(**strategy)),
        )

    def retry(self, plan: Plan) -> Plan:
        """Request the deployment again for the hosts that have not got the version."""
        from deploys.services.deployments import retry

        return retry(scope=self.scope, deployment_id=plan.deployment.pk)

    def wait(self, happens: Callable[[], object], seconds: float = 180) -> None:
        """Wait for something. Raises `TimeoutError` if it does not happen in time."""
        if not self.wait_until(happens, seconds, pause=0.25):
            raise TimeoutError(f"A deployment did not get on within {seconds:g} s.")

    def wait_for_second_batch(self, plan: Plan) -> None:
        """Wait until a deployment is at its second batch."""
        self.wait(lambda: plan.deployment.items.filter(batch=1, result="running").exists())

    def wait_for_end(self, plan: Plan) -> Job:
        """Wait until a deployment has ended, and return its job."""
        from tasks.models import ENDED, Job

        job = Job.objects.filter(pk=plan.deployment.job_id)
        self.wait(lambda: job.filter(status__in=ENDED).exists())
        return job.get()

    def compare(self, title: str, expected: list[str], **details: object) -> None:
        """Compare the versions that answer with those that are expected and those that the database has."""
        from deploys.models import MicroServiceInstance

        instances = MicroServiceInstance.objects.select_related("version").order_by("host__hostname")
        answers = [host.answers() for host in self.loopback.hosts.values()]
        recorded = [instance.version.label for instance in instances]
        busy = [instance.status for instance in instances if instance.locked or instance.status != "running"]
        violations = []
        if sorted(answers) != sorted(expected):
            violations.append(f"the hosts answer {answers}, expected were {expected}")
        if answers != recorded:
            violations.append(f"the hosts answer {answers}, the database has {recorded}")
        if busy:
            violations.append(f"instances are locked or not running: {busy}")
        self.invariants.append(Invariant(title, violations, len(answers)))
        self.answers[title] = " ".join(answers)
        suffix = "".join(f"; {name.replace('_', ' ')}: {value}" for name, value in details.items())
        self.log(f"{title:<46} {'  '.join(answers)}{suffix}")

    def disturb(self) -> None:
        from tasks import engine

        job = self.wait_for_end(self.deploy("1.0", "2.0", batch=2))
        self.compare("upgrade to 2.0 in batches of two", ["2.0"] * HOSTS, job=job.status)

        job = self.wait_for_end(self.deploy("2.0", "1.0", batch="50%"))
        self.compare("revert to 1.0", ["1.0"] * HOSTS, job=job.status)

        plan = self.deploy("1.0", BROKEN_VERSION, batch=2)
        job = self.wait_for_end(plan)
        self.compare("upgrade to a broken version", ["1.0"] * HOSTS, job=job.status, hosts=get_results(plan))

        plan = self.deploy("1.0", "2.0", batch=2)
        self.wait_for_second_batch(plan)
        time.sleep(1.5)  # Ansible is at work on the second batch.
        self.processes.kill_tree(WORKER)
        results = get_results(plan)
        job = self.wait_for_end(plan)
        self.compare(
            "upgrade to 2.0 while the worker is killed",
            ["2.0"] * HOSTS,
            job=job.status,
            hosts_at_kill=results,
        )

        plan = self.deploy("2.0", "3.0", batch=1)
        self.wait_for_second_batch(plan)
        assert plan.job is not None
        engine.cancel(plan.job)
        job = self.wait_for_end(plan)
        mixed = ["3.0"] * 2 + ["2.0"] * 2
        self.compare(
            "upgrade to 3.0, cancelled in the second batch", mixed, job=job.status, hosts=get_results(plan)
        )

        content = self.loopback.artifacts.contents.pop("/3.0.tar.gz")
        plan = self.retry(plan)
        job = self.wait_for_end(plan)
        self.compare("retry without the artifact", mixed, job=job.status, hosts=get_results(plan))
        self.loopback.artifacts.contents["/3.0.tar.gz"] = content
        plan = self.retry(plan)
        job = self.wait_for_end(plan)
        self.compare(
            "retry of the hosts that failed", ["3.0"] * HOSTS, job=job.status, hosts=get_results(plan)
        )


def get_results(plan: Plan) -> str:
    """Return the result of each host."""
    return ", ".join(plan.deployment.items.order_by("host_name").values_list("result", flat=True))
