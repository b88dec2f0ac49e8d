"""The load of a soak beside the clicks of a storm: claims, VMs and deployments by the portal's services, and visitors.

The requests of a service run in this process, one at a time, and never while connections to PostgreSQL are broken: nobody
could tell afterwards whether the request was carried out.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from django.db import OperationalError, connection

from api.domain_errors import DomainError, NotFoundError
from cloudaccounts.models import CloudAccount
from tasks.models import IN_FLIGHT, Job
from tests.deploys.deploying import Company
from tests.faults.framework.report import Invariant
from tests.faults.pool.external_changes import ExternalChanger
from tests.faults.pool.load import ClaimingTenant, ClaimLoad, create_pools
from tests.faults.storm.injections import Injections
from tests.simulated import SimulatedCloud

MAX_JOBS_IN_FLIGHT = 20
CLAIM_PAUSE_SECONDS = 2.0
DEPLOY_PAUSE_SECONDS = 5.0


class ServiceLoad(threading.Thread):
    """Sends requests of one kind, again and again, until `stopping` is set."""

    def __init__(
        self,
        name: str,
        send: Callable[[], object],
        injections: Injections,
        stopping: threading.Event,
        pause_seconds: float,
    ) -> None:
        super().__init__(name=name, daemon=True)
        self.send, self.injections, self.stopping = send, injections, stopping
        self.pause_seconds = pause_seconds
        self.problems: list[str] = []

    def run(self) -> None:
        """Send requests."""
        while not self.stopping.wait(self.pause_seconds):
            with self.injections.database_gate:
                try:
                    connection.ensure_connection()
                except OperationalError:  # It is down, or starting.
                    continue
                try:
                    self.send()
                except Exception as error:  # noqa: BLE001 - an error of the campaign is reported, not lost with the thread.
                    self.problems.append(f"{self.name}: {error!r}")
                finally:
                    # PostgreSQL may restart before the next request.
                    connection.close()


class DeployLoad:
    """Deployments of one service, each to another version than the one before."""

    def __init__(self, folder: Path, dice: Random) -> None:
        self.company = Company(folder)
        self.dice = dice
        self.requested: Counter[str] = Counter()

    def send_request(self) -> None:
        """Request a deployment, unless one is in progress."""
        if Job.objects.filter(status__in=IN_FLIGHT, kind__startswith="deploys.").exists():
            return
        labels = sorted(self.company.versions)
        before = self.dice.choice(sorted(set(self.company.recorded())))
        after = self.dice.choice([label for label in labels if label != before])
        try:
            self.company.deploy(before, after, batch=2)
        except DomainError as error:
            self.requested[f"deployments refused: {error.code}"] += 1
        else:
            self.requested["deployments"] += 1

    def check(self) -> list[Invariant]:
        """Compare what runs on the hosts with the rows."""
        company = self.company
        recorded, running = company.recorded(), company.running()
        wrong = [] if recorded == running else [f"the hosts run {running}, the rows say {recorded}"]
        busy = [status for status in company.statuses() if status != "running"]
        if busy:
            wrong.append(f"instances are {busy}")
        return [Invariant("each host runs the version of its row", wrong, len(recorded))]


def create_claim_load(cloud: SimulatedCloud, account: CloudAccount, seed: int) -> ClaimLoad:
    """Create pools of every kind, and tenants that claim from them."""
    create_pools(cloud, account)
    ExternalChanger(cloud, account, Random(seed)).create_golden_snapshot()
    return ClaimLoad(cloud, Random(seed), 0, [ClaimingTenant.create() for _ in range(2)])


def send_claim(load: ClaimLoad) -> None:
    """Send a request about volumes or VMs, unless many jobs are in flight."""
    if Job.objects.filter(status__in=IN_FLIGHT, parent=None).count() < MAX_JOBS_IN_FLIGHT:
        load.send_request()


def retry_removals(load: ClaimLoad) -> int:
    """Request the removals again that did not succeed, and return how many."""
    try:
        return load.retry_removals()
    except (DomainError, NotFoundError):  # It is just being removed.
        return 1


def count_requests(claims: ClaimLoad, deploys: DeployLoad) -> dict[str, Any]:
    """Return how many requests of each kind were sent and refused."""
    return {
        **{f"requests: {name}": count for name, count in sorted(claims.requested.items())},
        "requests about volumes and VMs that were refused": claims.rejected.total(),
        **dict(sorted(deploys.requested.items())),
    }
