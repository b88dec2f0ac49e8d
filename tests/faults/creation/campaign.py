"""A seeded run with real processes: workers that are killed, a cloud that fails, and requests to create and remove VMs."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import TYPE_CHECKING

from tests.faults.framework.job_campaign import JobCampaign
from tests.faults.framework.processes import worker_arguments
from tests.faults.framework.report import Invariant

if TYPE_CHECKING:
    from .load import CreationLoad


class CreationCampaign(JobCampaign):
    """Create and remove VMs while workers die and the cloud fails."""

    name = "creation"
    workers = {
        f"worker-{name}": worker_arguments("jobs,polling", 2, f"creation-{name}") for name in ("a", "b")
    }
    # One answer in five: an error before the work, or the work without its answer.
    faults = [
        {"kind": "status", "status": 500, "rate": 0.07},
        {"kind": "status", "status": 503, "rate": 0.07},
        {"kind": "lose_answer", "rate": 0.08},
    ]
    runs_help = "how many VMs are created"
    default_kill_every = 5.0
    load: CreationLoad

    def make_load(self) -> CreationLoad:
        from .invariants import ids_in
        from .load import CreationLoad
        from .stage import Stage

        stage = Stage.of(self.cloud, self.cloud.account())
        stage.prepare_reach()
        stage.before = ids_in(self.cloud)
        return CreationLoad(stage, Random(self.seed), Random(self.seed + 2), self.options.runs)

    def check_invariants(self) -> list[Invariant]:
        from .invariants import check

        stage = self.load.stage
        return check(self.cloud, stage.system.tenant, stage.before)

    def summarize(self) -> dict[str, object]:
        return {"VMs requested": self.load.requested["create"]}

    def count_results(self) -> dict[str, Counter[str]]:
        from tasks.models import Job

        failed = Job.objects.filter(kind="vms.create").exclude(status="succeeded")
        return {"Why creations did not succeed": Counter(failed.values_list("outcome_code", flat=True))}
