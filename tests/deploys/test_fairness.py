"""A tenant's slow hosts delay its own deployments, and nobody else's: with a real worker of two processes."""

from __future__ import annotations

import json
import time

import pytest

from deploys.models import Deployment
from tests.deploys.deploying import PROGRAM, Company

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(120)]


def until(what, condition, seconds=40):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"Not in time: {what}"
        time.sleep(0.05)


@pytest.mark.story
def test_a_quick_deployment_ends_while_all_of_another_tenants_hosts_are_slow(celery_worker, tmp_path):
    companies = []
    for name in ["slow", "quick"]:
        (tmp_path / name).mkdir()
        companies.append(Company(tmp_path / name, hosts=20 if name == "slow" else 1))
    slow, quick = companies
    for company, name in [(slow, "slow"), (quick, "quick")]:
        company.service.executor_settings = {"program": name}
        company.service.save()
    programs = {name: ["/bin/sh", "-c", PROGRAM, str(tmp_path / name)] for name in ["slow", "quick"]}
    for number in range(20):
        slow.sleeps(number)
    celery_worker(queues="deploys", concurrency=2, environment={"DEPLOY_PROGRAMS": json.dumps(programs)})

    held = slow.deploy("1.0", "2.0", batch=20)
    until("a slow host is at work", slow.calls)
    plan = quick.deploy("1.0", "2.0")

    until("the quick one has ended", lambda: Deployment.objects.get(pk=plan.deployment.pk).ended_at)
    assert quick.recorded() == ["2.0"]
    # By order, not by time: nothing of the slow one is through, and it holds one of the two processes.
    assert set(slow.results(held.deployment)) == {"running", "waiting"}
    assert slow.results(held.deployment).count("running") == 1
    slow.wake()
    until("the slow ones go on one by one", lambda: slow.recorded() == ["2.0"] * 20)
    slow.assert_nothing_is_held()
