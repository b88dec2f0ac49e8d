"""`python -m tests.deploys.show`: deployments in earnest, and which version answers on each port after each.

Four sshds on loopback are the hosts, each with a view of the disk of its own; a small HTTP service has three versions and
a broken one; Ansible carries out what real Celery workers have in hand. About two minutes; it ends all that it starts.
Exit code 0: everything came out as it should. It needs sshd and `unshare --mount` (root, or user namespaces).
"""

from __future__ import annotations

import getpass
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.stack import Stack
from devserver import launch
from tests.deploys import loopback

if TYPE_CHECKING:
    from deploys.services.deployments import Plan
    from tasks.models import Job

HOSTS = 4
LEASE_SECONDS = 3
GOOD = ("1.0", "2.0", "3.0")
BROKEN = "4.0-broken"


class Show:
    """The hosts, the service in the portal, and workers; each scene ends with what answers."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.stack = stack
        self.wrong = 0
        self.began = time.monotonic()
        self.place = loopback.Loopback(folder)
        # The same path on every host, as it would be; only what sshd starts sees its own folder there.
        self.common = folder / "host"
        self.common.mkdir()
        inside = f'mount --bind "$0" {shlex.quote(str(self.common))} && exec sh -c "$SSH_ORIGINAL_COMMAND"'
        root = "" if os.getuid() == 0 else "--map-root-user "
        for name in (f"web-{n}" for n in range(HOSTS)):
            wrapper = f"unshare --mount {root}sh -c {shlex.quote(inside)} {folder / name}"
            self.place.host(name, wrapper=wrapper)

    def set_up(self) -> None:
        """Have 1.0 run everywhere, and everything known to the portal."""
        from deploys.models import DeployKey, Host, MicroService, MicroServiceInstance, MicroServiceVersion
        from tenants.scoping import Role, Scope
        from tests.factories import InformationSystemFactory, MembershipFactory

        packed = {label: loopback.service_archive(label) for label in GOOD}
        packed[BROKEN] = loopback.service_archive(BROKEN, "broken")
        member = MembershipFactory(role=Role.OPERATOR)
        self.scope = Scope(member.user, member.tenant, Role.OPERATOR)
        key = DeployKey(tenant=member.tenant)
        key.set_private_key(self.place.key.private)
        key.save()
        self.service = MicroService.objects.create(
            information_system=InformationSystemFactory(tenant=member.tenant),
            name="shop",
            folder=str(self.common / "service"),
            port=8080,
            executor="ansible",
            executor_settings={"restart_command": ["/bin/sh", str(self.common / "restart.sh")]},
            health_path="/",
            health_contains="version {version}",
            health_seconds=5,
        )
        self.versions = {}
        for number, (label, content) in enumerate(packed.items()):
            release = self.place.artifacts.add(label, content)
            self.versions[label] = MicroServiceVersion.objects.create(
                service=self.service,
                label=label,
                number=number,
                build_status="success",
                artifact_url=release.artifact_url,
                sha256=release.sha256,
            )
        for host in self.place.hosts.values():
            host.wait().run_by_hand("1.0", packed["1.0"], self.versions["1.0"].sha256)
            row = Host.objects.create(
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
                host=row,
                port=host.service_port,
                status=MicroServiceInstance.Status.RUNNING,
            )

    def deploy(self, before: str, after: str, **strategy: Any) -> Plan:
        """Ask for it, as the portal's page does."""
        from deploys.services.deployments import DeployParams, Strategy, deploy

        number = {label: version.number for label, version in self.versions.items()}
        return deploy(
            scope=self.scope,
            service_id=self.service.pk,
            version_id=self.versions[before].pk,
            action="upgrade" if number[after] > number[before] else "revert",
            params=DeployParams(self.versions[after].pk, "all", Strategy(**strategy)),
        )

    def until(self, happens: Callable[[], object], seconds: float = 180) -> None:
        """Wait for something, and ring as beat would."""
        from tasks import engine

        deadline = time.monotonic() + seconds
        while not happens():
            if time.monotonic() > deadline:
                raise TimeoutError("waited in vain")
            engine.sweep()
            time.sleep(0.25)

    def ended(self, plan: Plan) -> Job:
        """Wait for a deployment's end; its job."""
        from tasks.models import ENDED, Job

        job = Job.objects.filter(pk=plan.deployment.job_id)
        self.until(lambda: job.filter(status__in=ENDED).exists())
        return job.get()

    def tell(self, title: str, expected: list[str], **also: object) -> None:
        """Print which version answers where, and hold it against what should, and against the database."""
        from deploys.models import MicroServiceInstance

        instances = MicroServiceInstance.objects.select_related("version").order_by("host__hostname")
        answers = [host.answers() for host in self.place.hosts.values()]
        recorded = [one.version.label for one in instances]
        held = [one.status for one in instances if one.locked or one.status != "running"]
        holds = answers == recorded and sorted(answers) == sorted(expected) and not held
        self.wrong += not holds
        ports = [
            f":{host.service_port} {label}"
            for host, label in zip(self.place.hosts.values(), answers, strict=True)
        ]
        more = "".join(f"; {name.replace('_', ' ')}: {value}" for name, value in also.items())
        seconds = time.monotonic() - self.began
        verdict = "" if holds else f"  WRONG: expected {expected}, recorded {recorded}, held {held}"
        sys.stdout.write(f"{seconds:6.1f} s  {title:<44} {'  '.join(ports)}{more}{verdict}\n")
        sys.stdout.flush()

    def worker(self) -> Any:
        return self.stack.worker("deploys", 2, include="deploys.commands")

    def run(self) -> None:
        """All scenes, one after another."""
        self.until(lambda: all(host.answers() for host in self.place.hosts.values()), 10)
        self.tell("before", ["1.0"] * 4)
        worker = self.worker()
        job = self.ended(self.deploy("1.0", "2.0", batch=2))
        self.tell("upgrade to 2.0, batches of two", ["2.0"] * 4, job=job.status)

        job = self.ended(self.deploy("2.0", "1.0", batch="50%"))
        self.tell("revert to 1.0", ["1.0"] * 4, job=job.status)

        plan = self.deploy("1.0", BROKEN, batch=2)
        job = self.ended(plan)
        self.tell("upgrade to a broken version", ["1.0"] * 4, job=job.status, hosts=self.results(plan))

        plan = self.deploy("1.0", "2.0", batch=2)
        self.until(lambda: plan.deployment.items.filter(batch=1, result="running").exists())
        time.sleep(1.5)  # Ansible is at work on the second batch.
        everybody = launch.process_tree(worker.pid)
        launch.kill(everybody)
        launch.wait_until_gone(everybody, seconds=5)
        self.stack.running.remove(worker)
        half = self.results(plan)
        self.worker()
        job = self.ended(plan)
        self.tell("upgrade to 2.0, worker killed half-way", ["2.0"] * 4, job=job.status, when_killed=half)

        from tasks import engine

        plan = self.deploy("2.0", "3.0", batch=1)
        self.until(lambda: plan.deployment.items.filter(batch=1, result="running").exists())
        assert plan.job is not None
        engine.cancel(plan.job)
        job = self.ended(plan)
        expected = ["3.0"] * 2 + ["2.0"] * 2
        self.tell(
            "upgrade to 3.0, cancelled in the second batch",
            expected,
            job=job.status,
            hosts=self.results(plan),
        )

        content = self.place.artifacts.contents.pop("/3.0.tar.gz")
        plan = self.again(plan)
        job = self.ended(plan)
        self.tell("retry without the artifact", expected, job=job.status, hosts=self.results(plan))
        self.place.artifacts.contents["/3.0.tar.gz"] = content
        plan = self.again(plan)
        job = self.ended(plan)
        self.tell("retry of those that failed", ["3.0"] * 4, job=job.status, hosts=self.results(plan))

    def again(self, plan: Plan) -> Plan:
        """Ask again for those that have not got the version."""
        from deploys.services.deployments import retry

        return retry(scope=self.scope, deployment_id=plan.deployment.pk)

    @staticmethod
    def results(plan: Plan) -> str:
        """How each host's part stands."""
        return ", ".join(plan.deployment.items.order_by("host_name").values_list("result", flat=True))


def main() -> int:
    """Run it; 0 when everything came out as it should."""
    if loopback.SSHD is None:
        sys.exit(loopback.INSTALL_SSHD)
    os.environ["JOB_LEASE_SECONDS"] = str(LEASE_SECONDS)
    stack = Stack()
    with tempfile.TemporaryDirectory(prefix="portal-hosts-") as folder:
        show = Show(stack, Path(folder))
        try:
            show.set_up()
            show.run()
        finally:
            show.place.stop()
            stack.stop()
    sys.stdout.write(
        f"{show.wrong} scenes came out wrong.\n" if show.wrong else "Everything as it should be.\n"
    )
    return 1 if show.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
