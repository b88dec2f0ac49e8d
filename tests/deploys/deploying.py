"""A service with versions and hosts whose executor is a program that keeps what runs where in files.

So a test deploys in earnest, by jobs and processes, in a tenth of a second a host; and what the database says can be
held against what really happened.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from deploys.models import Deployment, Host, MicroService, MicroServiceInstance, MicroServiceVersion
from deploys.services import deployments
from deploys.services.deployments import DeployParams, Plan, Strategy
from tenants.scoping import Role, Scope
from tests.factories import InformationSystemFactory, MembershipFactory

# Writes down every call, and which version runs on which host. A file "sick-<host>-<version>" makes that one fail;
# with "asleep-<host>" the program says a line, and waits until the file is gone.
PROGRAM = """\
cd "$0" || exit 1
echo "putting $PORTAL_VERSION on $PORTAL_HOST, password=hunter2hunter2"
echo "$PORTAL_HOST $PORTAL_VERSION" >>calls
while [ -e "asleep-$PORTAL_HOST" ]; do sleep 0.02; done
if [ -e "sick-$PORTAL_HOST-$PORTAL_VERSION" ]; then
    echo "$PORTAL_VERSION does not start"
    exit 16
fi
echo "$PORTAL_VERSION" >"new-$PORTAL_HOST.$$" && mv "new-$PORTAL_HOST.$$" "runs-$PORTAL_HOST"
"""


class Company:
    """A tenant's service, its versions by label, and the hosts that it runs on."""

    def __init__(
        self, folder: Path, *, labels: tuple[str, ...] = ("1.0", "2.0", "3.0"), hosts: int = 4
    ) -> None:
        self.folder = folder
        member = MembershipFactory(role=Role.OPERATOR)
        self.tenant, self.user = member.tenant, member.user
        self.scope = Scope(member.user, member.tenant, Role.OPERATOR)
        self.system = InformationSystemFactory(tenant=member.tenant)
        self.service = MicroService.objects.create(
            information_system=self.system,
            name="shop",
            folder="/srv/shop",
            port=8080,
            executor="command",
            executor_settings={"program": "files"},
        )
        self.versions = {label: self.build(label) for label in labels}
        self.hosts = [
            Host.objects.create(
                tenant=member.tenant, hostname=f"web-{n}", ip=f"10.0.{n // 250}.{n % 250 + 1}"
            )
            for n in range(hosts)
        ]
        for host in self.hosts:
            self.install(host, labels[0])

    def build(self, label: str, status: str = "success") -> MicroServiceVersion:
        """One more version, the highest."""
        number = self.service.last_number = self.service.last_number + 1
        return MicroServiceVersion.objects.create(
            service=self.service,
            label=label,
            number=number,
            build_status=status,
            artifact_url=f"https://store.example.org/shop-{label}.tar.gz",
            sha256="0" * 64,
        )

    def install(self, host: Host, label: str) -> MicroServiceInstance:
        """The service on a host, running, without a deployment."""
        (self.folder / f"runs-{host.hostname}").write_text(f"{label}\n")
        return MicroServiceInstance.objects.create(
            service=self.service,
            version=self.versions[label],
            host=host,
            port=8080,
            status=MicroServiceInstance.Status.RUNNING,
        )

    def operator(self, name: str) -> Scope:
        """What another operator of the tenant asks with."""
        member = MembershipFactory(role=Role.OPERATOR, tenant=self.tenant, user__username=name)
        return Scope(member.user, self.tenant, Role.OPERATOR)

    # --- What is done ------------------------------------------------------------------------------------------

    def deploy(
        self,
        before: str,
        after: str,
        *,
        hosts: Any = "all",
        scope: Scope | None = None,
        mode: Any = "all",
        dry_run: bool = False,
        **strategy: Any,
    ) -> Plan:
        """Ask for the upgrade or the revert from one label to another, of all hosts or of those with the numbers."""
        numbers: dict[str, int] = {label: version.number for label, version in self.versions.items()}
        keys: Any = hosts if hosts == "all" else [self.hosts[n].pk for n in hosts]
        return deployments.deploy(
            scope=scope or self.scope,
            service_id=self.service.pk,
            version_id=self.versions[before].pk,
            action="upgrade" if numbers[after] > numbers[before] else "revert",
            params=DeployParams(self.versions[after].pk, keys, Strategy(**strategy), mode, dry_run),
        )

    def retry(self, deployment_id: UUID) -> Plan:
        """Ask for those again that have not got the version."""
        return deployments.retry(scope=self.scope, deployment_id=deployment_id)

    def is_sick(self, host: int, label: str) -> Path:
        """Have a version fail on a host; the file to be removed when it shall not any more."""
        file = self.folder / f"sick-web-{host}-{label}"
        file.touch()
        return file

    def sleeps(self, host: int) -> None:
        """Have the program wait on a host until everybody is woken."""
        (self.folder / f"asleep-web-{host}").touch()

    def wake(self) -> None:
        """Let every program go on."""
        for file in self.folder.glob("asleep-*"):
            file.unlink()

    # --- What came of it ---------------------------------------------------------------------------------------

    def instance(self, host: int) -> MicroServiceInstance:
        """The instance on a host, as it is now."""
        return MicroServiceInstance.objects.select_related("version", "host").get(host=self.hosts[host])

    def recorded(self) -> list[str]:
        """Which version runs on each host as far as the database knows."""
        return [self.instance(n).version.label for n in range(len(self.hosts))]

    def running(self) -> list[str]:
        """Which version really runs on each host."""
        return [(self.folder / f"runs-{host.hostname}").read_text().strip() for host in self.hosts]

    def statuses(self) -> list[str]:
        """The status of each host's instance."""
        return [self.instance(n).status for n in range(len(self.hosts))]

    def calls(self) -> list[str]:
        """What the program was called with, in order: "web-0 2.0"."""
        file = self.folder / "calls"
        return file.read_text().splitlines() if file.exists() else []

    @staticmethod
    def results(deployment: Deployment) -> list[str]:
        """How each item ended, in the order of the batches."""
        return list(deployment.items.order_by("host_name").values_list("result", flat=True))

    def assert_nothing_is_held(self) -> None:
        """No instance is locked, or says that something is being done to it."""
        held = MicroServiceInstance.objects.filter(service=self.service).exclude(locked=False, locked_by=None)
        assert not held.exists(), list(held.values_list("host__hostname", "locked", "locked_by", "status"))
        assert not set(self.statuses()) & {"upgrading", "reverting"}, self.statuses()


@pytest.fixture
def company(transactional_db, tmp_path, settings):
    """A service in version 1.0 on four hosts, that has 2.0 and 3.0 as well."""
    settings.DEPLOY_PROGRAMS = {"files": ["/bin/sh", "-c", PROGRAM, str(tmp_path)]}
    return Company(tmp_path)
