"""A real worker and its programs are killed in the middle of a deployment, and another worker finishes it."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from devserver import launch
from tasks.models import EntityLock, Job
from tests.conftest import flush_broker
from tests.deploys.deploying import PROGRAM, Company
from tests.working import wait_for

from .test_worker_killed import LEASE_SECONDS, sweep_until_all_end

pytestmark = pytest.mark.django_db(transaction=True)


def find_programs(folder):
    """Return the processes that run in a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str(folder) in (process / "cmdline").read_text():
                found.append(process.name)
        except OSError:
            continue  # It has ended meanwhile.
    return found


@pytest.mark.story
def test_a_deployment_whose_worker_is_killed_half_way_is_ended_by_another(celery_worker, tmp_path):
    folder = tmp_path / "hosts"
    folder.mkdir()
    company = Company(folder)
    programs = json.dumps({"files": ["/bin/sh", "-c", PROGRAM, str(folder)]})
    environment = {"DEPLOY_PROGRAMS": programs, "JOB_LEASE_SECONDS": str(LEASE_SECONDS)}
    doomed = celery_worker(queues="deploys", concurrency=4, environment=environment)
    plan = company.deploy("1.0", "2.0", batch=2)
    order = [int(instance.host.hostname[-1]) for batch in plan.batches for instance in batch]
    for number in order[2:]:
        company.sleeps(number)

    wait_for("the second batch is under way", lambda: len(company.calls()) == 4)
    everybody = launch.process_tree(doomed.pid)
    launch.kill(everybody)
    assert launch.wait_until_gone(everybody, seconds=5)
    wait_for("its programs have ended too", lambda: not find_programs(folder), seconds=5)
    flush_broker()
    half = dict(zip(order, (company.instance(number) for number in order), strict=True))
    company.wake()
    time.sleep(0.2)

    assert [half[number].locked for number in order] == [False, False, True, True]
    assert [company.running()[number] for number in order] == ["2.0", "2.0", "1.0", "1.0"]
    celery_worker(queues="deploys", concurrency=4, environment=environment)
    sweep_until_all_end()

    assert company.running() == company.recorded() == ["2.0"] * 4
    company.assert_nothing_is_held()
    assert not EntityLock.objects.exists()
    assert Job.objects.get(pk=plan.job.pk).status == "succeeded"
    assert company.results(plan.deployment) == ["succeeded"] * 4
    # What was through was not done again.
    calls = [f"web-{number} 2.0" for number in order]
    assert sorted(company.calls()) == sorted([*calls, *calls[2:]])
