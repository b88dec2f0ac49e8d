"""A seeded run with real processes: workers that are killed, a cloud that fails and is changed, and tenants that claim."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, Any

from devserver.launch import ProcessId
from tests.faults.framework.job_campaign import JobCampaign
from tests.faults.framework.processes import worker_arguments
from tests.faults.framework.report import Invariant

if TYPE_CHECKING:
    from .load import ClaimLoad

VOLUME = "/volumes/[^/]+$"
# A pool that lacks room pauses for minutes, and for an hour in the end. Here no pause lasts longer than this.
MAX_PAUSE_SECONDS = 2.0
# The part of the kills that meet any process of the pool's worker: no row shows whether one fills or compares a pool.
POOL_WORKER_SHARE = 0.35
EXTERNAL_CHANGE_EVERY_STEPS = 12
FIRST_EXTERNAL_CHANGE_AFTER_STEPS = 5
# When the violations have not changed for this long, they will not change any more.
UNCHANGING_SECONDS = 20.0


class PoolCampaign(JobCampaign):
    """Claim spares while workers die and the cloud fails and is changed without the portal."""

    name = "pool"
    environment = {"POOL_IN_FLIGHT_PER_ACCOUNT": "30", "POOL_QUOTA_KEPT_PERCENT": "0"}
    sweep_seconds = 1.5
    workers = {
        "worker-a": worker_arguments("jobs,polling", 2, "pool-a"),
        "worker-b": worker_arguments("jobs,polling", 2, "pool-b"),
        # Two processes, so that two reconciliations may run at once.
        "worker-pool": worker_arguments("volumepool", 2, "pool-c"),
    }
    # One answer in five, and more of those that create, rename, mark and remove volumes.
    faults = [
        {"kind": "lose_answer", "method": "POST", "path": "/volumes$", "rate": 0.15},
        {"kind": "lose_answer", "method": "PUT", "path": VOLUME, "rate": 0.12},
        {"kind": "lose_answer", "method": "POST", "path": "/metadata$", "rate": 0.12},
        {"kind": "lose_answer", "method": "DELETE", "path": VOLUME, "rate": 0.12},
        {"kind": "status", "status": 500, "rate": 0.07},
        {"kind": "status", "status": 503, "rate": 0.07},
        {"kind": "lose_answer", "rate": 0.06},
    ]
    runs_help = "how many claims are made"
    default_kill_every = 8.0
    main_process_share = 0.12
    load: ClaimLoad

    def make_load(self) -> ClaimLoad:
        from .external_changes import ExternalChanger
        from .load import ClaimingTenant, ClaimLoad, create_pools

        self._next_external_change = FIRST_EXTERNAL_CHANGE_AFTER_STEPS
        self._violations: dict[str, int] | None = None
        self._unchanged_since = time.monotonic()
        account = create_pools(self.cloud)
        self.changer = ExternalChanger(self.cloud, account, Random(self.seed + 2))
        self.changer.create_golden_snapshot()
        tenants = [ClaimingTenant.create() for _ in range(3)]
        return ClaimLoad(self.cloud, Random(self.seed), self.options.runs, tenants)

    def disturb(self) -> None:
        super().disturb()
        self.changer.restore()

    def change_cloud(self, ended_steps: int) -> None:
        self.changer.end_due_shortages()
        if ended_steps >= self._next_external_change:
            self.changer.change()
            self._next_external_change = ended_steps + EXTERNAL_CHANGE_EVERY_STEPS

    def sweep(self) -> None:
        """Do what beat does, and let time pass more quickly for pools that pause."""
        from django.utils import timezone

        from volumepool.models import VolumePool
        from volumepool.tasks import backfill_all, reconcile_all

        super().sweep()
        soon = timezone.now() + timedelta(seconds=MAX_PAUSE_SECONDS)
        VolumePool.objects.filter(paused_until__gt=soon).update(paused_until=soon)
        reconcile_all.delay()
        backfill_all.delay()

    def count_jobs_of_load(self) -> int:
        from tasks.models import IN_FLIGHT, Job

        return Job.objects.filter(status__in=IN_FLIGHT, parent=None).exclude(queue="volumepool").count()

    def find_victims(self, dice: Random, owners: Mapping[int, Any]) -> list[tuple[str, ProcessId]]:
        if dice.random() < POOL_WORKER_SHARE:
            return [("worker-pool", child) for child in self.processes.get_children("worker-pool")]
        return super().find_victims(dice, owners)

    def is_unchanging(self) -> bool:
        """Return whether every invariant holds, or none of their violations has come or gone for a while."""
        # Counted: the sentence of an orphan tells how often it was seen, which changes with each comparison.
        violations = {invariant.statement: len(invariant.violations) for invariant in self.check_invariants()}
        if not any(violations.values()):
            return True
        if violations != self._violations:
            self._violations, self._unchanged_since = violations, time.monotonic()
        return time.monotonic() - self._unchanged_since > UNCHANGING_SECONDS

    def check_invariants(self) -> list[Invariant]:
        from .invariants import check, find_servers_without_vm

        return [
            *check(self.cloud, self.changer.changed),
            Invariant("a claim gives what its answer said, or a reason", self.load.find_wrong_claims()),
            Invariant("every server of ours belongs to a VM", find_servers_without_vm(self.cloud)),
        ]

    def summarize(self) -> dict[str, object]:
        return {
            "claims": self.load.claimed,
            "changes without the portal": self.changer.counts.total(),
        }

    def count_results(self) -> dict[str, Counter[str]]:
        from django.db.models import Sum

        from tasks.models import Job
        from volumepool.models import Claim

        volumes = Claim.objects.aggregate(taken=Sum("taken"), made=Sum("made"))
        failed = Job.objects.filter(kind="volumepool.provide_volumes").exclude(status="succeeded")
        return {
            "Changes without the portal": self.changer.counts,
            "Claimed volumes": Counter(
                {"spares": volumes["taken"] or 0, "created for the claim": volumes["made"] or 0}
            ),
            "Why claims did not succeed": Counter(failed.values_list("outcome_code", flat=True)),
        }
